"""PixelCNN: each pixel a distribution over grey levels given all before it; exact likelihood.

Van den Oord et al., "Pixel Recurrent Neural Networks" (2016, arXiv:1601.06759), with the class and
the two stacks of "Conditional Image Generation with PixelCNN Decoders" (2016, arXiv:1606.05328):
one looks at the rows above, the other at the row itself, left of the pixel. Theirs are the order
(rows from the top, pixels from the left, channels of a pixel in turn), the masks, and levels that
are classes, not numbers on a line.

What differs, for ten minutes of one core in place of days of many cards: the stack over the rows
above is a small causal transformer whose tokens are whole rows, the class first, and the one within
the row a masked MLP (MADE, Germain et al. 2015), where theirs are masked convolutions. Both are
`flow`'s (`flow_networks`), which is the same model for continuous scalars. The softmax over levels
is a mixture of shared distributions (`grey_levels`), or of logistics where there are three channels
(`colour_levels`).

Sampling is ancestral: pixel after pixel, with what is known of the rows above and of the row so far
kept, so that a pixel costs one small step (`flow_inverse`).

What to expect of MNIST at `standard`: 1.105 bits/dim, FID 8, TSTR 97.3 %. More:
``docs/baselines.md``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import COLOURS
from genbench.baselines.colour_levels import MixedLogistics
from genbench.baselines.flow_inverse import Inverse
from genbench.baselines.flow_networks import Conditioner, Solver
from genbench.baselines.grey_levels import GreyLevels
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    captures,
    move_average,
    optimizer_options,
)

SAMPLE_CHUNK = 2500  # rows sampled at once, to bound memory
CAPTURED_CHUNK = 10_000  # by a card, which takes little longer for as many
SCORE_CHUNK = 500  # rows scored at once
ADDED = {"added": True}  # after the first results: a parameter that is in no key at its default


@dataclass(frozen=True, slots=True)
class PixelCNNParams:
    """Parameters, set with ``-g pixelcnn:name=value``."""

    dim: int = 96
    """Width of the transformer over rows."""
    depth: int = 2
    """Layers of the transformer."""
    heads: int = 3
    """Attention heads of each layer."""
    expand: int = 2
    """Hidden width of a layer's MLP, in multiples of `dim`."""
    units: int = 6
    """Hidden units per pixel in each layer of the masked MLP."""
    mixture: int = 12
    """Distributions over grey levels that all pixels share."""
    soft_steps: int = 2
    """Learned soft steps that describe a pixel to the networks, beside its level."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 3e-3
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    warm_up: float = 0.03
    """Share of the budget over which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss, bits/dim."""
    ema: float = 0.998
    """Share of the averaged weights, which are the ones used, that survives a step."""
    colour_mixture: int = field(default=2, metadata=ADDED)
    """Logistics of each scalar of colour images."""


class Pixels(nn.Module):
    """The distribution of an image given its class, as rows of ``columns * channels`` levels.

    Parameters
    ----------
    mixture
        Distributions over levels that all pixels share; of colours, logistics of each scalar.
    widths
        Those of the `Conditioner`.
    """

    levels: GreyLevels | MixedLogistics

    def __init__(self, space: Space, *, mixture: int, **widths: int) -> None:
        super().__init__()
        self.channels, self.rows, columns = space.shape
        self.width, self.top = columns * self.channels, max(1, space.levels - 1)
        self.colour = self.channels == COLOURS
        outputs = 3 * mixture if self.colour else mixture
        self.net = Conditioner(self.rows, self.width, space.classes, plateaus=outputs, **widths)
        self.levels = (MixedLogistics if self.colour else GreyLevels)(space.levels, mixture)

    def log_prob(self, x: Tensor, y: Tensor, *, mixed: bool = False) -> Tensor:
        """log p(x | y), nats, (n,), of uint8 images; `mixed`: bfloat16 networks where they help."""
        level = x.permute(0, 2, 3, 1).flatten(2).long()
        with bfloat16(x.device, wanted=mixed):
            logits = self.net(level / self.top, y)
        return self.levels.log_prob(logits.float(), level).flatten(1).sum(1)

    def solver(self) -> Solver:
        """The inverse of the CDFs: levels in units of their range."""
        ladder = self.levels.ladder()
        return lambda z, logits: self.levels.draw(z, logits, ladder).float() / self.top

    def from_rows(self, v: Tensor) -> Tensor:
        """The uint8 images of levels in units of their range, (n, rows, width)."""
        x = (v * self.top).round().to(torch.uint8)
        return x.view(*v.shape[:2], -1, self.channels).permute(0, 3, 1, 2).contiguous()


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Pixels
    average: Pixels
    adam: torch.optim.Adam

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])


class PixelCNN:
    """The baseline ``pixelcnn``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="pixelcnn",
        version="1",
        family="autoregressive",
        kinds=("image",),
        labels="given",
        likelihood="exact",
        params=PixelCNNParams,
        reference="van den Oord et al. 2016, arXiv:1601.06759",
    )

    def __init__(self, params: PixelCNNParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.colour = space.shape[0] == COLOURS
        self._use(self._build(0))

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of batches until they end."""
        size = self.params.batch_size
        training = self._begin(run.seed)
        self._use(training.average)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device)
        for x, y in train.batches(size, seed=run.seed, start=run.served):
            if run.served == len(x):  # the first batch
                training.net.levels.calibrate(x)
                training.average.levels.calibrate(x)
            share = self._share(run.served / size)
            (loss,) = step(x, y, self._rate(run.fraction), share)
            run.progress(nll_bits_per_dim=loss)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw pixel after pixel, in chunks of images."""
        device = self.device if self.device.type in ("cuda", "mps") else "cpu"
        rng, y = torch.Generator(device).manual_seed(seed), self._labels(labels, n)
        chunk = CAPTURED_CHUNK if captures(self.device) else SAMPLE_CHUNK
        return torch.cat([self._draw(part, rng) for part in torch.split(y, chunk)])

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``. Without noise `seed` and `draws` do not matter."""
        chunks = zip(
            torch.split(x, SCORE_CHUNK),
            torch.split(self._labels(labels, len(x)), SCORE_CHUNK),
            strict=True,
        )
        return torch.cat([self.net.log_prob(rows, y) for rows, y in chunks])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))
        self._use(self.net)

    def _use(self, net: Pixels) -> None:
        """Sample and score with this: the average of the trained weights, once fitted.

        A graph serves batches of one size, so that for the latest is kept from call to call.
        """
        self.net = net
        self._inverse = lru_cache(maxsize=1)(lambda n: Inverse(net, n))

    def _begin(self, seed: int) -> Training:
        net = self._build(seed)
        adam = torch.optim.Adam(
            net.parameters(),
            lr=self.params.learning_rate,
            betas=(0.9, 0.99),
            **optimizer_options(self.device),
        )
        return Training(net, copy.deepcopy(net).requires_grad_(False), adam)

    def _build(self, seed: int) -> Pixels:
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            mixture = p.colour_mixture if self.colour else p.mixture
            net = Pixels(
                self.space, mixture=mixture, dim=p.dim, depth=p.depth, heads=p.heads,
                expand=p.expand, units=p.units, soft_steps=p.soft_steps,
            )  # fmt: skip
        return net.to(self.device)

    def _rate(self, fraction: float) -> float:
        """Warm-up, then a cosine to 0."""
        warm = min(1.0, fraction / self.params.warm_up)
        return self.params.learning_rate * warm * (1 + math.cos(math.pi * fraction)) / 2

    def _share(self, steps: float) -> float:
        """By which the average moves; a young one forgets faster: its first weights are raw."""
        return 1 - min(self.params.ema, (1 + steps) / (10 + steps))

    def _step(
        self,
        training: Training,
        x: Tensor,
        y: Tensor | None,
        rate: float | Tensor,
        share: float | Tensor,
    ) -> tuple[Tensor]:
        """Update the weights and their average once; the loss, bits/dim."""
        net, adam = training.net, training.adam
        # bfloat16 networks where they help; their outputs count in float32.
        mixed = self.colour or self.device.type == "cuda"
        log_prob = net.log_prob(x, self._labels(y, len(x)), mixed=mixed)
        loss = -log_prob.mean() / (self.space.dims * math.log(2))
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), self.params.clip)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        move_average(training.average.parameters(), net.parameters(), share)
        return (loss.detach(),)

    def _labels(self, y: Tensor | None, n: int) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if y is None:
            raise UsageError(
                f"pixelcnn has {self.space.classes} classes and was given no labels: pass labels"
            )
        return y

    def _draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        size = (len(y), self.net.rows, self.net.width)
        # In float64, so that no level is too unlikely to be drawn.
        z = torch.rand(size, generator=rng, device=self.device, dtype=torch.float64)
        return self._inverse(len(y))(z, y)
