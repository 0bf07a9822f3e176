"""``genbench results verify | merge | gc | export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli.options import FOLDER, NEW_FOLDER
from genbench.cli.output import echo

if TYPE_CHECKING:
    from genbench.results import Problem


@click.group("results")
def results_() -> None:
    """Verify, merge, clear and export results folders."""


@results_.command()
@click.argument("place", metavar="[RESULTS]", default="results", type=FOLDER)
def verify(place: Path) -> int:
    """Check every record and artefact against its digest. Exit code 6 if one is wrong."""
    from genbench.results import archive

    found = archive.verify(place)
    _tell(found.problems)
    missing = f", {found.absent} not here (a light copy leaves them out)" if found.absent else ""
    echo(f"{found.records} records and {found.artifacts} artefacts are whole{missing}")
    return 6 if found.problems else 0


@results_.command()
@click.argument("sources", metavar="RESULTS...", nargs=-1, required=True, type=FOLDER)
@click.option(
    "-o", "--into", required=True, metavar="DIR", type=NEW_FOLDER,
    help="The results folder to copy into; nothing in it is overwritten.",
)  # fmt: skip
@click.option(
    "--light",
    is_flag=True,
    help="The newest attempt of each cell, without samples and weights: for a repository.",
)
@click.option(
    "--without-data",
    metavar="SUITE",
    multiple=True,
    help="Of this suite, nothing that shows a row of its data: for data that may not be passed on. "
    "Repeat for more.",
)
def merge(sources: tuple[Path, ...], into: Path, light: bool, without_data: tuple[str, ...]) -> int:
    """Copy the records of several results folders into one, such as those of many machines."""
    from genbench.results import merging

    merged = merging.merge(sources, into, light=light, without_data=without_data)
    _tell(merged.problems)
    echo(f"{merged.copied} attempts copied, {merged.present} were there already")
    return 6 if merged.problems else 0


@results_.command()
@click.argument("place", metavar="[RESULTS]", default="results", type=FOLDER)
@click.option("--cache", is_flag=True, help="The cache too: it is made again when needed.")
@click.option("--delete", is_flag=True, help="Delete; without this, only list.")
def gc(place: Path, cache: bool, delete: bool) -> int:
    """List or delete what nothing reads: superseded attempts and those that died.

    Do not delete while a run is writing into the folder.
    """
    from genbench.results import archive

    waste = archive.garbage(place, cache=cache)
    for item in waste:
        echo(f"{item.bytes / 1e6:9.1f} MB  {item.path}  ({item.reason})")
    if delete:
        archive.remove(waste)
    done = "deleted" if delete else "to be deleted with --delete"
    echo(f"{len(waste)} folders, {sum(w.bytes for w in waste) / 1e6:.1f} MB {done}")
    return 0


@results_.command()
@click.argument("places", metavar="[RESULTS]...", nargs=-1, type=FOLDER)
@click.option(
    "-o", "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="A .csv, .parquet (needs pyarrow) or .sqlite file.",
)  # fmt: skip
@click.option(
    "--to", "targets", multiple=True, metavar="T[:WHERE]",
    help="Tell this tracker of every cell; repeat for more: mlflow:URI, wandb[:PROJECT], "
    "tensorboard:DIR, trackio (see `genbench list trackers`). The same again doubles nothing.",
)  # fmt: skip
@click.option(
    "--attempts",
    is_flag=True,
    help="In FILE, every attempt at a cell, not only the one that counts.",
)
@click.option("--no-report", is_flag=True, help="Do not send the HTML report to trackers.")
def export(
    places: tuple[Path, ...],
    out: Path | None,
    targets: tuple[str, ...],
    attempts: bool,
    no_report: bool,
) -> int:
    """Write one line per cell and metric to a FILE, for pandas, R or SQL, or tell trackers.

    Of several attempts at a cell, such as reruns that were merged, the one counts that the table
    shows: no seed is there twice. A tracker gets a run per cell: parameters, metrics with their
    intervals, curves, pictures; and the report.

    \b
    Examples
      genbench results export -o cells.csv
      genbench results export --to mlflow:http://localhost:5000
      genbench results export results-a results-b --to tensorboard:runs
    """
    from genbench.errors import UsageError
    from genbench.results import archive
    from genbench.tracking import export as tell
    from genbench.tracking import parse_targets

    if out is None and not targets:
        raise UsageError("export where? Name a file with -o, or a tracker with --to")
    places = places or (Path("results"),)
    wanted = parse_targets(targets)
    if out is not None:
        echo(f"{archive.export(places, out, attempts=attempts)} lines in {out}")
    for told in tell(places, wanted, report=not no_report) if wanted else ():
        echo(f"{told.cells} cells in {told.target}: {told.new} new, {told.renewed} renewed, "
             f"{told.same} there already")  # fmt: skip
    return 0


def _tell(problems: Sequence[Problem]) -> None:
    for problem in problems:
        echo(f"error: {problem.path}: {problem.reason}", err=True)
