"""Controls: unranked reference rows that say what a metric's numbers mean.

- `HeldOut` returns real rows that nobody trained on: the floor of every metric.
- `TrainCopy` returns training rows: what a perfect memoriser scores.
- `Gaussian` draws from a Gaussian per class with the data's mean and full covariance; of sounds a
  stationary one with the class's mean spectrum.
- `Noise` is uniform over the grey levels, or over the bounding box of points; of texts it draws
  each token by itself, as often as the train split has it, the end included; of sounds white, at
  the level of the train split's rows.
- `ModeDropped` is `HeldOut` without one class: what missing a mode costs.

The harness fits `HeldOut` and `ModeDropped` on the validation split and the others on the train
split. Rows are drawn without replacement; asking for more rows than exist is an error. Labels are
their own: the true ones, or the training proportions. Nothing is learnt, so no budget is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.baselines.controls_parts import (
    SECTORS,
    Rows,
    coloured,
    drawn_tokens,
    ended,
    frequencies,
    levels,
    mean_and_factor,
    mean_and_jitter,
    mean_power,
    proportional_labels,
    sectors,
    spread_of_rows,
    white,
)
from genbench.errors import UsageError
from genbench.generator import GeneratorSpec, Kind, Run, Samples, Space, TrainData

MOST_FACTORS = 100_000_000  # numbers: ten classes of 32 x 32 in colour have 94 million

ANY: tuple[Kind, ...] = ("image", "points", "sequence", "waveform")
BUT_TEXTS: tuple[Kind, ...] = ("image", "points", "waveform")


@dataclass(frozen=True, slots=True)
class NoParams:
    """A control without parameters."""


@dataclass(frozen=True, slots=True)
class ModeDroppedParams:
    """The settings of `ModeDropped` in a suite's ``[controls]``."""

    dropped_class: int = 0
    """The class left out; without classes, the sector (0 to 7, counter-clockwise from the first
    axis, around the mean of the first two coordinates)."""


def _spec(name: str, kinds: tuple[Kind, ...], params: type) -> GeneratorSpec:
    return GeneratorSpec(
        name=name,
        version="1",
        family="control",
        kinds=kinds,
        labels="own",
        likelihood=None,
        params=params,
    )


class HeldOut:
    """Real rows of the validation split, which no generator has seen."""

    spec: ClassVar[GeneratorSpec] = _spec("heldout", ANY, NoParams)

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._rows = Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        self._rows.keep(train.x, train.y)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))

    def available(self) -> int | None:
        """The number of rows that can be drawn."""
        return self._rows.n


class TrainCopy:
    """Rows of the train split: a generator that memorises and nothing else."""

    spec: ClassVar[GeneratorSpec] = _spec("train-copy", ANY, NoParams)

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._rows = Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        self._rows.keep(train.x, train.y)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))

    def available(self) -> int | None:
        """The number of rows that can be drawn."""
        return self._rows.n


class ModeDropped:
    """`HeldOut` without one class, or without one sector of unlabelled points."""

    spec: ClassVar[GeneratorSpec] = _spec("mode-dropped", ANY, ModeDroppedParams)

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
        self._rows = Rows(self.spec.name, device)

    def fit(self, train: TrainData, run: Run) -> None:
        x, y = train.x, train.y
        keep = (sectors(x) if y is None else y) != self._dropped
        self._rows.keep(x[keep], None if y is None else y[keep])

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        return self._rows.draw(n, seed)

    def state_dict(self) -> dict[str, Tensor]:
        return self._rows.state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows.keep(state["x"], state.get("y"))

    def available(self) -> int | None:
        """The number of rows that can be drawn."""
        return self._rows.n


class Gaussian:
    """One Gaussian per class (one in all without classes): the data's mean and full covariance.

    Images are rounded to grey levels and clipped. Where the roots of the covariances would hold
    more than `MOST_FACTORS` numbers, as those of pictures of 64 x 64 do, the rows stand for them:
    the same distribution, drawn by other numbers.
    """

    spec: ClassVar[GeneratorSpec] = _spec("gaussian", BUT_TEXTS, NoParams)

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._space = space
        self._device = device
        self._state: dict[str, Tensor] = {}

    def fit(self, train: TrainData, run: Run) -> None:
        x, y = train.x.flatten(1).cpu(), train.y  # float64 is not on every device
        groups = [x] if y is None else [x[y.cpu() == c] for c in range(self._space.classes)]
        if self._space.kind == "waveform":
            self._state = {
                "count": torch.tensor([len(group) for group in groups]),
                "power": torch.stack([mean_power(group) for group in groups]),
            }
            return
        own_scales = self._space.kind == "points"
        by_rows = len(groups) * self._space.dims**2 > MOST_FACTORS
        moments = mean_and_jitter if by_rows else mean_and_factor
        fits = [moments(group, own_scales=own_scales) for group in groups]
        self._state = {
            "count": torch.tensor([len(group) for group in groups]),
            "mean": torch.stack([fit[0] for fit in fits]).to(self._device),  # (classes, d)
        }
        second = torch.stack([fit[1] for fit in fits]).to(self._device)
        if by_rows:  # (classes, d) and (n, d), class after class
            self._state |= {"jitter": second, "rows": torch.cat(groups).to(self._device)}
        else:  # (classes, d, d)
            self._state["factor"] = second

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        rng = torch.Generator().manual_seed(seed)
        y = proportional_labels(self._state["count"], n, rng)
        if self._space.kind == "waveform":
            x = coloured(self._state["power"].cpu()[y], n, self._space.dims, rng).to(self._device)
            return Samples(x, y.to(self._device)) if self._space.classes else x
        noise = torch.randn(n, self._space.dims, generator=rng).to(self._device)
        x = torch.empty_like(noise)
        for c in range(len(self._state["count"])):
            rows = (y == c).nonzero()[:, 0].to(self._device)
            x[rows] = self._state["mean"][c] + self._spread(c, noise[rows], rng)
        x = x.reshape(n, *self._space.shape)
        if self._space.kind == "image":
            x = x.round().clamp(0, self._space.levels - 1).to(torch.uint8)
        return Samples(x, y.to(self._device)) if self._space.classes else x

    def _spread(self, c: int, noise: Tensor, rng: torch.Generator) -> Tensor:
        """Standard normal `noise` ``(n, d)`` with the covariance of class `c`."""
        if "factor" in self._state:
            return noise @ self._state["factor"][c].T
        rows = self._state["rows"].split(self._state["count"].tolist())[c]
        around = spread_of_rows(rows, self._state["mean"][c], len(noise), rng)
        return around + noise * self._state["jitter"][c].sqrt()

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._state = {
            name: value.to("cpu" if name == "count" else self._device)
            for name, value in state.items()
        }

    def available(self) -> int | None:
        """None: it can be drawn from without end."""
        return None


class Noise:
    """Noise: uniform grey levels, or points of the bounding box; tokens by their frequency."""

    spec: ClassVar[GeneratorSpec] = _spec("noise", ANY, NoParams)

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
        if self._space.kind == "waveform":
            self._state["level"] = levels(train.x)
        if self._space.kind == "sequence":
            self._state["frequency"] = frequencies(train.x, self._space.levels, self._space.pad)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        rng = torch.Generator().manual_seed(seed)
        y = proportional_labels(self._state["count"], n, rng).to(self._device)
        size = (n, *self._space.shape)
        if self._space.kind == "image":
            levels = torch.randint(self._space.levels, size, generator=rng, dtype=torch.uint8)
            x = levels.to(self._device)
        elif self._space.kind == "sequence":
            x = drawn_tokens(self._state["frequency"].cpu(), n, self._space.dims, rng)
            x = ended(x, self._space.pad).to(self._device)
        elif self._space.kind == "waveform":
            x = white(self._state["level"].cpu(), size, rng).to(self._device)
        else:
            low, high = self._state["low"], self._state["high"]
            x = low + (high - low) * torch.rand(size, generator=rng).to(self._device)
        return Samples(x, y) if self._space.classes else x

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._state = {
            name: value.to("cpu" if name == "count" else self._device)
            for name, value in state.items()
        }

    def available(self) -> int | None:
        """None: it can be drawn from without end."""
        return None
