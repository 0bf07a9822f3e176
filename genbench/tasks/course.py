"""The suite's ``[course]`` table: at which shares of the budget a fit keeps its state.

Outside both hashes: it changes no sample of a cell. Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genbench.tasks.protocols import Complaint

ROWS = 2000
MOST = 32  # fractions: each is a state on the disk and a set of samples
LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Course:
    """``[course]``.

    Parameters
    ----------
    fractions
        Shares of the budget, ascending; the last is 1, the state that the fit ends with.
    rows
        Rows drawn from each state: fewer than of the final one, since there are several.
    """

    fractions: tuple[float, ...]
    rows: int = ROWS

    def due(self, budget: int) -> tuple[int, ...]:
        """Examples served at which a state is kept, each once; the end is not among them."""
        counts = sorted({math.ceil(fraction * budget) for fraction in self.fractions})
        return tuple(count for count in counts if 0 < count < budget)


def read(document: Mapping[str, Any]) -> Course | None:
    """The course that a suite's document asks for, or None if it asks for none."""
    table = document.get("course")
    if not table or not table["fractions"]:
        return None
    return Course(tuple(table["fractions"]), int(table.get("rows", ROWS)))


def complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Everything that is out of range in the table, whose keys and types are right already."""
    table = document.get("course", {})
    rows = table.get("rows", ROWS)
    if rows < LEAST_ROWS:
        yield Complaint(f"rows of [course] is {rows}", f"it must be at least {LEAST_ROWS}", "rows")
    fractions = table.get("fractions", [])
    numbers = all(type(f) in (int, float) and 0 < f <= 1 for f in fractions)
    if not numbers or fractions != sorted(set(fractions)):
        what = f"fractions of [course] is {fractions!r}"
        yield Complaint(what, "list ascending shares of the budget, above 0 to 1", "fractions")
    elif fractions and fractions[-1] != 1:
        what = f"fractions of [course] ends with {fractions[-1]:g}"
        yield Complaint(what, "end it with 1: the state that the fit ends with", "fractions")
    elif len(fractions) > MOST:
        what = f"[course] has {len(fractions)} fractions"
        yield Complaint(what, f"give at most {MOST}: each state is stored", "fractions")
