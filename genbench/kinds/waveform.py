"""Waveforms: float32 ``(n, T)`` in ``[-1, 1]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench.kinds.base import DataKind, Draft, LikelihoodUnit, SpaceFields, Tiny

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST = 2048  # samples, for the spectrograms of the downstream classifier


class Waveform(DataKind):
    """Sounds of one channel and one length.

    Their likelihood is of their samples' levels, 255 of them and evenly spaced in
    ``sgn(x) ln(1 + 255 |x|)``, as networks that write samples have counted since WaveNet
    (van den Oord et al. 2016, arXiv:1609.03499; 256 there, of which none is silence).
    """

    name = "waveform"
    dtype = "float32"
    tiny = Tiny((1024,), rate=8000)
    likelihood = LikelihoodUnit(
        "bits/sample",
        signed="bits/sample of 255 mu-law levels",
        quantised="255 mu-law levels",
    )
    labelled = True
    sounds = True
    shown_as = "player"
    scored_from = ("arrays", "sounds")
    synthesised_as = "sounds"
    controls = ("heldout", "train-copy", "gaussian", "noise", "mode-dropped", "logmel-gaussian")
    draft = Draft(
        "fid",
        80,
        ("vendi", "spectral_distance", "loudness_distance", "clipped", "silent"),
        ("fid_per_class", "classifier_score"),
        long=True,
    )
    judges = ("logmel-conv",)
    classical = "sound"

    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """A tone of one pitch and any phase, with noise."""
        import torch

        rng = torch.Generator().manual_seed(0)
        phase = 6.3 * torch.rand(n, 1, generator=rng)
        noise = 0.05 * torch.randn(n, space.dims, generator=rng)
        return (0.8 * torch.sin(torch.arange(space.dims) / 3 + phase) + noise).clamp(-1, 1)

    def outside(self, x: Any) -> str | None:
        """Values that a loudspeaker would clip."""
        return "[-1, 1]" if bool((abs(x) > 1).any()) else None

    def classifiable(self, space: SpaceFields) -> bool:
        """If it is long enough, and its sampling rate is known."""
        return space.shape[0] >= SHORTEST and space.rate > 0

    def default_extractor(self, classes: int) -> str:
        """A classifier trained on the spot where there are labels, one of voices elsewhere."""
        return "train" if classes >= 2 else "resemblyzer"

    def described(self, space: SpaceFields) -> str:
        """Their length, rate and classes."""
        classes = f", {space.classes} classes" if space.classes else ", no labels"
        return f"sounds of {space.shape[0]:,} samples at {space.rate:,} Hz{classes}"


WAVEFORM = Waveform()
