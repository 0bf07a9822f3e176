"""Images that a new suite cannot take: how many of each kind, which, and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.formats import BadImage, InColour, OtherSize, Transparent

NAMED = 100  # files that are named in all
NAMED_OF_A_KIND = 10
SIZES = 5


class GreyAmongColour(BadImage):
    """A grey image where most are in colour."""

    def __init__(self) -> None:
        super().__init__("is grey, most are in colour")


@dataclass(frozen=True, slots=True)
class Flaw:
    """A file and what is wrong with it."""

    name: str
    error: BadImage


def refusal(
    place: Path, flaws: Sequence[Flaw], heads: Sequence[tuple[int, int, int]], n_files: int
) -> str:
    """The message that names the files of `place` that cannot be used, by kind, with the remedies.

    `heads` are channels, height and width of every image that has a header, of `n_files` files.
    """
    lines = []
    rest = list(flaws)
    for kind, head in _HEADINGS.items():
        found = [flaw for flaw in rest if isinstance(flaw.error, kind)]
        rest = [flaw for flaw in rest if not isinstance(flaw.error, kind)]
        if found:
            lines.append(head(len(found), heads))
            lines += [f"  {flaw.name} {flaw.error.what}" for flaw in found[:NAMED_OF_A_KIND]]
            lines += _more(found, NAMED_OF_A_KIND, "  ")
    lines += listed(rest)
    body = "\n  ".join(lines)
    return (
        f"{len(flaws):,} of {n_files:,} files of {place} cannot be used:\n  {body}\n"
        "repair them, or leave them out with --on-bad skip"
    )


def listed(flaws: Sequence[Flaw]) -> list[str]:
    """A line for each flaw, `NAMED` at most."""
    lines = [f"{flaw.name} {flaw.error}" for flaw in flaws[:NAMED]]
    return [*lines, *_more(flaws, NAMED)]


def _more(flaws: Sequence[Flaw], named: int, indent: str = "") -> list[str]:
    return [f"{indent}and {len(flaws) - named:,} more"] if len(flaws) > named else []


def _sizes(n: int, heads: Sequence[tuple[int, int, int]]) -> str:
    sizes = Counter(f"{width} x {height}" for _, height, width in heads).most_common()
    shown = ", ".join(f"{count:,} of {size}" for size, count in sizes[:SIZES])
    more = f" and {len(sizes) - SIZES:,} more sizes" if len(sizes) > SIZES else ""
    return f"sizes differ ({shown}{more}): --resize 32 makes them one"


def _transparent(n: int, heads: Sequence[tuple[int, int, int]]) -> str:
    return f"{n:,} with transparency: --background white lays them on white"


def _grey(n: int, heads: Sequence[tuple[int, int, int]]) -> str:
    return f"{n:,} grey among {len(heads) - n:,} in colour: --rgb takes them as RGB"


def _coloured(n: int, heads: Sequence[tuple[int, int, int]]) -> str:
    return f"{n:,} in colour among {len(heads) - n:,} grey: --rgb takes all as RGB"


_HEADINGS = {
    OtherSize: _sizes,
    Transparent: _transparent,
    GreyAmongColour: _grey,
    InColour: _coloured,
}
