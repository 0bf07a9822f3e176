"""``genbench data list | verify | fetch``."""

from __future__ import annotations

import sys

import click

from genbench.cli.output import echo, redraw


@click.group()
def data() -> None:
    """List, verify and fetch the data sets of the suites."""


@data.command("list")
def list_() -> int:
    """Show every suite's data set: its licence, and where its files are looked for."""
    from genbench.data import located, places
    from genbench.tasks import load_suite, shipped

    for name in shipped():
        dataset = load_suite(name).dataset
        terms = [dataset[key] for key in ("licence", "credit") if key in dataset]
        echo(f"{name:<15} {', '.join(terms) or 'made on the spot'}")
        parts = located(dataset)
        for path in sorted({str(path.parent) for path in parts if path is not None}):
            echo(f"{'':<15} {path}")
        if None in parts:
            echo(f"{'':<15} not here; looked for in {', '.join(map(str, places(dataset)))}")
    return 0


@data.command()
@click.argument("names", metavar="[SUITE]...", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Check the files of suites against their hashes; all suites if none is named.

    Exit code 6 if a file is altered, or missing from a suite that was named.
    """
    from genbench.data import verify_files
    from genbench.tasks import load_suite, shipped

    bad = 0
    for name in names or tuple(shipped()):
        for file in verify_files(load_suite(name).dataset):
            optional = file.absent and not names  # all right, unless asked for
            mark = "ok " if file.ok else "-  " if optional else "BAD"
            echo(f"{mark} {name}: {file.path}")
            if not file.ok:
                echo(f"    {file.problem}")
            bad += not file.ok and not optional
    return 6 if bad else 0


@data.command()
@click.argument("name", metavar="SUITE|EXTRACTOR")
@click.option("--mirror", metavar="URL", help="Try URL/FILE and URL/FILE.gz first.")
def fetch(name: str, mirror: str | None) -> int:
    """Download the files of a suite, or an extractor's weights, checked by their hashes.

    They go to $GENBENCH_DATA/NAME, or to genbench/NAME in the XDG data home.
    """
    from genbench.data import Fetched, fetch_file
    from genbench.data import fetch as fetch_files
    from genbench.features import PUBLISHED
    from genbench.tasks import load_suite

    def progress(url: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            share = f"{100 * done / total:3.0f} %" if total else f"{done / 1e6:.1f} MB"
            redraw(f"{url}  {share}")

    found: list[Fetched]
    if name in PUBLISHED:
        network = PUBLISHED[name]
        url = f"{mirror.rstrip('/')}/{network.file}" if mirror else network.url
        found = [fetch_file(url, network.places()[-1], network.digits, progress)]
    else:
        found = fetch_files(load_suite(name).dataset, mirror=mirror, progress=progress)
    for file in found:
        if sys.stderr.isatty() and file.source:
            echo(err=True)
        echo(f"{file.path}: {f'from {file.source}' if file.source else 'was here'}")
    return 0
