"""Does every metric answer as it must on this machine? Claims with known answers, each a number.

The rows are made on the spot, so no data set, extractor or generator takes part; only the
downstream claims use real images (scikit-learn's digits, which need no download). A claim holds if
its number lies in the range that theory or construction gives. `sabotage` shows that a claim can
fail: it replaces what one metric answers, and all of that metric's claims must turn red.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import GenbenchError, MetricError, UsageError, did_you_mean

Rows = NDArray[np.float64]

N, DIMS, CLASSES = 2000, 16, 10
APART = 8.0  # distance of a class's centre from the origin, in standard deviations
SHIFT = 3.0  # length of the known shift
DROPPED = 3
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence about one metric, and the range that its number must lie in."""

    metric: str
    sentence: str
    low: float
    high: float
    measure: Callable[[Laboratory], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim, the number found (None if there was none) and whether it holds."""

    claim: Claim
    found: float | None
    reason: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the number lies in the claim's range."""
        return self.found is not None and self.claim.low <= self.found <= self.claim.high


class Laboratory:
    """Sets of rows with known relations, and metrics of them, some perhaps sabotaged."""

    def __init__(self, sabotage: str | None = None) -> None:
        self.sabotage = sabotage

    @cached_property
    def sets(self) -> dict[str, Rows]:
        """``real``, ``fresh`` and ``train`` are draws from one mixture; the rest is off."""
        rng = np.random.default_rng(SEED)
        real, fresh, train = (self._draw(rng, self.labels) for _ in range(3))
        kept = np.setdiff1d(np.arange(CLASSES), DROPPED)
        return {
            "real": real,
            "fresh": fresh,
            "train": train,
            "shifted": real + SHIFT / math.sqrt(DIMS),
            "dropped": self._draw(rng, np.resize(kept, N)),
            "copies": train[rng.permutation(N)],
            "noise": rng.uniform(-APART, APART, (N, DIMS)),
        }

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Classes 0, 1, ... in turn, ``(N,)``."""
        return np.arange(N, dtype=np.int64) % CLASSES

    @staticmethod
    def _draw(rng: np.random.Generator, labels: NDArray[np.int64]) -> Rows:
        return APART * np.eye(CLASSES, DIMS)[labels] + rng.standard_normal((len(labels), DIMS))

    def __call__(self, metric: str, fake: str, real: str = "real", **more: Any) -> float:
        """The metric of one named set against another, features of `DIMS` dimensions."""
        return self.of(metric, self.sets[real], self.sets[fake], train=self.sets["train"], **more)

    def of(self, metric: str, real: Any, fake: Any, **more: Any) -> float:
        """The metric of given rows; an untold one raises MetricError with its reason."""
        from genbench.metrics.evaluation import evaluate

        found = evaluate(real, fake, [metric], seed=SEED, intervals=False, **more)[metric]
        if found.value is None:
            raise MetricError(found.reason or "no value and no reason")
        return self.told(metric, found.value)

    def told(self, metric: str, value: float) -> float:
        """What the metric says: the truth, unless it is sabotaged."""
        return 7 - 3 * value if metric == self.sabotage else value

    def labelled(self, metric: str, turn: int) -> float:
        """Real rows against themselves with all labels moved on by `turn`."""
        real = self.sets["real"]
        labels = {"real_labels": self.labels, "fake_labels": (self.labels + turn) % CLASSES}
        return self.of(metric, real, real, **labels)

    def score(self, probabilities: Rows) -> float:
        """The classifier score of class probabilities."""
        given = {
            "fake_probabilities": probabilities,
            "parameters": {"classifier_score": {"splits": 1}},
        }
        return self.of("classifier_score", None, None, **given)

    def nll(self, metric: str, log_prob: Rows, dims: int | None) -> float:
        """Mean negative log-likelihood: bits/dim, or nats if `dims` is None."""
        from genbench.metrics.likelihood import nll_bits_per_dim, nll_nats

        found = nll_nats(log_prob) if dims is None else nll_bits_per_dim(log_prob, dims)
        return self.told(metric, found.value)

    def gaussian_nll(self, metric: str) -> float:
        """How far the NLL of Gaussian rows under their density is from the entropy, in errors."""
        x = np.random.default_rng(SEED).standard_normal((20_000, 2))
        log_prob = -0.5 * (x**2).sum(1) - math.log(2 * math.pi)
        error = float(log_prob.std(ddof=1)) / math.sqrt(len(x))
        return (self.nll(metric, log_prob, None) - math.log(2 * math.pi * math.e)) / error

    def kid_by_definition(self) -> float:
        """KID on few rows over the double sum that defines it."""
        real, fake = self.sets["real"][:300], self.sets["shifted"][300:600]
        within = sum(
            (kernel.sum() - np.trace(kernel)) / (300 * 299)
            for kernel in ((a @ a.T / DIMS + 1) ** 3 for a in (real, fake))
        )
        direct = float(within - 2 * ((real @ fake.T / DIMS + 1) ** 3).mean())
        parameters = {"kid": {"subsets": 1, "subset_size": 300}}
        return self.of("kid", real, fake, parameters=parameters) / direct

    @cached_property
    def _digits(self) -> tuple[Any, Any, Any]:
        from sklearn.datasets import load_digits

        from genbench.data.split import Split
        from genbench.generator import Space

        x, y = load_digits(return_X_y=True)
        images, labels = x.reshape(-1, 1, 8, 8).astype(np.uint8), y.astype(np.int64)
        train, test = Split(images[:1000], labels[:1000]), Split(images[1000:], labels[1000:])
        return train, test, Space("image", (1, 8, 8), 17, CLASSES)

    def downstream(self, metric: str, turn: int = 0) -> float:
        """TSTR or TRTR where the generated rows are the real ones, labels moved on by `turn`."""
        return self._downstream[turn][metric]

    @cached_property
    def _downstream(self) -> dict[int, dict[str, float]]:
        from genbench.downstream.tstr import train_on_synthetic

        train, test, space = self._digits
        found = {}
        for turn in (0, 1):
            labels = (train.y + turn) % CLASSES
            values = train_on_synthetic(
                train, test, train.x, labels, space, n=1000, steps=120, batch_size=64, seed=SEED
            )
            found[turn] = {id_: self.told(id_, v.value or 0.0) for id_, v in values.items()}
        return found


_HOT = np.eye(CLASSES)[np.arange(1000) % CLASSES]
_EVEN = np.full((1000, CLASSES), 1 / CLASSES)
_UNIFORM = np.full(50, -784 * math.log(256))
_ANY = math.inf


def _gap(metric: str, worse: str, better: str) -> Callable[[Laboratory], float]:
    return lambda lab: lab(metric, worse) - lab(metric, better)


def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the metric table."""
    return tuple(_claims())


def _claims() -> Iterator[Claim]:
    def of(metric: str, sentence: str, low: float, high: float, measure: Any) -> Claim:
        return Claim(metric, sentence, low, high, measure)

    yield of("fid", "rows against themselves: 0", -1e-6, 1e-6, lambda lab: lab("fid", "real"))
    yield of("fid", "a shift of length 3: 9", 8.9999, 9.0001, lambda lab: lab("fid", "shifted"))
    yield of(
        "fid", "a lost class is worse than fresh rows", 0.1, _ANY, _gap("fid", "dropped", "fresh")
    )
    yield of("fid", "noise is worse than a lost class", 10, _ANY, _gap("fid", "noise", "dropped"))

    infinity = "fid_infinity"
    yield of(infinity, "fresh rows: 0 but for noise", -0.5, 0.5, lambda lab: lab(infinity, "fresh"))
    yield of(infinity, "a shift of length 3: 9", 8.5, 9.5, lambda lab: lab(infinity, "shifted"))

    per_class = "fid_per_class"
    swapped = 2 * APART**2
    yield of(
        per_class, "rows against themselves: 0", -1e-6, 1e-6, lambda lab: lab.labelled(per_class, 0)
    )
    yield of(
        per_class, f"every class taken for the next: {swapped:g}", 0.9 * swapped, 1.1 * swapped,
        lambda lab: lab.labelled(per_class, 1),
    )  # fmt: skip

    yield of(
        "kid",
        "the double sum that defines it: 1 of it",
        1 - 1e-6,
        1 + 1e-6,
        Laboratory.kid_by_definition,
    )
    yield of("kid", "a shift is worse than fresh rows", 0.1, _ANY, _gap("kid", "shifted", "fresh"))
    yield of("kid", "noise is worse than a shift", 0.1, _ANY, _gap("kid", "noise", "shifted"))

    yield of("emd", "rows against themselves: 0", -1e-4, 1e-4, lambda lab: lab("emd", "real"))
    yield of("emd", "a shift of length 3: 3", 2.999, 3.001, lambda lab: lab("emd", "shifted"))
    yield of("emd", "noise is worse than a shift", 1, _ANY, _gap("emd", "noise", "shifted"))

    sliced, part = "sliced_wasserstein", SHIFT / math.sqrt(DIMS)
    yield of(sliced, "rows against themselves: 0", -1e-6, 1e-6, lambda lab: lab(sliced, "real"))
    yield of(
        sliced,
        f"a shift of length 3: 3 / sqrt({DIMS})",
        0.9 * part,
        1.1 * part,
        lambda lab: lab(sliced, "shifted"),
    )

    score = "classifier_score"
    yield of(
        score,
        f"sure and even over {CLASSES} classes: {CLASSES}",
        9.999,
        10.001,
        lambda lab: lab.score(_HOT),
    )
    yield of(score, "never sure: 1", 0.999, 1.001, lambda lab: lab.score(_EVEN))

    for name in ("precision", "recall"):
        yield of(name, "rows against themselves: 1", 1, 1, lambda lab, name=name: lab(name, "real"))
    yield of("precision", "noise: 0", 0, 0.02, lambda lab: lab("precision", "noise"))
    yield of(
        "recall",
        "a class lost: its tenth is missed",
        0.05,
        0.15,
        _gap("recall", "fresh", "dropped"),
    )
    yield of("density", "fresh rows: 1", 0.9, 1.1, lambda lab: lab("density", "fresh"))
    yield of("density", "noise: 0", 0, 0.02, lambda lab: lab("density", "noise"))
    expected = 1 - 2**-5
    yield of(
        "coverage",
        "fresh rows: 1 - 2^-5",
        expected - 0.03,
        expected + 0.03,
        lambda lab: lab("coverage", "fresh"),
    )
    yield of(
        "coverage",
        "a class lost: its tenth is missed",
        0.05,
        0.15,
        _gap("coverage", "fresh", "dropped"),
    )

    yield of(
        "vendi",
        f"{CLASSES} directions, evenly: {CLASSES}",
        9.999,
        10.001,
        lambda lab: lab.of("vendi", _HOT, _HOT),
    )
    yield of("vendi", "one direction: 1", 0.999, 1.001, lambda lab: lab.of("vendi", _HOT, _EVEN))

    for name in ("nll", "nll_tight"):
        yield of(
            name, "uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9,
            lambda lab, name=name: lab.nll(name, _UNIFORM, 784),
        )  # fmt: skip
        yield of(
            name, "Gaussian rows: the entropy, within 4 standard errors", -4, 4,
            lambda lab, name=name: lab.gaussian_nll(name),
        )  # fmt: skip

    yield of(
        "c2st", "fresh rows cannot be told apart: 0.5", 0.45, 0.55, lambda lab: lab("c2st", "fresh")
    )
    yield of("c2st", "noise can: 1", 0.9, 1, lambda lab: lab("c2st", "noise"))
    yield of(
        "c_t",
        "fresh rows are as far from training as real ones: 0",
        -4,
        4,
        lambda lab: lab("c_t", "fresh"),
    )
    yield of("c_t", "copies are far too near", -_ANY, -10, lambda lab: lab("c_t", "copies"))
    yield of("authenticity", "copies: 0", 0, 0, lambda lab: lab("authenticity", "copies"))
    yield of(
        "authenticity",
        "fresh rows: most are",
        0.5,
        0.8,
        lambda lab: lab("authenticity", "fresh"),
    )

    yield of(
        "trtr_accuracy",
        "real digits teach their classes",
        0.85,
        1,
        lambda lab: lab.downstream("trtr_accuracy"),
    )
    yield of(
        "tstr_accuracy",
        "copies of real digits teach as well",
        0.85,
        1,
        lambda lab: lab.downstream("tstr_accuracy"),
    )
    yield of(
        "tstr_accuracy",
        "wrong labels teach nothing",
        0,
        0.1,
        lambda lab: lab.downstream("tstr_accuracy", 1),
    )


def run_selftest(
    metrics: Collection[str] = (),
    *,
    sabotage: str | None = None,
    each: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Check the claims about these metrics, or all claims.

    Parameters
    ----------
    metrics
        Ids; none means all.
    sabotage
        A metric whose answers v are replaced by ``7 - 3 v``, to see that its claims can fail.
    each
        Told every verdict as it falls.

    Raises
    ------
    UsageError
        If a name is none of a metric that a claim is about.
    """
    known = {claim.metric for claim in claims()}
    for name in (*metrics, *([] if sabotage is None else [sabotage])):
        if name not in known:
            raise UsageError(f"no claim is about {name!r}: {did_you_mean(name, known)}")
    laboratory, verdicts = Laboratory(sabotage), []
    for claim in claims():
        if metrics and claim.metric not in metrics:
            continue
        start = time.perf_counter()
        found, reason = None, None
        try:
            found = float(claim.measure(laboratory))
        except GenbenchError as error:
            reason = str(error)
        verdicts.append(Verdict(claim, found, reason, time.perf_counter() - start))
        each(verdicts[-1])
    return verdicts


def as_json(verdicts: list[Verdict]) -> list[Mapping[str, Any]]:
    """Plain data; an open end of a range is None."""

    def bound(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "metric": v.claim.metric,
            "claim": v.claim.sentence,
            "found": v.found,
            "low": bound(v.claim.low),
            "high": bound(v.claim.high),
            "ok": v.ok,
            "reason": v.reason,
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]
