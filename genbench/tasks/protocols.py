"""The suite's ``[downstream]`` tables beyond TSTR, checked. Imports nothing heavy.

*Augmentation*: replicates that draw their own rows, refit the generator on exactly those, and train
all arms on them. *Imbalance*: the same with some classes cut to a few per cent. *Robustness*: the
classifiers of the augmentation, attacked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, NamedTuple

from genbench import kinds
from genbench.tasks import classical
from genbench.tasks.classical import BOUNDS, FAMILIES, Classical


@dataclass(frozen=True, slots=True)
class Augmentation:
    """``[downstream.augmentation]``.

    Parameters
    ----------
    n
        Numbers of real labelled rows, one curve point each.
    ratios
        Synthetic rows per real row.
    replicates
        Independent repetitions: own rows, own refit, own initial weights.
    steps, batch_size
        Optimiser steps and rows per step of every classifier.
    budget
        Training examples served to each refit.
    headline_n, headline_ratio
        The point whose gain stands in the leaderboard.
    confidence
        Rows of a generator without labels are kept if the classifier trained on the same real rows
        names them at least this surely.
    test_rows
        Test rows that tell the accuracies and the recalls, classes in proportion; 0 means all.
    judge
        The classifier, one of the kind's; its first if empty.
    """

    n: tuple[int, ...]
    ratios: tuple[int, ...]
    replicates: int
    steps: int
    batch_size: int
    budget: int
    headline_n: int
    headline_ratio: int
    confidence: float = 0.9
    test_rows: int = 0
    judge: str = ""


@dataclass(frozen=True, slots=True)
class Imbalance:
    """``[downstream.imbalance]``: real rows before the cut, the classes that are cut, the share of
    each that stays, and the number of independent repetitions.
    """

    n: int
    classes: tuple[int, ...]
    keep: float
    replicates: int


@dataclass(frozen=True, slots=True)
class Robustness:
    """``[downstream.robustness]``: attacks on classifiers of the augmentation.

    Those of `n` real rows (one of the augmentation's), without and with synthetic rows at the
    headline ratio. `epsilon` is the greatest change of a pixel, as a share of the grey range;
    `rows` are the test rows attacked, `steps` those of projected gradient descent.
    """

    n: int
    epsilon: float
    rows: int
    steps: int


# The tables by name: their keys are the fields, required unless there is a default.
TABLES: Mapping[str, tuple[Any, ...]] = {
    "augmentation": (Augmentation,),
    "classical": tuple(FAMILIES.values()),
    "imbalance": (Imbalance,),
    "robustness": (Robustness,),
}
_TYPES: Mapping[str, Any] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "tuple[int, ...]": list,
}


def keys_of(forms: tuple[Any, ...]) -> dict[str, tuple[Any, bool]]:
    """The keys of a table as TOML has them: their types, and whether they are required.

    A table of several forms has the keys of all.
    """
    known = [field for form in forms for field in fields(form)]
    return {f.name: (_TYPES[str(f.type)], f.default is MISSING) for f in known}


@dataclass(frozen=True, slots=True)
class Protocols:
    """The downstream protocols of a suite beyond TSTR."""

    augmentation: Augmentation
    classical: Classical | None
    imbalance: Imbalance | None
    robustness: Robustness | None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric ids they make."""
        rare = ("imbalance_recall",) if self.imbalance else ()
        return ("augmentation_gain", *rare, *(("robust_accuracy",) if self.robustness else ()))


class Complaint(NamedTuple):
    """A problem of the tables, the remedy, and the key to look for."""

    what: str
    remedy: str
    key: str


def read(document: Mapping[str, Any]) -> Protocols | None:
    """The protocols of a suite's document, or None if it asks for none of them."""
    tables = document.get("downstream", {})
    if "augmentation" not in tables:
        return None
    return Protocols(
        _make(Augmentation, tables["augmentation"]),
        classical_of(document),
        _make(Imbalance, tables.get("imbalance")),
        _make(Robustness, tables.get("robustness")),
    )


def classical_of(document: Mapping[str, Any]) -> Classical | None:
    """The classical transforms that a suite's document names, if it names some."""
    family = kinds.of(document["dataset"]["space"]["kind"]).classical
    return classical.read(family, document.get("downstream", {}).get("classical"))


def _make(form: Any, table: Mapping[str, Any] | None) -> Any:
    if table is None:
        return None
    return form(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


def complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Everything that is out of range in the tables, whose keys and types are right already."""
    tables, space = document.get("downstream", {}), document["dataset"]["space"]
    kind, classes = kinds.of(space["kind"]), space.get("classes", 0)
    yield from _of_kind(tables, kind)
    yield from _least(tables, "tstr", n=1, steps=1, batch_size=2, replicates=1)
    if "augmentation" not in tables:
        for name in TABLES:
            if name in tables:
                what = f"[downstream.{name}] stands without [downstream.augmentation]"
                yield Complaint(what, "add it: the classifiers are trained there", name)
        return
    if not kind.judges or classes < 2:
        what = "[downstream.augmentation] needs images, texts or sounds with class labels"
        yield Complaint(what, "leave it out", "augmentation")
    a = tables["augmentation"]
    yield from _whole("augmentation", a["n"], max(1, classes), "n")
    yield from _whole("augmentation", a["ratios"], 1, "ratios")
    yield from _least(tables, "augmentation", replicates=2, steps=1, batch_size=2, budget=1)
    for key, known in (("headline_n", a["n"]), ("headline_ratio", a["ratios"])):
        if a[key] not in known:
            yield Complaint(f"{key} is {a[key]}", f"use one of {known}", key)
    attacked = tables.get("robustness", {}).get("n", a["n"][0] if a["n"] else 0)
    if attacked not in a["n"]:
        what = f"n of [downstream.robustness] is {attacked}"
        yield Complaint(what, f"use one of {a['n']}", "robustness")
    yield from _ranges(tables, classes)


def _of_kind(tables: Mapping[str, Any], kind: kinds.DataKind) -> Iterator[Complaint]:
    """What the tables ask for and the kind of data has not."""
    named = [("tstr", "judges", name) for name in tables.get("tstr", {}).get("judges", ())]
    named.append(("augmentation", "judge", tables.get("augmentation", {}).get("judge", "")))
    for table, key, name in named:
        if name and name not in kind.judges:
            what = f"{key} of [downstream.{table}] names {name!r}"
            yield Complaint(what, f"use {' or '.join(kind.judges) or 'none'}", key)
    asked = tables.get("classical", {})
    known = [f.name for f in fields(FAMILIES[kind.classical])] if kind.classical else []
    for key in asked:
        if key not in known:
            what = f"{key} of [downstream.classical] is no transform of kind {kind.name!r}"
            yield Complaint(what, f"use {', '.join(known) or 'none'}", key)
    if "robustness" in tables and not kind.attackable:
        what = f"[downstream.robustness] attacks single values, and kind is {kind.name!r}"
        yield Complaint(what, "leave it out: it is for images", "robustness")


def _least(tables: Mapping[str, Any], name: str, **least: int) -> Iterator[Complaint]:
    table = tables.get(name, {})
    for key, low in least.items():
        if table.get(key, low) < low:
            what = f"{key} of [downstream.{name}] is {table[key]}"
            yield Complaint(what, f"it must be at least {low}", key)


def _whole(table: str, values: list[Any], low: int, key: str) -> Iterator[Complaint]:
    good = values and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if not good or min(values) < low or values != sorted(set(values)):
        what = f"{key} of [downstream.{table}] is {values!r}"
        yield Complaint(what, f"list ascending whole numbers from {low} up", key)


def _ranges(tables: Mapping[str, Any], classes: int) -> Iterator[Complaint]:
    bounds = (
        ("augmentation", "confidence", 0, 1), ("augmentation", "test_rows", 0, 1 << 30),
        *(("classical", *bound) for bound in BOUNDS),
        ("imbalance", "n", 2 * max(classes, 1), 1 << 30), ("imbalance", "keep", 0, 1),
        ("imbalance", "replicates", 2, 1000), ("robustness", "epsilon", 0, 1),
        ("robustness", "rows", 1, 1 << 30), ("robustness", "steps", 1, 10_000),
    )  # fmt: skip
    for table, key, low, high in bounds:
        value = tables.get(table, {}).get(key, low)
        if not low <= value <= high:
            what = f"{key} of [downstream.{table}] is {value}"
            yield Complaint(what, f"it must be from {low} to {high}", key)
    cut = tables.get("imbalance", {}).get("classes")
    if cut is not None:
        yield from _whole("imbalance", cut, 0, "classes")
        if cut and (not isinstance(cut[-1], int) or cut[-1] >= classes or len(cut) >= classes):
            what = f"classes of [downstream.imbalance] is {cut!r}"
            yield Complaint(what, f"name some, not all, of 0..{classes - 1}", "classes")
