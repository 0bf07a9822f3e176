"""``--only`` and ``--skip``: which parts of the scores to compute."""

from __future__ import annotations

import click


def parts_of(only: str | None, skip: str | None) -> list[str]:
    """The parts that are left."""
    from genbench.running import PARTS

    if only and skip:
        raise click.UsageError("--only and --skip exclude each other: give one")
    return [part for part in PARTS if part == (only or part) and part != skip]
