"""``genbench new``: the group that writes a newcomer's first files."""

from __future__ import annotations

import click

from genbench.cli import new_suite


@click.group()
def new() -> None:
    """Write the first files of something of your own."""


new.add_command(new_suite.suite)
