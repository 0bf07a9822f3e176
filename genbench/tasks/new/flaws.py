"""Images that a new suite cannot take: how many of each kind, which, and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.formats import BadImage, InColour, OtherSize, Transparent

NAMED = 100  # files that are named where each has a line of its own
IN_A_LINE = 20
OF_A_KIND = 5
SIZES = 5

Heads = Sequence[tuple[int, int, int]]  # channels, height, width


class GreyAmongColour(BadImage):
    """A grey image where most are in colour."""

    def __init__(self) -> None:
        super().__init__("is grey, most are in colour")


@dataclass(frozen=True, slots=True)
class Flaw:
    """A file and what is wrong with it."""

    name: str
    error: BadImage


def refusal(place: Path, flaws: Sequence[Flaw], heads: Heads, n_files: int) -> str:
    """The message that names the files of `place` that cannot be used, by kind, with the remedies.

    `heads` are those of every image that has one, of `n_files` files.
    """
    parts = []
    rest = list(flaws)
    for kind, (heading, remedy) in _KINDS.items():
        found = [flaw for flaw in rest if isinstance(flaw.error, kind)]
        rest = [flaw for flaw in rest if not isinstance(flaw.error, kind)]
        if found:
            named = _some([f"{flaw.name} {flaw.error.what}" for flaw in found], OF_A_KIND)
            parts.append(f"{heading(len(found), heads)} ({named}): {remedy}")
    if rest:
        parts.append(_some([f"{flaw.name} {flaw.error}" for flaw in rest], IN_A_LINE))
    return (
        f"{len(flaws):,} of {n_files:,} files of {place} cannot be used: {'; '.join(parts)}; "
        "repair them, or leave them out with --on-bad skip"
    )


def listed(flaws: Sequence[Flaw]) -> list[str]:
    """A line for each flaw, `NAMED` at most."""
    lines = [f"{flaw.name} {flaw.error}" for flaw in flaws[:NAMED]]
    return [*lines, *([f"and {len(flaws) - NAMED:,} more"] if len(flaws) > NAMED else [])]


def _some(texts: Sequence[str], most: int) -> str:
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def _sizes(n: int, heads: Heads) -> str:
    sizes = Counter(f"{width} x {height}" for _, height, width in heads).most_common()
    shown = ", ".join(f"{count:,} of {size}" for size, count in sizes[:SIZES])
    more = f" and {len(sizes) - SIZES:,} more sizes" if len(sizes) > SIZES else ""
    return f"sizes differ, {shown}{more}"


_KINDS: Mapping[type[BadImage], tuple[Callable[[int, Heads], str], str]] = {
    OtherSize: (_sizes, "--resize 32 makes them one"),
    Transparent: (
        lambda n, heads: f"{n:,} with transparency",
        "--background white lays them on white",
    ),
    GreyAmongColour: (
        lambda n, heads: f"{n:,} grey among {len(heads) - n:,} in colour",
        "--rgb takes them as RGB",
    ),
    InColour: (
        lambda n, heads: f"{n:,} in colour among {len(heads) - n:,} grey",
        "--rgb takes all as RGB",
    ),
}
