"""A kernel density estimate: training rows with Gaussian noise around each, and nothing learned.

Parzen, "On Estimation of a Probability Density Function and Mode" (1962). A sample is a training
row of the class asked for, and noise; the density is the mean of as many Gaussians as there are
rows. The noise has the deviation of each coordinate within a class times one bandwidth, the one
that makes rows likeliest that are left out of the estimate in turn. Grey levels are dequantised: a
kernel stands in the middle of its row's levels.

Breuleux, Bengio & Vincent, "Quickly Generating Representative Samples from an RBM-Derived Process"
(2011), made it the ruler of other models: their samples' kernel density at test rows. Here it is
fitted on the rows themselves, as a row of its own: what copying with noise scores. It reads all
rows at once and serves none of the budget, which its record says, and its samples are near copies.

Expect of eight Gaussians 2.86 nats, 0.03 above the entropy; of MNIST 5.46 bits/dim and an FID of
106, no better than the control ``gaussian``: noise that makes unseen rows likely buries strokes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.errors import ContractError, UsageError
from genbench.generator import GeneratorSpec, Run, Space, TrainData

CHUNK = 200  # rows whose distances to all training rows are held at once
TRIED, ROUNDS = 9, 3  # bandwidths; each round looks between the neighbours of the last one's best
LEAST_SCALE = 1e-6  # deviation of a coordinate that never changes


@dataclass(frozen=True)
class KDEParams:
    """Parameters, set with ``-g kde:name=value``."""

    bandwidth: float = 0.0
    """Deviation of the noise, in deviations of the data within a class; 0: chosen on rows left out.
    """
    smallest: float = 0.003
    """Smallest bandwidth that may be chosen."""
    largest: float = 1.0
    """Largest bandwidth that may be chosen."""
    left_out: int = 400
    """Training rows, at random, that are left out in turn and scored to choose one."""


class KDE:
    """The baseline ``kde``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="kde",
        version="1",
        family="kernel",
        kinds=("image", "points"),
        labels="given",
        likelihood="dequantized",
        params=KDEParams,
        reference="Parzen 1962; Breuleux et al. 2011, doi:10.1162/NECO_a_00158",
    )

    def __init__(self, params: KDEParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.state: dict[str, Tensor] = {}
        self.kernels: tuple[Tensor, Tensor, Tensor] | None = None  # see `_squares`

    def fit(self, train: TrainData, run: Run) -> None:
        """Keep all rows, by class, and choose the bandwidth."""
        x = train.x
        y = torch.zeros(len(x), dtype=torch.int64, device=x.device) if train.y is None else train.y
        order = torch.argsort(y, stable=True)
        x, y = x[order], y[order]
        variance = _variance(self._centres(x), y, self.space.classes)
        if self.space.levels:
            variance = variance + 1 / 12  # of the noise that dequantises
        scale = variance.sqrt().clamp_min(LEAST_SCALE)
        self.load_state_dict({"x": x, "y": y, "scale": scale})
        self.state["bandwidth"] = self._choose(run.seed)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Rows of the classes asked for, with noise; images are floored to grey levels."""
        s, rng, asked = self._fitted(), self._rng(seed), self._classes(n, labels)
        pick = torch.rand(n, generator=rng, dtype=torch.float64).to(self.device)
        noise = torch.randn(n, self.space.dims, generator=rng).to(self.device)
        first = torch.searchsorted(s["y"], asked)
        count = torch.searchsorted(s["y"], asked, right=True) - first
        none = count == 0  # of a class without rows, any row
        first, count = first.masked_fill(none, 0), count.masked_fill(none, len(s["y"]))
        rows = first + (pick * count).long()
        x = self._centres(s["x"][rows]) + s["bandwidth"] * s["scale"] * noise
        x = x.unflatten(1, self.space.shape)
        if not self.space.levels:
            return x
        return x.floor().clamp(0, self.space.levels - 1).to(torch.uint8)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``; of images the log-mean-exp over `draws` dequantisations."""
        rng, asked = self._rng(seed), self._classes(len(x), labels)
        draws, parts = draws if self.space.levels else 1, []
        for rows, y in zip(torch.split(x, CHUNK), torch.split(asked, CHUNK), strict=True):
            each = [self._log_density(self._dequantise(rows, rng), y) for _ in range(draws)]
            parts.append(torch.stack(each).logsumexp(0) - math.log(draws))
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """All training rows, their classes, the deviations and the bandwidth."""
        return dict(self._fitted())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.state = {name: tensor.to(self.device) for name, tensor in state.items()}
        self.kernels = None

    def _choose(self, seed: int) -> Tensor:
        """The bandwidth under which rows that are left out in turn are likeliest."""
        p, s = self.params, self.state
        if p.bandwidth:
            return torch.tensor(p.bandwidth, device=self.device)
        rng = self._rng(seed)
        probes = torch.randperm(len(s["x"]), generator=rng)[: p.left_out].to(self.device)
        parts = [
            self._squares(self._dequantise(s["x"][own], rng), s["y"][own]).scatter_(
                1, own[:, None], torch.inf
            )
            for own in torch.split(probes, CHUNK)
        ]
        squares = torch.cat(parts)
        ends = torch.tensor([p.smallest, p.largest], device=self.device).log()
        low, high = ends[0], ends[1]
        for _ in range(ROUNDS):
            step = (high - low) / (TRIED - 1)
            tried = low + step * torch.arange(TRIED, device=self.device)
            fits = torch.stack([self._fit_of(squares, log_h) for log_h in tried])
            best = tried.index_select(0, fits.argmax()[None]).squeeze(0)
            low, high = (best - step).clamp_min(ends[0]), (best + step).clamp_max(ends[1])
        return best.exp()

    def _fit_of(self, squares: Tensor, log_h: Tensor) -> Tensor:
        """Log-likelihood, up to a constant, of rows at these squared distances under a bandwidth.

        A row that is alone in its class says nothing of it.
        """
        fit = torch.logsumexp(squares * (-0.5 * (-2 * log_h).exp()), 1)
        return (fit - self.space.dims * log_h).nan_to_num(neginf=0).sum()

    def _log_density(self, x: Tensor, y: Tensor) -> Tensor:
        """Of the mixture of kernels at rows ``(n, d)`` of classes `y`, nats, ``(n,)``."""
        s = self._fitted()
        h = s["bandwidth"]
        count = torch.searchsorted(s["y"], y, right=True) - torch.searchsorted(s["y"], y)
        kernels = torch.logsumexp(self._squares(x, y) * (-0.5 / h.square()), 1).double()
        volume = (s["scale"] * h * math.sqrt(2 * math.pi)).double().log().sum()
        return kernels - volume - torch.where(count == 0, len(s["y"]), count).log()

    def _squares(self, x: Tensor, y: Tensor) -> Tensor:
        """Squared distances of rows ``(n, d)`` to all training rows, in deviations, ``(n, rows)``.

        To those of another class they are infinite, unless a class has no rows at all.
        """
        s = self.state
        if self.kernels is None:
            rows = self._centres(s["x"])
            middle = rows.mean(0)  # near 0 the differences of large squares are exact enough
            rows = (rows - middle) / s["scale"]
            self.kernels = middle, rows.T, rows.square().sum(1)
        middle, rows, lengths = self.kernels
        x = (x - middle) / s["scale"]
        squares = torch.addmm(lengths, x, rows, alpha=-2).add_(x.square().sum(1, keepdim=True))
        other = y[:, None] != s["y"]
        other &= ~other.all(1, keepdim=True)
        return squares.clamp_min_(0).masked_fill_(other, torch.inf)

    def _centres(self, x: Tensor) -> Tensor:
        """Training rows as float ``(n, d)``; of images the middle of each grey level."""
        return x.flatten(1).float() + (0.5 if self.space.levels else 0.0)

    def _dequantise(self, x: Tensor, rng: torch.Generator) -> Tensor:
        rows = x.flatten(1).float()
        if not self.space.levels:
            return rows
        return rows + torch.rand(rows.shape, generator=rng).to(self.device)

    def _rng(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)  # on the CPU: the same draws for every device

    def _classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"kde got labels=None in a space of {self.space.classes} classes: pass int64 (n,)"
            )
        return labels.to(self.device)

    def _fitted(self) -> dict[str, Tensor]:
        if not self.state:
            raise ContractError("kde has no rows yet: call fit or load_state_dict first")
        return self.state


def _variance(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Of each coordinate of rows ``(n, d)`` around its class's mean, ``(d,)``."""
    member = (y[:, None] == torch.arange(max(1, classes), device=y.device)).to(x)  # (n, classes)
    means = member.T @ x / member.sum(0).clamp_min(1)[:, None]
    return (x - means[y]).square().mean(0)
