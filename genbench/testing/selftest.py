"""Does every metric answer as it must on this machine? Claims with known answers, each a number.

The rows are made on the spot, so no data set, extractor or generator takes part; only the
downstream claims use real images (scikit-learn's digits, which need no download). A claim holds if
its number lies in the range that theory or construction gives. `sabotage` shows that a claim can
fail: it replaces what one metric answers, and all of that metric's claims must turn red.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import GenbenchError, MetricError, UsageError, did_you_mean
from genbench.metrics.values import MetricValue

if TYPE_CHECKING:
    from genbench.testing.known_digits import KnownDigits

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
    measure: Callable[[Laboratory, str], float]


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

    def __call__(self, metric: str, fake: str) -> float:
        """The metric of a named set against the real one."""
        return self.of(metric, self.sets["real"], self.sets[fake], train=self.sets["train"])

    def of(self, metric: str, real: Any, fake: Any, **more: Any) -> float:
        """The metric of given rows; an untold one raises MetricError with its reason."""
        from genbench.metrics.evaluation import evaluate

        found = evaluate(real, fake, [metric], seed=SEED, intervals=False, **more)[metric]
        if found.value is None:
            raise MetricError(found.reason or "no value and no reason")
        return self.reported(metric, found.value)

    def reported(self, metric: str, value: float) -> float:
        """The value of the metric: the truth, unless it is sabotaged."""
        return 7 - 3 * value if metric == self.sabotage else value

    def labelled(self, metric: str, turn: int) -> float:
        """Real rows against themselves with all labels moved on by `turn`."""
        real = self.sets["real"]
        labels = {"real_labels": self.labels, "fake_labels": (self.labels + turn) % CLASSES}
        return self.of(metric, real, real, **labels)

    def score(self, metric: str, probabilities: Rows) -> float:
        """The classifier score of class probabilities."""
        given = {
            "fake_probabilities": probabilities,
            "parameters": {"classifier_score": {"splits": 1}},
        }
        return self.of(metric, None, None, **given)

    def nll(self, metric: str, log_prob: Rows, dims: int | None) -> float:
        """Mean negative log-likelihood: bits/dim, or nats if `dims` is None."""
        from genbench.metrics.likelihood import nll_bits_per_dim, nll_nats

        found = nll_nats(log_prob) if dims is None else nll_bits_per_dim(log_prob, dims)
        return self.reported(metric, found.value)

    def gaussian_nll(self, metric: str) -> float:
        """The distance of the NLL of Gaussian rows from the entropy, in standard errors."""
        x = np.random.default_rng(SEED).standard_normal((20_000, 2))
        log_prob = -0.5 * (x**2).sum(1) - math.log(2 * math.pi)
        error = float(log_prob.std(ddof=1)) / math.sqrt(len(x))
        return (self.nll(metric, log_prob, None) - math.log(2 * math.pi * math.e)) / error

    def kid_by_definition(self, metric: str) -> float:
        """KID on few rows over the double sum that defines it."""
        real, fake = self.sets["real"][:300], self.sets["shifted"][300:600]
        within = sum(
            (kernel.sum() - np.trace(kernel)) / (300 * 299)
            for kernel in ((a @ a.T / DIMS + 1) ** 3 for a in (real, fake))
        )
        direct = float(within - 2 * ((real @ fake.T / DIMS + 1) ** 3).mean())
        parameters = {"kid": {"subsets": 1, "subset_size": 300}}
        return self.of(metric, real, fake, parameters=parameters) / direct

    def downstream(self, metric: str, value: MetricValue) -> float:
        """A downstream metric of known digits."""
        if value.value is None:
            raise MetricError(value.reason or "no value and no reason")
        return self.reported(metric, value.value)

    @cached_property
    def known_digits(self) -> KnownDigits:
        """Digits and the protocols on them; made when first asked for, as it loads torch."""
        from genbench.testing.known_digits import KnownDigits

        return KnownDigits()


_HOT = np.eye(CLASSES)[np.arange(1000) % CLASSES]
_EVEN = np.full((1000, CLASSES), 1 / CLASSES)
_UNIFORM = np.full(50, -784 * math.log(256))
_ANY = math.inf
_COVERED = 1 - 2**-5  # coverage of fresh rows with k = 5
_SWAPPED = 2 * APART**2  # squared distance of two centres
_SPREAD = SHIFT / math.sqrt(DIMS)  # the shift as a random direction sees it, root mean square

Measure = Callable[[Laboratory, str], float]


def _on(fake: str) -> Measure:
    return lambda lab, metric: lab(metric, fake)


def _gap(one: str, other: str) -> Measure:
    return lambda lab, metric: lab(metric, one) - lab(metric, other)


def _labels(turn: int) -> Measure:
    return lambda lab, metric: lab.labelled(metric, turn)


def _taught(turn: int = 0) -> Measure:
    return lambda lab, metric: lab.downstream(metric, lab.known_digits.transfer(turn)[metric])


def _augmented(kind: str) -> Measure:
    return lambda lab, metric: lab.downstream(metric, lab.known_digits.augmented(kind))


def _filled(turn: int) -> Measure:
    return lambda lab, metric: lab.downstream(metric, lab.known_digits.filled(turn))


def _attacked(epsilon: float) -> Measure:
    return lambda lab, metric: lab.downstream(metric, lab.known_digits.attacked(epsilon))


def _score(probabilities: Rows) -> Measure:
    return lambda lab, metric: lab.score(metric, probabilities)


def _vendi(fake: Rows) -> Measure:
    return lambda lab, metric: lab.of(metric, _HOT, fake)


def _uniform(lab: Laboratory, metric: str) -> float:
    return lab.nll(metric, _UNIFORM, 784)


# fmt: off
CLAIMS: tuple[Claim, ...] = (
    Claim("fid", "rows against themselves: 0", -1e-6, 1e-6, _on("real")),
    Claim("fid", "a shift of length 3: 9", 8.9999, 9.0001, _on("shifted")),
    Claim("fid", "a lost class is worse than fresh rows", 0.1, _ANY, _gap("dropped", "fresh")),
    Claim("fid", "noise is worse than a lost class", 10, _ANY, _gap("noise", "dropped")),
    Claim("fid_infinity", "fresh rows: 0 but for noise", -0.5, 0.5, _on("fresh")),
    Claim("fid_infinity", "a shift of length 3: 9", 8.5, 9.5, _on("shifted")),
    Claim("fid_per_class", "rows against themselves: 0", -1e-6, 1e-6, _labels(0)),
    Claim("fid_per_class", f"every class taken for the next: {_SWAPPED:g}",
          0.9 * _SWAPPED, 1.1 * _SWAPPED, _labels(1)),
    Claim("kid", "the double sum that defines it: 1 of it",
          1 - 1e-6, 1 + 1e-6, Laboratory.kid_by_definition),
    Claim("kid", "a shift is worse than fresh rows", 0.1, _ANY, _gap("shifted", "fresh")),
    Claim("kid", "noise is worse than a shift", 0.1, _ANY, _gap("noise", "shifted")),
    Claim("emd", "rows against themselves: 0", -1e-4, 1e-4, _on("real")),
    Claim("emd", "a shift of length 3: 3", 2.999, 3.001, _on("shifted")),
    Claim("emd", "noise is worse than a shift", 1, _ANY, _gap("noise", "shifted")),
    Claim("emd", "a lost class is worse than fresh rows", 0.1, _ANY, _gap("dropped", "fresh")),
    Claim("sliced_wasserstein", "rows against themselves: 0", -1e-6, 1e-6, _on("real")),
    Claim("sliced_wasserstein", f"a shift of length 3: 3 / sqrt({DIMS})",
          0.9 * _SPREAD, 1.1 * _SPREAD, _on("shifted")),
    Claim("sliced_wasserstein", "a lost class is worse than fresh rows",
          0.05, _ANY, _gap("dropped", "fresh")),
    Claim("classifier_score", f"sure and even over {CLASSES} classes: {CLASSES}",
          9.999, 10.001, _score(_HOT)),
    Claim("classifier_score", "never sure: 1", 0.999, 1.001, _score(_EVEN)),
    Claim("precision", "rows against themselves: 1", 1, 1, _on("real")),
    Claim("precision", "noise: 0", 0, 0.02, _on("noise")),
    Claim("recall", "rows against themselves: 1", 1, 1, _on("real")),
    Claim("recall", "a class lost: its tenth is missed", 0.05, 0.15, _gap("fresh", "dropped")),
    Claim("density", "fresh rows: 1", 0.9, 1.1, _on("fresh")),
    Claim("density", "noise: 0", 0, 0.02, _on("noise")),
    Claim("coverage", "fresh rows: 1 - 2^-5", _COVERED - 0.03, _COVERED + 0.03, _on("fresh")),
    Claim("coverage", "a class lost: its tenth is missed", 0.05, 0.15, _gap("fresh", "dropped")),
    Claim("vendi", f"{CLASSES} directions, evenly: {CLASSES}", 9.999, 10.001, _vendi(_HOT)),
    Claim("vendi", "one direction: 1", 0.999, 1.001, _vendi(_EVEN)),
    *(claim for name in ("nll", "nll_tight") for claim in (
        Claim(name, "uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9, _uniform),
        Claim(name, "Gaussian rows: the entropy, within 4 standard errors",
              -4, 4, Laboratory.gaussian_nll),
    )),
    Claim("c2st", "fresh rows cannot be told apart: 0.5", 0.45, 0.55, _on("fresh")),
    Claim("c2st", "noise can: 1", 0.9, 1, _on("noise")),
    Claim("c_t", "fresh rows are as far from training as real ones: 0", -4, 4, _on("fresh")),
    Claim("c_t", "copies are far too near", -_ANY, -10, _on("copies")),
    Claim("authenticity", "copies: 0", 0, 0, _on("copies")),
    Claim("authenticity", "fresh rows: most are", 0.5, 0.8, _on("fresh")),
    Claim("trtr_accuracy", "real digits teach their classes", 0.85, 1, _taught()),
    Claim("tstr_accuracy", "copies of real digits teach as well", 0.85, 1, _taught()),
    Claim("tstr_accuracy", "wrong labels teach nothing", 0, 0.1, _taught(turn=1)),
    Claim("trts_accuracy", "real digits are known again", 0.85, 1, _taught()),
    Claim("trts_accuracy", "wrong labels are not", 0, 0.1, _taught(turn=1)),
    Claim("augmentation_gain", "the same rows again: nothing", -4, 4, _augmented("again")),
    Claim("augmentation_gain", "four fresh real rows for each help", 2, 60, _augmented("fresh")),
    Claim("augmentation_gain", "wrong labels hurt", -100, -20, _augmented("wrong")),
    Claim("imbalance_recall", "real rows of the rare class: it is back", 0.8, 1, _filled(0)),
    Claim("imbalance_recall", "rows of another class: it is not", 0, 0.3, _filled(1)),
    Claim("robust_accuracy", "a change of nothing: the accuracy", 0.85, 1, _attacked(0.0)),
    Claim("robust_accuracy", "a change of a third of the range: fooled", 0, 0.2, _attacked(0.33)),
)
# fmt: on


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
    known = {claim.metric for claim in CLAIMS}
    for name in (*metrics, *([] if sabotage is None else [sabotage])):
        if name not in known:
            raise UsageError(f"no claim is about {name!r}: {did_you_mean(name, known)}")
    laboratory, verdicts = Laboratory(sabotage), []
    for claim in CLAIMS:
        if metrics and claim.metric not in metrics:
            continue
        start = time.perf_counter()
        found, reason = None, None
        try:
            found = float(claim.measure(laboratory, claim.metric))
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
