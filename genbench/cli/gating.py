"""``genbench gate``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import FOLDER
from genbench.cli.output import Sheet, echo


@click.command()
@click.option("--baseline", required=True, type=FOLDER, metavar="DIR", help="What was accepted.")
@click.option("--candidate", required=True, type=FOLDER, metavar="DIR", help="What is new.")
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="NAME=AMOUNT",
    help="How much worse is fine: fid=5%, kid=0.02, quality=5% (default), cost=25% (default).",
)
@click.option("--strict", is_flag=True, help="Inconclusive is a failure too (exit code 4).")
@click.option(
    "--markdown",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a summary for a pull request.",
)
def gate(
    baseline: Path, candidate: Path, tolerances: tuple[str, ...], strict: bool, out: Path | None
) -> int:
    """Judge new results against accepted ones: pass, regression or inconclusive.

    A regression is a row that is gone or failed, a metric that failed where it had a number, or a
    metric or cost that is worse by more than its tolerance and not by chance. One seed never
    convicts: run three. Equal values pass; a metric that was measured differently is inconclusive.

    \b
    Exit codes: 0 pass, 4 regression, 5 inconclusive or nothing to compare.
    """
    from genbench.results import gate as library
    from genbench.results import number
    from genbench.system import write_bytes

    found = library.judge(baseline, candidate, library.parse_tolerances(tolerances))
    if out is not None:
        write_bytes(out, library.markdown(found).encode())
    shown = [j for j in found.judgements if j.verdict != "pass" or j.decides]
    sheet = Sheet(("verdict", "aspect", "task", "generator", "what", "baseline", "candidate",
                   "worse by", "tolerance", "note"))  # fmt: skip
    for j in shown:
        sheet.row((
            j.verdict, j.aspect, j.task, j.generator, j.what, number(j.baseline),
            number(j.candidate), library.worse_by(j), number(j.tolerance), j.note,
        ))  # fmt: skip
    sheet.print()
    for task in found.not_run:
        echo(f"not run by the candidate: {task}")
    for aspect in library.ASPECTS:
        echo(f"{aspect}: {found.verdict(aspect)}")
    verdict = found.verdict()
    echo(f"verdict: {verdict}")
    if verdict == "inconclusive":
        return 4 if strict else 5
    return 4 if verdict == "regression" else 0
