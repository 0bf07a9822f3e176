"""``genbench check``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.output import echo, echo_json

if TYPE_CHECKING:
    from genbench.plugins import GeneratorRef
    from genbench.testing import CheckResult, Conformance

_MARKS = {
    "passed": ("ok    ", "green"),
    "failed": ("FAILED", "red"),
    "not checked": ("-     ", None),
}


@click.command()
@click.argument("generator", metavar="NAME|FILE[:Class]")
@click.option(
    "--shape",
    metavar="C,H,W",
    help="Check on data of this shape, for a generator that takes no other; default 1,8,8 images.",
)
@options.timeout(help="Fail a check that takes longer than this.", default=60.0)
@options.no_sandbox(help="Let the generator write wherever you may write.")
@options.as_json()
def check(
    generator: str, shape: str | None, timeout: float, no_sandbox: bool, as_json: bool
) -> int:
    """Check that a generator obeys the contract, on tiny data, in about a minute.

    NAME is an installed generator; FILE a Python file, all of whose generators are checked unless
    one is named. Every check runs in a process of its own: a crash or a hang fails that check.
    What cannot be checked says why; it is no failure and no pass. Exit code 6 if a check fails.

    \b
    Examples
      genbench check vae
      genbench check my_model.py
      genbench check my_model.py:Mine --shape 3,32,32
    """
    from genbench.plugins import Prober
    from genbench.testing import EXAMINED, check_all

    with Prober(EXAMINED, sandbox=not no_sandbox) as prober:
        reports = check_all(
            generator,
            prober,
            shape=_shape(shape),
            seconds=timeout,
            started=_nothing if as_json else _print_start,
            each=_nothing if as_json else _print_result,
        )
    if as_json:
        echo_json([report.to_json() for report in reports], indent=1)
    else:
        for report in reports:
            _print_end(report)
    return 0 if all(report.ok for report in reports) else 6


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise click.UsageError(f"--shape {text!r} is not a shape: write 1,28,28")
    return shape


def _nothing(_: object) -> None:
    pass


def _print_start(ref: GeneratorRef) -> None:
    echo(f"{ref.name} ({ref.provider})")


def _print_result(result: CheckResult) -> None:
    text, colour = _MARKS[result.status]
    echo(f"{result.label:<24} {result.sentence}", mark=text, colour=colour)
    if result.detail:
        prefix = "not checked: " if result.status == "not checked" else ""
        for line in textwrap.wrap(prefix + result.detail, 92):
            echo(f"{'':<31} {line}")


def _print_end(report: Conformance) -> None:
    seconds = sum(result.seconds for result in report.results)
    counts = f"{report.count('passed')} passed, {report.count('failed')} failed"
    echo()
    echo(f"{report.name}: {counts}, {report.count('not checked')} not checked ({seconds:.0f} s)")
