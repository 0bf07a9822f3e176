"""The details of downstream metrics, read out of records that anybody may have written.

What is drawn is numbers and words of our own: a record with anything else in these places is not of
this version, and is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from genbench.report.rows import Row, Table
from genbench.report.text import finite, shorten

T = TypeVar("T")

ARMS = {
    "real": "real rows alone",
    "real+synthetic": "real + synthetic",
    "real+classical": "real + classical augmentation",
    "real+synthetic+classical": "real + synthetic + classical",
    "synthetic": "synthetic alone",
}
REMEDIES = ("as it is", "oversampled", "class weights")
FILLED = "filled"
ATTACKS = {"pgd": "PGD", "fgsm": "FGSM", "clean": "no attack"}
VERDICTS = ("helps", "hurts", "no evidence")


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean of paired differences with its interval, in accuracy (0 to 1), and what it shows."""

    mean: float
    low: float
    high: float
    verdict: str = ""

    @property
    def points(self) -> str:
        """In points of a hundred: ``+2.0 [+1.0, +3.0]``."""
        mean, low, high = (100 * v for v in (self.mean, self.low, self.high))
        return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


@dataclass(frozen=True, slots=True)
class Point:
    """One arm at one number of real rows; `gain` is over the real rows alone."""

    n: int
    arm: str
    ratio: int
    accuracy: float
    gain: Gain | None
    over_classical: Gain | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Details of ``augmentation_gain``; `rejected` is the share that a classifier sorted out."""

    points: tuple[Point, ...]
    rejected: float | None


@dataclass(frozen=True, slots=True)
class Rare:
    """Details of ``imbalance_recall``: values over replicates, by arm."""

    classes: tuple[int, ...]
    keep: float
    recall: Mapping[str, tuple[float, ...]]
    balanced: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, Gain]


@dataclass(frozen=True, slots=True)
class Attacked:
    """Details of ``robust_accuracy``: accuracies over replicates, by arm and attack."""

    epsilon: float
    arms: Mapping[str, Mapping[str, tuple[float, ...]]]
    gain: Gain


def price(body: Mapping[str, Any]) -> Gain:
    """Of ``tstr_accuracy``: what training on generated rows costs against real ones."""
    gap = _gain({"mean": body["gap"], "low": body["gap_low"], "high": body["gap_high"]})
    if not -1 <= gap.low <= gap.mean <= gap.high <= 1:
        raise ValueError("not a difference of shares inside its interval")
    return gap


def prices_by_others(body: Mapping[str, Any]) -> tuple[tuple[str, Gain], ...]:
    """Of ``tstr_accuracy``: the same by the suite's other classifiers, with their names."""
    found = _list(body["other_judges"])
    return tuple((shorten(str(each["judge"]), 40), price(each)) for each in found)


def curve(body: Mapping[str, Any]) -> Curve:
    """Read the details of ``augmentation_gain``; ValueError, TypeError or KeyError if not ours."""
    points = tuple(_point(p) for p in body["points"])
    if not any(p.gain and p.ratio for p in points):
        raise ValueError("no point has synthetic rows")
    rejected = body.get("rejected")
    return Curve(points, None if rejected is None else _share(rejected))


def _point(body: Mapping[str, Any]) -> Point:
    arm = _word(body["arm"], ARMS)
    over = body.get("over_classical")
    return Point(
        n=_whole(body["n"], 1),
        arm=arm,
        ratio=_whole(body["ratio"]),
        accuracy=_share(body["accuracy"]),
        gain=None if arm == "real" else _gain(body["gain"], body["verdict"]),
        over_classical=None if over is None else _gain(over),
    )


def rare(body: Mapping[str, Any]) -> Rare:
    """Read the details of ``imbalance_recall``; ValueError, TypeError or KeyError if not ours."""
    arms = {name: body["arms"][name] for name in (*REMEDIES, FILLED)}
    return Rare(
        classes=tuple(_whole(c) for c in _list(body["classes"])),
        keep=_share(body["keep"]),
        recall={name: _shares(arm["recall"]) for name, arm in arms.items()},
        balanced={name: _shares(arm["balanced"]) for name, arm in arms.items()},
        gains={
            _word(name, REMEDIES): _gain(gain, gain["verdict"])
            for name, gain in body["gains"].items()
        },
    )


def attacked(body: Mapping[str, Any]) -> Attacked:
    """Read the details of ``robust_accuracy``; ValueError, TypeError or KeyError if not ours."""
    return Attacked(
        epsilon=_share(body["epsilon"]),
        arms={
            arm: {attack: _shares(body["arms"][arm][attack]) for attack in ATTACKS}
            for arm in ("real", "real+synthetic")
        },
        gain=_gain(body["gain"], body["gain"]["verdict"]),
    )


def each(
    table: Table, metric: str, read: Callable[[Mapping[str, Any]], T]
) -> list[tuple[Row, T | str]]:
    """Each generator with its details of a metric, or with the reason why it has none.

    The seeds of a generator share the replicates: the first one's stand for all.
    """
    return [(row, _read(row, metric, read)) for row in table.generators]


def each_seed(
    rows: Sequence[Row], metric: str, read: Callable[[Mapping[str, Any]], T]
) -> list[tuple[Row, list[tuple[int, T]]]]:
    """Each row with its cells' seeds and details of a metric; rows without any are left out."""
    found = []
    for row in rows:
        by_seed: list[tuple[int, T]] = []
        for entry in row.done:
            value = entry.record.metrics.get(metric)
            if value is not None and value.status == "ok":
                with suppress(KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
                    by_seed.append((entry.record.seed, read(value.details)))
        if by_seed:
            found.append((row, by_seed))
    return found


def _read(row: Row, metric: str, read: Callable[[Mapping[str, Any]], T]) -> T | str:
    if not row.done:
        return "none of its cells was finished"
    reason = ""
    for entry in row.done:
        value = entry.record.metrics.get(metric)
        if value is None:
            continue
        if value.status != "ok":
            reason = reason or value.reason or value.status
            continue
        try:
            return read(value.details)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            reason = "its record is not as this version writes them"
    return shorten(reason, 300) or "it was not measured"


def _gain(body: Mapping[str, Any], verdict: Any = None) -> Gain:
    mean, low, high = (_number(body[key]) for key in ("mean", "low", "high"))
    return Gain(mean, low, high, "" if verdict is None else _word(verdict, VERDICTS))


def _word(value: Any, known: Sequence[str] | Mapping[str, str]) -> str:
    """One of our own words: these stand in figures as they are."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{shorten(str(value))!r} is none of {', '.join(known)}")
    return value


def _whole(value: Any, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 10**9:
        raise ValueError("not a count")
    return value


def _number(value: Any) -> float:
    number = finite(value)
    if number is None:
        raise ValueError("not a finite number")
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("not a share")
    return number


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("not a list of values")
    return list(value)


def _shares(value: Any) -> tuple[float, ...]:
    return tuple(_share(v) for v in _list(value))
