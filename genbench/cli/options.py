"""Options and types of arguments that several commands share, each written once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import click

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW_FOLDER = click.Path(path_type=Path, file_okay=False)
_PARTS = click.Choice(["metrics", "downstream", "codes"])
MOST_JOBS = 256
_SECONDS = click.FloatRange(min=0, min_open=True)


def _jobs(context: click.Context, option: click.Parameter, text: str) -> int | Literal["auto"]:
    """``auto`` or a number."""
    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= MOST_JOBS:
        return int(text)
    raise click.BadParameter(f"{text!r} is neither auto nor a number from 1 to {MOST_JOBS}")


suite_name = partial(click.option, "--suite", "suite_name", required=True, metavar="NAME|FILE")
profile = partial(click.option, "--profile", metavar="P", help="Profile of the suite.")
plugins = partial(click.option, "--plugin", "plugins", multiple=True, metavar="FILE[:Class]")
results = partial(click.option, "--results", default="results", type=NEW_FOLDER, show_default=True)
device = partial(
    click.option, "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]"
)
jobs = partial(
    click.option, "-j", "--jobs", default="auto", metavar="auto|N", callback=_jobs,
    show_default=True,
)  # fmt: skip
on_bad = partial(
    click.option, "--on-bad", type=click.Choice(["fail", "skip"]), default="fail", show_default=True
)
timeout = partial(click.option, "--timeout", type=_SECONDS, show_default=True, metavar="SECONDS")
no_sandbox = partial(click.option, "--no-sandbox", is_flag=True)
seed = partial(click.option, "--seed", default=0, show_default=True, type=click.IntRange(min=0))
out = partial(click.option, "-o", "--out", required=True, type=click.Path(path_type=Path))
as_json = partial(click.option, "--json", "as_json", is_flag=True, help="Print JSON.")
only = click.option("--only", type=_PARTS, help="Compute this part of the scores alone.")
skip = click.option("--skip", type=_PARTS, help="Leave this part of the scores out for now.")
no_controls = click.option("--no-controls", is_flag=True, help="Leave the control rows out.")
no_report = click.option("--no-report", is_flag=True, help="Do not write the HTML report.")


def parts_of(only: str | None, skip: str | None) -> list[str]:
    """The parts of the scores that ``--only`` and ``--skip`` leave."""
    from genbench.running import PARTS

    if only and skip:
        raise click.UsageError("--only and --skip exclude each other: give one")
    return [part for part in PARTS if part == (only or part) and part != skip]
