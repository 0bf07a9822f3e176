"""``genbench new``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import new_suite, options
from genbench.cli.output import echo


@click.group()
def new() -> None:
    """Write files to start from."""


@new.command()
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    default=".",
    show_default=True,
    type=options.NEW_FOLDER,
    help="Make the folder NAME in this one.",
)
@click.option("--texts", is_flag=True, help="Start from a model of texts.")
def generator(name: str, parent: Path, texts: bool) -> None:
    """Write a plugin package for a generator into ./NAME: it works, and you change it.

    It has one module for images, points and sounds, a pyproject.toml that announces it, and a test.
    """
    from genbench.testing import new_generator

    files = new_generator(name, parent, texts=texts)
    for path in files:
        echo(f"wrote {path}")
    module = files[1]
    # Without ./ pip would look for a package of that name on its index.
    place = module.parent if module.is_absolute() else f"./{module.parent}"
    suite = "names" if texts else "digits"
    for line in (
        "",
        f"next: genbench check {module}",
        f"      genbench run --suite {suite} --profile smoke --plugin {module}",
        f"      pip install {place}     then it is known as -g {name}",
    ):
        echo(line, err=True)


new.add_command(new_suite.suite)
