"""``genbench selftest``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.output import echo, echo_json

if TYPE_CHECKING:
    from genbench.testing import Verdict


@click.command()
@click.argument("metrics", nargs=-1, metavar="[METRIC]...")
@click.option(
    "--sabotage",
    metavar="METRIC",
    help="Falsify this metric's answers: its rows must turn red, or the test would be worthless.",
)
@options.as_json()
def selftest(metrics: tuple[str, ...], sabotage: str | None, as_json: bool) -> int:
    """Prove that every metric answers as it must on this machine, in under a minute.

    Give METRICs to test only those.

    Known shifts, lost classes, copies and noise, and numbers with a closed form (uniform pixels
    cost 8.000 bits/dim). Run it before you believe a leaderboard. Exit code 6 if a row is red.
    """
    from genbench.testing import selftest as library

    each = (lambda verdict: None) if as_json else _print
    rows = library.run_selftest(metrics, sabotage=sabotage, each=each)
    red = [verdict for verdict in rows if not verdict.ok]
    if as_json:
        echo_json(library.as_json(rows), indent=1)
    elif red:
        names = ", ".join(dict.fromkeys(verdict.metric for verdict in red))
        note = " (sabotaged on purpose)" if sabotage else ": do not trust scores made here"
        echo()
        echo(f"{len(red)} of {len(rows)} claims do not hold: {names}{note}")
    else:
        seconds = sum(verdict.seconds for verdict in rows)
        echo()
        echo(f"all {len(rows)} claims hold ({seconds:.0f} s)")
    return 6 if red else 0


def _print(verdict: Verdict) -> None:
    claim = verdict.claim
    found = "-" if verdict.found is None else f"{verdict.found:.4g}"
    mark, colour = ("ok ", "green") if verdict.ok else ("RED", "red")
    wanted = f"{_bound(claim.low)} to {_bound(claim.high)}"
    echo(
        f"{verdict.metric:<19}{found:>10}  in {wanted:<20} {claim.sentence}",
        mark=mark,
        colour=colour,
    )
    if verdict.reason:
        echo(f"    {verdict.reason}")


def _bound(value: float) -> str:
    return ("-" if value < 0 else "") + "inf" if math.isinf(value) else f"{value:.5g}"
