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
from genbench.metrics import METRICS, Claim, MetricValue

if TYPE_CHECKING:
    from genbench.testing.known_digits import KnownDigits

Rows = NDArray[np.float64]

N, DIMS, CLASSES = 2000, 16, 10
TEXTS = 400
TONES = 240
APART = 8.0  # distance of a class's centre from the origin, in standard deviations
SHIFT = 3.0  # length of the known shift
DROPPED = 3
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Verdict:
    """A metric's claim, the number found (None if there was none) and whether it holds."""

    metric: str
    claim: Claim
    found: float | None
    reason: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """True if the number lies in the claim's range."""
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

    def on(self, metric: str, fake: str) -> float:
        """The metric of a named set against the real one."""
        return self.of(metric, self.sets["real"], self.sets[fake], train=self.sets["train"])

    def gap(self, metric: str, one: str, other: str) -> float:
        """The metric of one named set less that of another."""
        return self.on(metric, one) - self.on(metric, other)

    def of(self, metric: str, real: Any, fake: Any, **more: Any) -> float:
        """The metric of given rows; an untold one raises MetricError with its reason."""
        from genbench.metrics import evaluate

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

    def score(self, metric: str, probabilities: str) -> float:
        """The classifier score of named class probabilities."""
        given = {
            "fake_probabilities": PROBABILITIES[probabilities],
            "parameters": {"classifier_score": {"splits": 1}},
        }
        return self.of(metric, None, None, **given)

    def directions(self, metric: str, fake: str) -> float:
        """The metric of rows along each class's axis, or all along one."""
        return self.of(metric, PROBABILITIES["sure"], PROBABILITIES[fake])

    def nll(self, metric: str, log_prob: Rows, dims: int | None) -> float:
        """Mean negative log-likelihood: bits/dim, or nats if `dims` is None."""
        from genbench.metrics import nll_bits_per_dim, nll_nats

        found = nll_nats(log_prob) if dims is None else nll_bits_per_dim(log_prob, dims)
        return self.reported(metric, found.value)

    def uniform_nll(self, metric: str) -> float:
        """Bits per dimension of 8-bit images under the uniform distribution."""
        return self.nll(metric, np.full(50, -784 * math.log(256)), 784)

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

    def mmd_by_definition(self, metric: str) -> float:
        """MMD with a Gaussian kernel of width 2 on few rows over the double sum that defines it."""
        real, fake = self.sets["real"][:60], self.sets["shifted"][300:360]

        def kernel(a: Rows, b: Rows) -> Rows:
            return np.asarray(np.exp(-((a[:, None] - b) ** 2).sum(2) / 8))

        within = sum((k.sum() - 60) / (60 * 59) for k in (kernel(real, real), kernel(fake, fake)))
        direct = float(within - 2 * kernel(real, fake).mean())
        return self.of(metric, real, fake, parameters={"mmd": {"bandwidth": 2}}) / direct

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """Texts of five words: ``real``, ``fresh`` and ``train`` of one grammar, others of none."""
        rng = np.random.default_rng(SEED)
        words = ["".join(rng.choice(list("abcdefghij"), 4)) for _ in range(60)]
        real, fresh, train = (
            [" ".join(rng.choice(words, 5)) for _ in range(TEXTS)] for _ in range(3)
        )
        greek = {ord(a): chr(0x3B1 + i) for i, a in enumerate("abcdefghij ")}
        return {
            "real": real,
            "fresh": fresh,
            "train": train,
            "copies": train,
            "longer": [f"{text}x" for text in train],
            "shuffled": ["".join(rng.permutation(list(text))) for text in real],
            "foreign": [text.translate(greek) for text in real],
            "same": real[:1] * TEXTS,
            "numbered": [f"text {i}" for i in range(TEXTS)],
        }

    def written(self, metric: str, fake: str) -> float:
        """The metric of named texts against the real ones."""
        given = {f"{name}_texts": self.texts[name] for name in ("real", "train")}
        return self.of(metric, None, None, fake_texts=self.texts[fake], **given)

    def written_gap(self, metric: str, one: str, other: str) -> float:
        """The metric of some named texts less that of others."""
        return self.written(metric, one) - self.written(metric, other)

    @cached_property
    def sounds(self) -> dict[str, Rows]:
        """Tones ``(n, 4000)`` at 8 kHz under their names, and what became of them."""
        t = np.arange(4000) / 8000
        hiss = 1e-3 * np.random.default_rng(SEED).normal(size=(TONES, len(t)))

        def tones(steps: int) -> Rows:
            f0 = 440 * 2 ** ((np.arange(TONES) % 12 + steps - 21) / 12)
            waves = [np.sin(2 * math.pi * h * f0[:, None] * t + h) / h for h in range(1, 5)]
            return np.asarray(0.1 * sum(waves)) + hiss

        real = tones(0)
        return {
            "real": real,
            "soft": real / 10,
            "high": tones(2),
            "loud": np.clip(20 * real, -1, 1),
            "zeros": 0 * real,
        }

    def heard(self, metric: str, fake: str) -> float:
        """The metric of named sounds against the real ones, under the names of those."""
        notes = np.arange(TONES, dtype=np.int64) % 12
        labels = {"real_labels": notes, "fake_labels": notes}
        return self.of(metric, self.sounds["real"], self.sounds[fake], **labels)

    def hesitation(self, metric: str) -> float:
        """The perplexity of texts of 2 to 9 letters of 26 under the uniform distribution."""
        from genbench.metrics import perplexity

        events = np.arange(2, 10)
        return self.reported(metric, perplexity(-events * math.log(26), events).value)

    def taught(self, metric: str, turn: int) -> float:
        """The metric where the generated rows are real ones, labels moved on by `turn`."""
        return self._valued(metric, self.known_digits.transfer(turn)[metric])

    def augmented(self, metric: str, kind: str) -> float:
        """The metric where few real rows are augmented by rows of this kind."""
        return self._valued(metric, self.known_digits.augmented(kind))

    def filled(self, metric: str, turn: int) -> float:
        """The metric where a rare class is filled up with the class `turn` further."""
        return self._valued(metric, self.known_digits.filled(turn))

    def attacked(self, metric: str, epsilon: float) -> float:
        """The metric under attacks of this size."""
        return self._valued(metric, self.known_digits.attacked(epsilon))

    def rebuilt(self, metric: str, fake: str) -> float:
        """The metric where the real rows come back as the rows of a named set."""
        from genbench.metrics import evaluate, reconstruction_error

        real, fake_rows = self.sets["real"], self.sets[fake]
        if metric == "reconstruction_mse":
            return self.reported(metric, reconstruction_error(real, fake_rows).value)
        return self._valued(metric, evaluate(real, fake_rows, ["fid"], intervals=False)["fid"])

    def probed(self, metric: str, turn: int) -> float:
        """The metric of fresh rows as codes, or of rows that are paired with others' labels."""
        from genbench.metrics import linear_probe

        rng = np.random.default_rng(SEED)
        labels = rng.permutation(self.labels) if turn else self.labels
        told = linear_probe(self.sets["train"], labels, self.sets["fresh"], self.labels)
        return self.reported(metric, float(told.mean()))

    def _valued(self, metric: str, value: MetricValue) -> float:
        if value.value is None:
            raise MetricError(value.reason or "no value and no reason")
        return self.reported(metric, value.value)

    @cached_property
    def known_digits(self) -> KnownDigits:
        """Digits and the protocols on them; made when first asked for, as it loads torch."""
        from genbench.testing.known_digits import KnownDigits

        return KnownDigits()


# Class probabilities, 100 rows for each class: all certain, or all at a loss.
PROBABILITIES = {
    "sure": np.eye(CLASSES)[np.arange(1000) % CLASSES],
    "even": np.full((1000, CLASSES), 1 / CLASSES),
}


def claims() -> list[tuple[str, Claim]]:
    """Every metric's claims, in the table's order but for ceilings, which come before the metric.

    They stand in the metrics' entries (`genbench.metrics.entry`).
    """
    order = dict.fromkeys(n for info in METRICS.values() for n in (info.ceiling, info.id) if n)
    return [(name, claim) for name in order for claim in METRICS[name].claims]


def run_selftest(
    metrics: Collection[str] = (),
    *,
    sabotage: str | None = None,
    each: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Check the claims about these metrics, or all claims; `each` hears of every verdict.

    The answers v of the metric to `sabotage` are replaced by ``7 - 3 v``, to see that its claims
    can fail. `UsageError` if a name is none of a metric that a claim is about.
    """
    known = {metric for metric, _ in claims()}
    for name in (*metrics, *([] if sabotage is None else [sabotage])):
        if name not in known:
            raise UsageError(f"no claim is about {name!r}: {did_you_mean(name, known)}")
    laboratory, verdicts = Laboratory(sabotage), []
    for metric, claim in claims():
        if metrics and metric not in metrics:
            continue
        start = time.perf_counter()
        found, reason = None, None
        try:
            found = float(getattr(laboratory, claim.measure)(metric, *claim.given))
        except GenbenchError as error:
            reason = str(error)
        verdicts.append(Verdict(metric, claim, found, reason, time.perf_counter() - start))
        each(verdicts[-1])
    return verdicts


def as_json(verdicts: list[Verdict]) -> list[Mapping[str, Any]]:
    """Plain data; an open end of a range is None."""
    return [
        {
            "metric": v.metric,
            "claim": v.claim.sentence,
            "found": v.found,
            "low": v.claim.low if math.isfinite(v.claim.low) else None,
            "high": v.claim.high if math.isfinite(v.claim.high) else None,
            "ok": v.ok,
            "reason": v.reason,
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]
