"""Files that a new suite cannot take: how many of each kind, which, and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.formats import (
    BadFile,
    BadImage,
    InColour,
    ManyChannels,
    OtherLength,
    OtherRate,
    OtherSize,
    SoundHead,
    Transparent,
)

NAMED = 100  # files that are named where each has a line of its own
IN_A_LINE = 20
OF_A_KIND = 5
SIZES = 5

ROUND = 256  # samples: lengths that are proposed are multiples of it
MOST_WHOLE = 0.95  # of the files, which a proposed length does not cut

Heads = Sequence[tuple[int, int, int]]  # channels, height, width


@dataclass(frozen=True, slots=True)
class Remedy:
    """Files with one kind of fault in words, and the option that makes them usable."""

    fault: type[BadFile]
    heading: Callable[[int], str]
    option: str


class GreyAmongColour(BadImage):
    """A grey image where most are in colour."""

    def __init__(self) -> None:
        super().__init__("is grey, most are in colour")


@dataclass(frozen=True, slots=True)
class Flaw:
    """A file and what is wrong with it."""

    name: str
    error: BadFile


def image_refusal(place: Path, flaws: Sequence[Flaw], heads: Heads, n_files: int) -> str:
    """The message that names the images of `place` that cannot be used, by kind, with the remedies.

    `heads` are those of every image that has one, of `n_files` files.
    """
    return _refusal(place, flaws, n_files, (
        Remedy(OtherSize, lambda n: _sizes(heads), "--resize 32 makes them one"),
        Remedy(
            Transparent,
            lambda n: f"{n:,} with transparency",
            "--background white lays them on white",
        ),
        Remedy(
            GreyAmongColour,
            lambda n: f"{n:,} grey among {len(heads) - n:,} in colour",
            "--rgb takes them as RGB",
        ),
        Remedy(
            InColour,
            lambda n: f"{n:,} in colour among {len(heads) - n:,} grey",
            "--rgb takes all as RGB",
        ),
    ))  # fmt: skip


def sound_refusal(
    place: Path,
    flaws: Sequence[Flaw],
    heads: Sequence[SoundHead],
    lengths: Sequence[int],
    rate: int,
    n_files: int,
) -> str:
    """The message that names the sounds of `place` that cannot be used, by kind, with the remedies.

    `heads` are those of every sound that has one, `lengths` the samples of each at the suite's
    `rate` in Hz; of `n_files` files.
    """
    rates = Counter(f"{head.rate:,} Hz" for head in heads)
    return _refusal(place, flaws, n_files, (
        Remedy(ManyChannels, lambda n: f"{n:,} of several channels", "--mono averages them"),
        Remedy(
            OtherRate,
            lambda n: f"rates differ, {_counted(rates)}",
            f"--rate {rate} resamples them",
        ),
        Remedy(
            OtherLength,
            lambda n: f"lengths differ, {min(lengths):,} to {max(lengths):,} samples",
            f"--length {proposed_length(lengths)} pads them with silence or cuts them",
        ),
    ))  # fmt: skip


def proposed_length(lengths: Sequence[int]) -> int:
    """A length in samples that cuts few of the files: a multiple of `ROUND`."""
    enough = sorted(lengths)[int(MOST_WHOLE * (len(lengths) - 1))]
    return -(-enough // ROUND) * ROUND


def _refusal(place: Path, flaws: Sequence[Flaw], n_files: int, remedies: Sequence[Remedy]) -> str:
    parts = []
    rest = list(flaws)
    for remedy in remedies:
        found = [flaw for flaw in rest if isinstance(flaw.error, remedy.fault)]
        rest = [flaw for flaw in rest if not isinstance(flaw.error, remedy.fault)]
        if found:
            named = _some([f"{flaw.name} {flaw.error.what}" for flaw in found], OF_A_KIND)
            parts.append(f"{remedy.heading(len(found))} ({named}): {remedy.option}")
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


def _sizes(heads: Heads) -> str:
    sizes = Counter(f"{width} x {height}" for _, height, width in heads)
    more = f" and {len(sizes) - SIZES:,} more sizes" if len(sizes) > SIZES else ""
    return f"sizes differ, {_counted(sizes)}{more}"


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{count:,} of {what}" for what, count in found.most_common(SIZES))
