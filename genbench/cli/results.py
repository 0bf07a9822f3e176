"""``genbench report``, ``genbench compare`` and ``genbench status``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from genbench.cli.options import FOLDER, NEW_FOLDER
from genbench.cli.output import Sheet, echo


@click.command()
@click.argument("places", metavar="[RESULTS]...", nargs=-1, type=FOLDER)
@click.option(
    "-o",
    "--out",
    type=NEW_FOLDER,
    metavar="DIR",
    help="Write the site here; default: RESULTS/report.",
)
@click.option("--single-file", is_flag=True, help="Put everything into one HTML file.")
@click.option(
    "--published/--no-published",
    default=True,
    help="Show our published rows for baselines that were not run here.",
)
@click.option(
    "--superseded",
    is_flag=True,
    help="Show earlier versions of a generator too, such as a plugin before it was edited.",
)
@click.option(
    "--badge", is_flag=True, help="Write data/SUITE-VERSION-PROFILE-badge.svg: who leads."
)
@click.option(
    "--at",
    "revisions",
    multiple=True,
    metavar="REV",
    help="Show how the values were at this git revision of the RESULTS too; repeat for more.",
)
def report(
    places: tuple[Path, ...],
    out: Path | None,
    single_file: bool,
    published: bool,
    superseded: bool,
    badge: bool,
    revisions: tuple[str, ...],
) -> int:
    """Build the offline HTML report from stored records.

    RESULTS are folders that `genbench run` wrote to, or task folders within them. Several folders
    of one task make one page, with a figure of each metric over time.
    """
    from tempfile import TemporaryDirectory

    from genbench.report import build_report
    from genbench.results import extract, gather

    places = places or (Path("results"),)
    with TemporaryDirectory() as scratch:
        past: dict[str, Path] = {}
        for index, revision in enumerate(revisions):
            for place in places:
                label = f"{place}@{revision}" if len(places) > 1 else revision
                past[label] = Path(scratch) / f"{index}-{len(past)}"
                extract(place, revision, past[label])
        tasks, problems = gather(places, published=published, past=past, superseded=superseded)
    for problem in problems:
        echo(f"left out: {problem.path}: {problem.reason}", err=True)
    page = build_report(tasks, out or places[0] / "report", single_file=single_file, badge=badge)
    records = sum(not entry.published for task in tasks for entry in task.entries)
    echo(f"{records} records of {len(tasks)} tasks", err=True)
    hidden = sum(task.superseded for task in tasks)
    if hidden:
        echo(f"{hidden} rows of superseded versions left out: --superseded shows them", err=True)
    echo(str(page))
    return 0


@click.command()
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER, required=False)
@click.option(
    "--rows",
    nargs=2,
    metavar="ROW ROW",
    help="Compare these two rows: the first of A, the second of B or, without B, of A too. "
    "Write NAME, NAME:k=v,... or NAME@VERSION.",
)
def compare(a: Path, b: Path | None, rows: tuple[str, str] | None) -> int:
    """Compare two results folders row by row, or two rows: B minus A with its interval.

    Verdicts are corrected for the number of lines (Holm). A row trained at one seed gets none: how
    far another training would have moved it is unknown.

    \b
    Examples
      genbench compare before after
      genbench compare results --rows gan vae
      genbench compare results --rows vae vae:latent=8
      genbench compare before after --rows mine mine
    """
    from genbench.errors import UsageError
    from genbench.results import comparison

    if rows:
        found = comparison.compare_rows(a, b or a, *rows)
    elif b is None:
        raise UsageError(f"compare {a} with what? Name a second folder, or two rows: --rows A B")
    else:
        found = comparison.compare_places(a, b)
    names = ("task", "generator", "metric")
    sheet = Sheet(names)
    for name in ("A", "B", "B - A", "95 % interval", "p (Holm)", "verdict"):
        sheet.column(name, right=True)
    for line in found:
        sheet.row(line.cells())
    sheet.print()
    echo(comparison.footnote(found))
    return 0


@click.command()
@click.argument("place", metavar="[RESULTS]", default="results", type=FOLDER)
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
def status(place: Path, watch: bool) -> int:
    """Show what is done, running and failed in a results folder. Reads files only."""
    from genbench.results import overview
    from genbench.running import queue_overview

    while True:
        lines = overview(place) + queue_overview(place)
        if watch:
            click.clear()
        for line in lines:
            echo(line)
        if not watch:
            return 0
        time.sleep(2)
