"""Row-autoregressive flow with smooth monotone maps: a continuous normalizing flow, exact log-det.

Pixels are dequantised by U[0, 1) and every scalar u is sent to z = F(u), where F is a monotone map
whose shape depends on what came before: on the class, on the rows above (a causal transformer and
the row directly above) and on the pixels to the left (a masked MLP). The Jacobian is triangular, so
log p(u) = sum log F'(u), with z uniform. F is a mixture of smooth plateaus, F = sum_k w_k G_k, each
G_k the CDF of a uniform convolved with a logistic, cut to the range of images and renormalised.
Where the plateaus lie and how sharp they are is learned and shared by all scalars; the networks
give the weights. Nothing knows where the grey levels are. Sampling inverts F, scalar by scalar.
Points are rows of one scalar, on the whole line. The maps are in `flow_maps`, the networks, and the
density that both make up, in `flow_networks`. Colour images have another density, a Glow of affine
couplings (`flow_colour`), and Gaussian z.

Papers: MAF (Papamakarios et al. 2017, arXiv:1705.07057), monotone mixture maps (Ho et al. 2019,
Flow++, arXiv:1902.00275), MADE (Germain et al. 2015, arXiv:1502.03509), uniform dequantisation
(Theis et al. 2016, arXiv:1511.01844), Glow (Kingma & Dhariwal 2018, arXiv:1807.03039).

Expect 1.14 bits/dim and an FID (mnist-cnn) of 9 on MNIST after 300,000 examples, which took two
minutes on two cores. What it reaches elsewhere is in `reports/`, more on it in `docs/baselines.md`.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.flow_colour import ColourDensity, glows
from genbench.baselines.flow_inverse import Inverse
from genbench.baselines.flow_networks import Density
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
COLOUR_CHUNK = 250  # colour images sampled at once: a step holds all their channels
SCORE_CHUNK = 500  # rows scored at once
MAPS_SPEED = 4.0  # rate of the maps' parameters over that of the networks: few, with far to go

# What 0 stands for in `FlowParams`.
USUAL: dict[str, dict[str, int]] = {
    "image": {"units": 6, "plateaus": 8, "soft_steps": 2, "batch_size": 64},
    "points": {"units": 64, "plateaus": 64, "soft_steps": 32, "batch_size": 1000},
}
ADDED = {"added": True}  # after the first results: a parameter that is in no key at its default


@dataclass(frozen=True, slots=True)
class FlowParams:
    """The settings of ``-g flow:name=value``; 0 stands for the kind's own default, `USUAL`."""

    dim: int = 64
    """Width of the transformer over rows."""
    depth: int = 2
    """Layers of the transformer."""
    heads: int = 2
    """Attention heads of each layer."""
    expand: int = 2
    """Hidden width of a layer's MLP, in multiples of `dim`."""
    units: int = 0
    """Hidden units per scalar in each layer of the masked MLP."""
    plateaus: int = 0
    """Pieces of each monotone map."""
    soft_steps: int = field(default=0, metadata={"key": "steps"})
    """Learned soft steps that describe a scalar to the networks."""
    batch_size: int = 0
    """Examples per step."""
    learning_rate: float = field(default=6e-3, metadata={"key": "lr"})
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    warm_up: float = 0.03
    """Share of the budget over which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss (bits/dim, or nats for points)."""
    ema: float = 0.999
    """Share of the averaged weights, which are the ones used, that survives a step."""
    sharpest: float = 0.02
    """Smallest scale of a plateau's edge, in grey levels, or 1/256 of the range of points."""
    colour_steps: int = field(default=4, metadata=ADDED)
    """Steps of colour images at half the resolution, and as many at a quarter of it."""
    colour_width: int = field(default=32, metadata=ADDED)
    """Channels of their networks at half the resolution; twice as many at a quarter."""
    colour_learning_rate: float = field(default=2e-3, metadata=ADDED)
    """`learning_rate` for colour images."""


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Density | ColourDensity
    average: Density | ColourDensity
    optimizer: torch.optim.Adam
    rng: torch.Generator

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "density": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["density"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"].cpu())


class Flow:
    """The baseline ``flow``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="flow",
        version="1",
        family="flow",
        kinds=("image", "points"),
        labels="given",
        likelihood="dequantized",
        params=FlowParams,
        reference="Papamakarios et al. 2017, arXiv:1705.07057; Ho et al. 2019, arXiv:1902.00275",
    )

    def __init__(self, params: FlowParams, space: Space, device: torch.device) -> None:
        usual = {k: v for k, v in USUAL[space.kind].items() if not getattr(params, k)}
        self.params, self.space, self.device = replace(params, **usual), space, device
        self.image, self.colour = space.kind == "image", glows(space)
        self.learning_rate = params.colour_learning_rate if self.colour else params.learning_rate
        self._use(self._build(0))

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of freshly dequantised batches until they end."""
        batch_size = self.params.batch_size
        training = self._begin(run.seed)
        self._use(training.average)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(
            functools.partial(self._step, training), self.device, generators=[training.rng]
        )
        for x, y in train.batches(batch_size, seed=run.seed, start=run.served):
            if run.served == len(x):  # the first batch
                self._calibrate(training, x, y)
            share = self._share(run.served / batch_size)
            (loss,) = step(x, y, self._rate(run.fraction), share)
            run.progress(**{"nll_bits_per_dim" if self.image else "nll_nats": loss})
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Invert z, in chunks; images are floored to grey levels."""
        rng, y = self._rng(seed), self._labels(labels, n)
        chunk = CAPTURED_CHUNK if captures(self.device) else SAMPLE_CHUNK
        chunk = COLOUR_CHUNK if self.colour else chunk
        return torch.cat([self._draw(part, rng) for part in torch.split(y, chunk)])

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``; of images the log-mean-exp over `draws` dequantisations."""
        rng, y = self._rng(seed), self._labels(labels, len(x))
        draws = draws if self.image else 1  # points have no such noise
        parts = []
        chunks = zip(torch.split(x, SCORE_CHUNK), torch.split(y, SCORE_CHUNK), strict=True)
        for rows, classes in chunks:
            score = self._score(len(rows))
            each = [score(self._dequantise(rows, rng), classes)[0] for _ in range(draws)]
            parts.append(torch.stack(each).logsumexp(0) - math.log(draws))
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and the range of the data."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(state)
        self._use(self.net)

    def _use(self, net: Density | ColourDensity) -> None:
        """Sample and score with this: the average of the trained weights, once fitted.

        A graph serves batches of one size, so that for the latest is kept from call to call.
        """
        self.net = net
        if isinstance(net, Density):
            self._inverse = functools.lru_cache(maxsize=1)(lambda n: Inverse(net, n))
        self._score = functools.lru_cache(maxsize=1)(
            lambda n: CapturedStep(lambda u, y: (net.log_prob(u, y),), self.device)
        )

    def _begin(self, seed: int) -> Training:
        net = self._build(seed)
        groups: list[dict[str, Any]] = [{"params": list(net.parameters()), "speed": 1.0}]
        if isinstance(net, Density):
            groups = [
                {"params": list(net.net.parameters()), "speed": 1.0},
                {"params": list(net.maps.parameters()), "speed": MAPS_SPEED},
            ]
        options = optimizer_options(self.device)
        optimizer = torch.optim.Adam(groups, lr=self.learning_rate, betas=(0.9, 0.99), **options)
        return Training(net, copy.deepcopy(net), optimizer, self._rng(seed))

    def _build(self, seed: int) -> Density | ColourDensity:
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if self.colour:
                steps, widths = (p.colour_steps,) * 2, (p.colour_width, 2 * p.colour_width)
                return ColourDensity(self.space, steps, widths).to(self.device)
            net = Density(
                self.space, plateaus=p.plateaus, sharpest=p.sharpest, dim=p.dim, depth=p.depth,
                heads=p.heads, expand=p.expand, units=p.units, soft_steps=p.soft_steps,
            )  # fmt: skip
        return net.to(self.device)

    def _calibrate(self, training: Training, x: Tensor, y: Tensor | None) -> None:
        """Set what the first batch decides."""
        if isinstance(training.net, ColourDensity):
            u = self._dequantise(x, training.rng)
            training.net.calibrate(u, self._labels(y, len(x)))
        else:
            training.net.calibrate(x)
        training.average.load_state_dict(training.net.state_dict())

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)

    def _rate(self, fraction: float) -> float:
        """Warm-up, then a cosine to 0."""
        warm = min(1.0, fraction / self.params.warm_up)
        return self.learning_rate * warm * ((1 + math.cos(math.pi * fraction)) / 2)

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
        """Update the weights and their average; the loss, bits/dim of images, nats of points."""
        net, unit = training.net, self.space.dims * math.log(2) if self.image else 1.0
        u = self._dequantise(x, training.rng)
        with bfloat16(self.device, wanted=self.colour):
            loss = -net.log_prob(u, self._labels(y, len(x))).mean() / unit
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), self.params.clip)
        for group in training.optimizer.param_groups:
            group["lr"] = rate * group["speed"]
        training.optimizer.step()
        move_average(list(training.average.parameters()), list(net.parameters()), share)
        return (loss.detach(),)

    def _dequantise(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if not self.image:
            return x
        return x + torch.rand(x.shape, generator=rng, device=self.device)

    def _labels(self, y: Tensor | None, n: int) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if y is None:
            raise UsageError(
                f"flow has {self.space.classes} classes and was given no labels: pass labels"
            )
        return y

    def _draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        if isinstance(self.net, ColourDensity):
            u = self.net.draw(y, rng)
        else:
            size = (len(y), self.net.rows, self.net.width)
            z = torch.rand(size, generator=rng, device=self.device)
            u = self._inverse(len(y))(z.clamp(1e-7, 1 - 1e-7), y)
        return u.floor().clamp(0, self.space.levels - 1).to(torch.uint8) if self.image else u
