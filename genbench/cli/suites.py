"""``genbench suite check`` and ``genbench suite lock``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER
from genbench.cli.output import echo


@click.group()
def suite() -> None:
    """Check and lock suite files."""


@suite.command()
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
def check(names: tuple[str, ...]) -> int:
    """Validate suite files, their data files, and the lock of the shipped ones.

    Without arguments: every shipped suite. Exit code 6 if anything is wrong.
    """
    from genbench.data import verify_files
    from genbench.features import extractor_problems
    from genbench.tasks import check_lock, load_suite, profiles_of, shipped

    problems = []
    for name in names or tuple(shipped()):
        for profile in profiles_of(name):
            found = load_suite(name, profile)
        files = verify_files(found.dataset)
        absent = [f for f in files if f.absent and not names]  # all right, unless asked for
        problems += [
            f"{name}: {f.path}: {f.problem}" for f in files if not f.ok and f not in absent
        ]
        asked = extractor_problems(found.extractors_asked, found.space, found.extractors)
        problems += [f"{name}: {problem}" for problem in asked]
        checked = f"{len(files)} data files checked"
        state = f"data not here: genbench data fetch {name}" if absent else checked
        echo(f"{found.name} {found.version}: {state}")
    if not names:
        problems += check_lock(next(iter(shipped().values())).parent)
    for problem in problems:
        echo(f"error: {problem}", err=True)
    return 6 if problems else 0


@suite.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--replace", is_flag=True, help="Overwrite the hashes of a version that was never published."
)
def lock(folder: Path, replace: bool) -> int:
    """Write the hashes of every suite in FOLDER into its suites.lock.json."""
    from genbench.tasks import write_lock

    for line in write_lock(folder, replace=replace) or ["nothing to lock"]:
        echo(line)
    return 0
