"""VQ-VAE: an autoencoder whose code is discrete, and an autoregressive prior over the codes.

Van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning" (2017,
arXiv:1711.00937). An encoder gives a vector for every 4x4 pixels; the nearest vector of a codebook
takes its place; a decoder sees only that. The encoder's gradient is the decoder's, copied straight
through, and a pull towards the vector it got (the commitment). The codebook's vectors are moving
averages of what they stand for, as in the paper's appendix; one that nothing is near to any more is
put where there is something. The prior is `pixelcnn`, as in the paper, of codes in place of pixels.
Both are trained side by side, where the paper trains the prior afterwards: it sees the codes of the
batch at hand, and nothing of it reaches the encoder.

A pixel of the decoder is a distribution over grey levels (`grey_levels`), and an image has one
code, so that log p(image | code) + log p(code | class) is a lower bound of its log-likelihood: what
is lost is that other codes might have made the same image. `sample` draws codes, then levels.

What to expect of MNIST at `standard`: a bound of 1.22 bits/dim, FID 14, TSTR 97.2 %. More:
``docs/baselines.md``. The networks: `vqvae_networks`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from genbench.baselines.vqvae_networks import Coder, Network, Prior
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    move_average,
    optimizer_options,
)

CHUNK = 1000  # rows that go through the networks at once, to bound memory
RISE = 0.02  # share of the budget in which the rate rises to its highest


@dataclass(frozen=True, slots=True)
class VQVAEParams:
    """Parameters, set with ``-g vqvae:name=value``."""

    width: int = 24
    """Channels of encoder and decoder at half the resolution."""
    wide: int = 48
    """Channels at a quarter of it, where the codes are."""
    codes: int = 128
    """Vectors of the codebook."""
    size: int = 8
    """Their size."""
    commitment: float = 0.25
    """Nats that an encoding costs per squared distance from its vector."""
    mixture: int = 16
    """Distributions over grey levels that all pixels share."""
    dim: int = 64
    """Width of the prior's transformer."""
    depth: int = 2
    """Its layers."""
    heads: int = 2
    """Attention heads of each layer."""
    units: int = 32
    """Hidden units per code in each layer of its masked MLP."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 2e-3
    """Adam's rate at its highest; it falls to 0 along a cosine."""
    ema: float = 0.998
    """Share of the averaged weights, which are the ones used, that survives a step."""


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Network
    average: Network
    adam: torch.optim.Adam
    rng: torch.Generator

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.rng.set_state(state["rng"].cpu())


class VQVAE:
    """The baseline ``vqvae``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="vqvae",
        version="1",
        family="vae",
        kinds=("image",),
        labels="given",
        likelihood="lower-bound",
        params=VQVAEParams,
        reference="van den Oord et al. 2017, arXiv:1711.00937",
    )

    def __init__(self, params: VQVAEParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.net = self._build(0)  # the average of the trained one, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Train coder and prior side by side on batches until they end."""
        size = self.params.batch_size
        training = self._begin(run.seed)
        self.net = training.average
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        for x, y in train.batches(size, seed=run.seed, start=run.served):
            if run.served == len(x):  # the first batch
                self._calibrate(training, x)
            share = self._share(run.served / size)
            reconstruction, prior, used = step(x, y, self._rate(run.fraction), share)
            run.progress(
                elbo_bits_per_dim=reconstruction + prior,
                reconstruction=reconstruction,
                prior=prior,
                codes_used=used,
            )
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw codes from the prior of each class, then levels from the decoder."""
        rng = self._rng(seed)
        return torch.cat([self._draw(y, rng) for y in torch.split(self._labels(labels, n), CHUNK)])

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """The bound of log p(x | y), nats, ``(n,)``.

        An image has one code, so that `seed` and `draws` do not matter.
        """
        bounds, y = [], self._labels(labels, len(x))
        for rows, classes in zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True):
            terms = self.net(rows, classes)
            bounds.append(terms.reconstruction + terms.prior)
        return torch.cat(bounds)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged networks and codebook."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    @property
    def latent_size(self) -> int:
        """Numbers of an encoding: the vectors of all places."""
        return math.prod(self.net.coder.grid) * self.params.size

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes' vectors, float32 ``(n, latent_size)``."""
        coder = self.net.coder
        parts = [coder.book.nearest(coder.encode(rows)) for rows in torch.split(x, CHUNK)]
        return coder.book.vectors()[torch.cat(parts)].flatten(1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The expected grey levels, rounded, of the decoder given the codes of `x`."""
        coder = self.net.coder
        vectors = self.encode(x).unflatten(1, (-1, self.params.size))
        parts = [coder.levels.mean(coder.decode(v)) for v in torch.split(vectors, CHUNK)]
        return coder.image(torch.cat(parts).round())

    def _begin(self, seed: int) -> Training:
        net = self._build(seed)
        adam = torch.optim.Adam(
            net.parameters(),
            lr=self.params.learning_rate,
            betas=(0.9, 0.99),
            **optimizer_options(self.device),
        )
        return Training(net, copy.deepcopy(net).requires_grad_(False), adam, self._rng(seed))

    def _build(self, seed: int) -> Network:
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            coder = Coder(
                self.space, width=p.width, wide=p.wide, codes=p.codes, size=p.size,
                mixture=p.mixture,
            )  # fmt: skip
            prior = Prior(
                p.codes, p.size, coder.grid, self.space.classes,
                dim=p.dim, depth=p.depth, heads=p.heads, expand=2, units=p.units,
            )  # fmt: skip
        return Network(coder, prior).to(self.device)

    @torch.no_grad()
    def _calibrate(self, training: Training, x: Tensor) -> None:
        """Begin with the first batch's grey levels, and with some of its encodings as codes."""
        coder = training.net.coder
        coder.levels.calibrate(x)
        coder.book.begin(coder.encode(x).flatten(0, 1), training.rng)
        training.average.load_state_dict(training.net.state_dict())

    def _rate(self, fraction: float) -> float:
        """Rise, then a cosine to 0."""
        rise = min(1.0, fraction / RISE)
        return self.params.learning_rate * rise * (1 + math.cos(math.pi * fraction)) / 2

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
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update networks, codebook and averages once; the bound's terms and the codes' use."""
        net, adam = training.net, training.adam
        # bfloat16 networks on a card, where they help.
        terms = net(x, self._labels(y, len(x)), mixed=self.device.type == "cuda")
        reconstruction, prior = -terms.reconstruction.mean(), -terms.prior.mean()
        loss = reconstruction + prior + self.params.commitment * terms.distance.mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.param_groups[0]["lr"] = rate
        adam.step()
        book = net.coder.book
        book.move(terms.encodings.flatten(0, 1), terms.code.flatten(), training.rng)
        move_average(training.average.state_dict().values(), net.state_dict().values(), share)
        unit = 1 / (self.space.dims * math.log(2))
        return reconstruction.detach() * unit, prior.detach() * unit, book.perplexity()

    def _draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """Images of classes (n,)."""
        coder, exact = self.net.coder, {"device": self.device, "dtype": torch.float64}
        z = torch.rand(len(y), math.prod(coder.grid), generator=rng, **exact)
        logits = coder.decode(coder.book.vectors()[self.net.prior.draw(z, y)])
        z = torch.rand(logits.shape[:-1], generator=rng, **exact)
        return coder.image(coder.levels.draw(z, logits, coder.levels.ladder()))

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)

    def _labels(self, y: Tensor | None, n: int) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if y is None:
            raise UsageError(
                f"vqvae has {self.space.classes} classes and was given no labels: pass labels"
            )
        return y
