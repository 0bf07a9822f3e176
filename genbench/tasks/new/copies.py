"""Rows that are equal: whether a split keeps them together, and what to tell about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.data import APART, TOGETHER
from genbench.kinds import DataKind

MANY = 0.05  # of all rows that are copies of others
MOST_OF_A_SPLIT = 0.2  # that copies of one picture may fill


@dataclass(frozen=True, slots=True)
class Copies:
    """Groups of equal rows: the rows that belong to one, how many groups, the rows of the largest.

    `torn` are the groups whose rows carry different labels; `total` counts all rows.
    """

    rows: int
    groups: int
    largest: int
    torn: int
    total: int

    def choice(self, kind: DataKind, smallest_share: float) -> str:
        """The treatment of copies by the splits: ``together`` or ``apart``.

        Points are numbers that may repeat by right, and a split of them is a random sample. Of
        images and texts copies are one picture twice, unless so many are that keeping them together
        would make splits of other proportions.
        """
        if kind.repeats:
            return APART
        skewed = self.largest > max(1.0, MOST_OF_A_SPLIT * smallest_share * self.total)
        return APART if self.rows - self.groups >= MANY * self.total or skewed else TOGETHER

    def notes(self, choice: str) -> tuple[str, ...]:
        """Notes on the copies."""
        if not self.groups:
            return ("no two rows are equal",)
        what = f"{self.rows} rows are exact copies in {self.groups} group{'s' * (self.groups != 1)}"
        texts = [f"{what}: each group is in one split"]
        if choice == APART:
            texts = [
                f"{what} (the largest has {self.largest}): splits take them apart, as a random "
                "sample does; kept together they would skew the splits"
            ]
        if self.torn:
            texts.append(f"{self.torn} groups of copies carry different labels: correct them")
        return tuple(texts)


def find_copies(contents: Sequence[str], labels: Sequence[str] | None) -> Copies:
    """The groups among rows with these digests and labels."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(contents):
        groups[content].append(index)
    copies = [group for group in groups.values() if len(group) > 1]
    torn = 0
    if labels is not None:
        torn = sum(len({labels[i] for i in group}) > 1 for group in copies)
    sizes = [len(group) for group in copies]
    return Copies(sum(sizes), len(copies), max(sizes, default=1), torn, len(contents))
