"""Controls: unranked reference rows that say what a metric's numbers mean.

- `HeldOut` returns real rows that nobody trained on: the floor of every metric.
- `TrainCopy` returns training rows: what a perfect memoriser scores.
- `Gaussian` draws from a Gaussian per class with the data's mean and full covariance.
- `Noise` is uniform over the grey levels, or over the bounding box of points.
- `ModeDropped` is `HeldOut` without one class: what missing a mode costs.

The harness fits `HeldOut` and `ModeDropped` on the validation split and the others on the train
split. Rows are drawn without replacement; asking for more rows than exist is an error. Labels are
their own: the true ones, or the training proportions. Nothing is learnt, so no budget is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.errors import ContractError, UsageError
from genbench.generator import GeneratorSpec, Run, Samples, Space, TrainData

SECTORS = 8  # modes of unlabelled points: equal angles around the mean, as in the ring of Gaussians


@dataclass(frozen=True)
class NoParams:
    """A control without parameters."""


@dataclass(frozen=True)
class ModeDroppedParams:
    """Parameters of `ModeDropped`.

    Parameters
    ----------
    dropped_class
        The class left out; without classes, the sector (0 to 7, counter-clockwise from the first
        axis, around the mean of the first two coordinates).
    """

    dropped_class: int = 0


class HeldOut:
    """Real rows of the validation split, which no generator has seen."""

    spec = GeneratorSpec(
        name="heldout",
        version="1",
        family="control",
        kinds=("image", "points", "sequence", "waveform"),
        labels="own",
        likelihood=None,
        params=NoParams,
    )

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._rows = _Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        self._rows.keep(train.x, train.y)

    def available(self) -> int | None:
        """How many rows can be drawn."""
        return self._rows.n

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))


class TrainCopy:
    """Rows of the train split: a generator that memorises and nothing else."""

    spec = GeneratorSpec(
        name="train-copy",
        version="1",
        family="control",
        kinds=("image", "points", "sequence", "waveform"),
        labels="own",
        likelihood=None,
        params=NoParams,
    )

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._rows = _Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        self._rows.keep(train.x, train.y)

    def available(self) -> int | None:
        """How many rows can be drawn."""
        return self._rows.n

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))


class ModeDropped:
    """`HeldOut` without one class, or without one sector of unlabelled points."""

    spec = GeneratorSpec(
        name="mode-dropped",
        version="1",
        family="control",
        kinds=("image", "points"),
        labels="own",
        likelihood=None,
        params=ModeDroppedParams,
    )

    def __init__(self, params: ModeDroppedParams, space: Space, device: torch.device) -> None:
        modes = space.classes or SECTORS
        if not space.classes and (space.kind != "points" or space.dims < 2):
            raise UsageError(
                f"mode-dropped knows no modes of unlabelled {space.kind} of shape {space.shape}: "
                "leave it out of the suite's [controls] names"
            )
        if not 0 <= params.dropped_class < modes:
            raise UsageError(
                f"mode-dropped: dropped_class is {params.dropped_class}, "
                f"expected 0 to {modes - 1}: set it in the suite's [controls]"
            )
        self._dropped = params.dropped_class
        self._rows = _Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        x, y = train.x, train.y
        keep = (_sectors(x) if y is None else y) != self._dropped
        self._rows.keep(x[keep], None if y is None else y[keep])

    def available(self) -> int | None:
        """How many rows can be drawn."""
        return self._rows.n

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))


class Gaussian:
    """One Gaussian per class (one in all without classes): the data's mean and full covariance.

    Images are rounded to grey levels and clipped.
    """

    spec = GeneratorSpec(
        name="gaussian",
        version="1",
        family="control",
        kinds=("image", "points"),
        labels="own",
        likelihood=None,
        params=NoParams,
    )

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._space = space
        self._device = device
        self._state: dict[str, Tensor] = {}

    def fit(self, train: TrainData, run: Run) -> None:
        x, y = train.x.flatten(1).cpu(), train.y  # float64 is not on every device
        groups = [x] if y is None else [x[y.cpu() == c] for c in range(self._space.classes)]
        own_scales = self._space.kind == "points"
        fits = [_mean_and_factor(group, own_scales=own_scales) for group in groups]
        self._state = {
            "count": torch.tensor([len(group) for group in groups]),
            "mean": torch.stack([fit[0] for fit in fits]).to(self._device),  # (classes, d)
            "factor": torch.stack([fit[1] for fit in fits]).to(self._device),  # (classes, d, d)
        }

    def available(self) -> int | None:
        """None: it can be drawn from without end."""
        return None

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        generator = torch.Generator().manual_seed(seed)
        y = _proportional_labels(self._state["count"], n, generator).to(self._device)
        noise = torch.randn(n, self._space.dims, generator=generator).to(self._device)
        x = torch.empty_like(noise)
        for c, (mean, factor) in enumerate(
            zip(self._state["mean"], self._state["factor"], strict=True)
        ):
            rows = y == c
            x[rows] = mean + noise[rows] @ factor.T
        x = x.reshape(n, *self._space.shape)
        if self._space.kind == "image":
            x = x.round().clamp(0, self._space.levels - 1).to(torch.uint8)
        return Samples(x, y) if self._space.classes else x

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._state = {
            name: value.to("cpu" if name == "count" else self._device)
            for name, value in state.items()
        }


class Noise:
    """Uniform noise: grey levels of images, the bounding box of points."""

    spec = GeneratorSpec(
        name="noise",
        version="1",
        family="control",
        kinds=("image", "points"),
        labels="own",
        likelihood=None,
        params=NoParams,
    )

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._space = space
        self._device = device
        self._state: dict[str, Tensor] = {}

    def fit(self, train: TrainData, run: Run) -> None:
        y = train.y
        count = (
            torch.tensor([train.n])
            if y is None
            else torch.bincount(y.cpu(), minlength=self._space.classes)
        )
        self._state = {"count": count}
        if self._space.kind == "points":
            x = train.x
            self._state |= {"low": x.amin(0), "high": x.amax(0)}

    def available(self) -> int | None:
        """None: it can be drawn from without end."""
        return None

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        generator = torch.Generator().manual_seed(seed)
        y = _proportional_labels(self._state["count"], n, generator).to(self._device)
        size = (n, *self._space.shape)
        if self._space.kind == "image":
            levels = torch.randint(self._space.levels, size, generator=generator, dtype=torch.uint8)
            x = levels.to(self._device)
        else:
            low, high = self._state["low"], self._state["high"]
            x = low + (high - low) * torch.rand(size, generator=generator).to(self._device)
        return Samples(x, y) if self._space.classes else x

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._state = {
            name: value.to("cpu" if name == "count" else self._device)
            for name, value in state.items()
        }


class _Rows:
    """Real rows, drawn without replacement."""

    def __init__(self, owner: str, device: torch.device) -> None:
        self._owner = owner
        self._device = device
        self.state: dict[str, Tensor] = {}

    @property
    def n(self) -> int:
        return len(self.state["x"]) if self.state else 0

    def keep(self, x: Tensor, y: Tensor | None) -> None:
        self.state = {"x": x.to(self._device)}
        if y is not None:
            self.state["y"] = y.to(self._device)

    def draw(self, n: int, seed: int) -> Tensor | Samples:
        if n > self.n:
            raise ContractError(
                f"{self._owner} was asked for {n} rows and has {self.n}: "
                "ask for no more than available() says; rows are never repeated"
            )
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(seed))
        rows = order[:n].to(self._device)
        x = self.state["x"][rows]
        return Samples(x, self.state["y"][rows]) if "y" in self.state else x


def _sectors(x: Tensor) -> Tensor:
    """Which of eight equal angles around the mean each point lies in, centred on the axes."""
    centred = x[:, :2] - x[:, :2].mean(0)
    angle = torch.atan2(centred[:, 1], centred[:, 0])
    return (angle / (2 * math.pi / SECTORS)).round().long() % SECTORS


def _mean_and_factor(x: Tensor, *, own_scales: bool) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and a square root ``(d, d)`` of the covariance, both float32.

    A millionth of the mean variance is added to the diagonal, so that Cholesky also takes the
    covariance of pixels that never change; rounding to grey levels hides it. With `own_scales` a
    column gets at most a thousandth of its own variance: beside a column in thousands, one in
    hundredths would else be nothing but that.
    """
    wide = x.double()
    mean = wide.mean(0) if len(wide) else wide.new_zeros(wide.shape[1])
    centred = wide - mean
    covariance = centred.T @ centred / max(1, len(wide) - 1)
    tiny = torch.finfo(torch.float64).tiny
    jitter = 1e-6 * covariance.diagonal().mean() + tiny
    if own_scales:
        jitter = torch.minimum(jitter, 1e-3 * covariance.diagonal() + tiny)
    covariance.diagonal().add_(jitter)
    return mean.float(), torch.linalg.cholesky(covariance).float()


def _proportional_labels(count: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """`n` labels in the proportions of `count` (largest remainder), in random order."""
    share = count.double() * (n / int(count.sum()))
    quota = share.floor().long()
    rest = n - int(quota.sum())
    quota[torch.argsort(share - quota, descending=True, stable=True)[:rest]] += 1
    labels = torch.repeat_interleave(torch.arange(len(count)), quota)
    return labels[torch.randperm(n, generator=generator)]
