"""A small generator that obeys the whole contract, and one that breaks each rule of it."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class Params:
    batch_size: int = 64


def spec(name: str, kind: str, **changes: object) -> GeneratorSpec:
    fields = {"version": "1", "family": "moments", "kinds": (kind,), "params": Params,
              "labels": "given", "likelihood": "exact"}  # fmt: skip
    return GeneratorSpec(name=name, **{**fields, **changes})  # type: ignore[arg-type]


class Points:
    """A diagonal Gaussian of the training rows' moments."""

    spec = spec("points", "points")

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device

    def fit(self, train: TrainData, run: Run) -> None:
        total = torch.zeros(2, self.space.dims, device=self.device)
        if (saved := run.restore()) is not None:
            total = saved["total"]
        for x, _ in train.batches(self.params.batch_size, seed=run.seed, start=run.served):
            total = total + torch.stack([x.sum(0), x.square().sum(0)])
            run.snapshot(lambda total=total: {"table": self._table(total, run.served)})
            run.checkpoint(lambda total=total: {"total": total})
        self.table = self._table(total, run.served)

    def _table(self, total: Tensor, n: int) -> Tensor:
        mean, square = total / n
        return torch.stack([mean, (square - mean.square()).sqrt()])

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator(self.device).manual_seed(seed)
        noise = torch.randn(n, self.space.dims, generator=rng, device=self.device)
        return self.table[0] + self.table[1] * noise

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return torch.distributions.Normal(*self.table, validate_args=False).log_prob(x).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.table = state["table"]


class Images(Points):
    """How often each pixel of each class has each grey level."""

    spec = spec("images", "image")

    def fit(self, train: TrainData, run: Run) -> None:
        classes, levels = max(1, self.space.classes), self.space.levels
        count = torch.ones(classes, self.space.dims, levels, device=self.device)
        for x, y in train.batches(self.params.batch_size, seed=run.seed):
            hot = torch.nn.functional.one_hot(x.flatten(1).long(), levels).float()
            rows = torch.zeros(len(x), dtype=torch.int64, device=self.device) if y is None else y
            count.index_add_(0, rows, hot)
        self.table = (count / count.sum(2, keepdim=True)).log()

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator(self.device).manual_seed(seed)
        table = self.table[self.rows(n, labels)]
        place = torch.rand(*table.shape[:2], 1, generator=rng, device=self.device)
        level = (table.exp().cumsum(2) < place).sum(2).clamp_max(self.space.levels - 1)
        return level.to(torch.uint8).view(n, *self.space.shape)

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        table = self.table[self.rows(len(x), labels)]
        return table.gather(2, x.flatten(1).long()[..., None]).sum((1, 2))

    def rows(self, n: int, labels: Tensor | None) -> Tensor:
        return torch.zeros(n, dtype=torch.int64, device=self.device) if labels is None else labels


class WrongSpec(Points):
    spec = spec("wrong-spec", "pointers", labels="some")


@dataclass
class WrongParams:
    depth: int = 1.5  # type: ignore[assignment]


class WrongParameters(Points):
    spec = spec("wrong-parameters", "points", params=WrongParams)


class FitRaises(Points):
    spec = spec("fit-raises", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        raise RuntimeError("the optimiser exploded")


class FitCrashes(Points):
    spec = spec("fit-crashes", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class FitLeaves(Points):
    spec = spec("fit-leaves", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        os._exit(0)


class FitHangs(Points):
    spec = spec("fit-hangs", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        time.sleep(600)


class SqueezesOne(Images):
    spec = spec("squeezes-one", "image")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return super().sample(n, seed=seed, labels=labels).squeeze(0)


class FewerLevels(Images):
    spec = spec("fewer-levels", "image")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return super().sample(n, seed=seed, labels=labels) * 16


class IgnoresSeed(Points):
    spec = spec("ignores-seed", "points")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return super().sample(n, seed=0)


class DrawsAfresh(Points):
    spec = spec("draws-afresh", "points")
    calls = itertools.count()

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return super().sample(n, seed=next(self.calls))


class SeedsEverything(Points):
    spec = spec("seeds-everything", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        torch.manual_seed(run.seed)
        super().fit(train, run)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        return super().sample(n, seed=seed)


class SpoilsData(Points):
    spec = spec("spoils-data", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        super().fit(train, run)
        train._x.mul_(2)  # type: ignore[attr-defined]


class Drifts(Points):
    spec = spec("drifts", "points")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        x = super().sample(n, seed=seed)
        if n == 7:
            self.table = self.table * 1.01
        return x


class IgnoresLabels(Images):
    spec = spec("ignores-labels", "image")

    def rows(self, n: int, labels: Tensor | None) -> Tensor:
        return super().rows(n, None)


class SortsLabels(Images):
    spec = spec("sorts-labels", "image")

    def rows(self, n: int, labels: Tensor | None) -> Tensor:
        return super().rows(n, labels).sort().values


class RandomScore(Points):
    spec = spec("random-score", "points")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        rng = torch.Generator()
        rng.seed()
        return super().log_prob(x, seed=seed) + torch.rand(len(x), generator=rng)


class OneScore(Points):
    spec = spec("one-score", "points")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return super().log_prob(x, seed=seed).mean()


class NoNormaliser(Points):
    spec = spec("no-normaliser", "points")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return -0.5 * ((x - self.table[0]) / self.table[1]).square().sum(1)


class LooseBound(NoNormaliser):
    spec = spec("loose-bound", "points", likelihood="lower-bound")


class MeanOfPixels(Images):
    spec = spec("mean-of-pixels", "image")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return super().log_prob(x, seed=seed, labels=labels) / self.space.dims


class NoBound(MeanOfPixels):
    spec = spec("no-bound", "image", likelihood="dequantized")


class BigOnly(Images):
    spec = spec("big-only", "image")

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        if space.dims < 64:
            raise ValueError("the image is too small")
        super().__init__(params, space, device)


class Memorises(Points):
    spec = spec("memorises", "points", likelihood=None)

    def fit(self, train: TrainData, run: Run) -> None:
        self.table = train.x

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return self.table[torch.randint(len(self.table), (n,), generator=rng)]


class WritesFiles(Points):
    spec = spec("writes-files", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        super().fit(train, run)
        Path("model.pt").write_text("weights")


class HalfState(Points):
    spec = spec("half-state", "points")

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.table[0]}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.table = torch.stack([state["mean"], torch.ones_like(state["mean"])])


class NotTensors(Points):
    spec = spec("not-tensors", "points")

    def state_dict(self) -> dict[str, Tensor]:
        return {"table": self.table.tolist()}


class Unrepeatable(Points):
    spec = spec("unrepeatable", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        super().fit(train, run)
        self.table += os.getpid() * 1e-6


class StartsAgain(Points):
    spec = spec("starts-again", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        total = torch.zeros(2, self.space.dims)
        run.restore()
        for x, _ in train.batches(self.params.batch_size, seed=run.seed):
            total = total + torch.stack([x.sum(0), x.square().sum(0)])
            run.checkpoint(lambda total=total: {"total": total})
        self.table = total / run.served


class SpoilsItsFit(Points):
    spec = spec("spoils-its-fit", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        total = torch.zeros(2, self.space.dims)
        for x, _ in train.batches(self.params.batch_size, seed=run.seed):
            total += torch.stack([x.sum(0), x.square().sum(0)])
            run.snapshot(lambda total=total: {"table": self._table(total.add_(1), run.served)})
        self.table = self._table(total, run.served)


class KeepsHalf(Points):
    spec = spec("keeps-half", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        total = torch.zeros(2, self.space.dims)
        for x, _ in train.batches(self.params.batch_size, seed=run.seed):
            total = total + torch.stack([x.sum(0), x.square().sum(0)])
            run.snapshot(lambda total=total: {"mean": total[0]})
        self.table = self._table(total, run.served)


class Unstoppable(Points):
    spec = spec("unstoppable", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        rows = train.x
        self.table = torch.stack([rows.mean(0), rows.std(0)])
        while run.budget > 10_000:
            time.sleep(0.1)


class StaysBehind(Points):
    spec = spec("stays-behind", "points")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(n, self.space.dims, generator=rng)


class MixesDevices(Points):
    spec = spec("mixes-devices", "points")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return self.table[0] + torch.randn(n, self.space.dims, generator=rng)


class Affine(torch.nn.Module):
    """Standard normal numbers in the place and scale of a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.table[0] + self.table[1] * z


class Coded(Points):
    """Sound, and its codes are the rows in deviations."""

    spec = spec("coded", "points")
    latent_size = noise_size = 2

    def encode(self, x: Tensor) -> Tensor:
        return (x - self.table[0]) / self.table[1]

    @property
    def decode(self) -> torch.nn.Module:
        return Affine(self.table)

    @property
    def sampler(self) -> torch.nn.Module:
        return Affine(self.table)


class WideCodes(Coded):
    spec = spec("wide-codes", "points")

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x).double()


class BatchCodes(Coded):
    spec = spec("batch-codes", "points")

    def encode(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / x.std(0)


class RandomCodes(Coded):
    spec = spec("random-codes", "points")

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x) + torch.randn(len(x), 2)


class UnsizedDecoder(Points):
    spec = spec("unsized-decoder", "points")

    @property
    def decode(self) -> torch.nn.Module:
        return Affine(self.table)


class DecoderIsNoModule(Coded):
    spec = spec("decoder-is-no-module", "points")

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return z


class DecodesHalf(Coded):
    spec = spec("decodes-half", "points")

    def reconstruct(self, x: Tensor) -> Tensor:
        return x[: len(x) // 2]


class ForgetsItsSampler(Coded):
    spec = spec("forgets-its-sampler", "points")

    def fit(self, train: TrainData, run: Run) -> None:
        super().fit(train, run)
        self.wide = 2.0

    @property
    def sampler(self) -> torch.nn.Module:
        return Affine(self.table * getattr(self, "wide", 1.0))
