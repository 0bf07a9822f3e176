"""``genbench doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import options
from genbench.cli.output import echo, echo_json


@click.command()
@options.results(
    help="Check that this results folder can be written.", type=click.Path(path_type=Path)
)
@options.as_json()
def doctor(results: Path, as_json: bool) -> int:
    """Check this machine: versions, device, disk, data, weights, plugins, write access.

    Says what to do about each problem. Exit code 6 if there is one.
    """
    from genbench.testing import diagnose

    checks = diagnose(results)
    if as_json:
        body = [{"check": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks]
        echo_json(body, indent=1)
    else:
        width = max(len(c.name) for c in checks)
        for c in checks:
            echo(f"{'ok ' if c.ok else 'BAD'}  {c.name:<{width}}  {c.found}")
            if not c.ok:
                echo(f"     {'':<{width}}  -> {c.remedy}")
    return 0 if all(c.ok for c in checks) else 6
