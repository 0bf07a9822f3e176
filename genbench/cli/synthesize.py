"""``genbench synthesize``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.output import echo

if TYPE_CHECKING:
    from genbench.synthesis import Provenance


@click.command()
@options.suite_name(help="The suite it was trained on.")
@click.option(
    "-g",
    "--generator",
    required=True,
    metavar="NAME[:k=v,...]",
    help="The generator, with its parameters as in `genbench run`.",
)
@click.option("-n", "rows", required=True, type=click.IntRange(min=1), help="Rows to build.")
@options.out(help="Write the data set into this new folder.")
@options.plugins(help="As in `run`.")
@options.profile()
@options.seed(help="Seed of the training that is used and of the drawing.")
@click.option(
    "--balance",
    type=click.Choice(["classes"]),
    help="The same number of rows of every class.",
)
@click.option(
    "--filter",
    "filter_",
    metavar="confidence=0.9",
    help="Keep rows whose label the suite's classifier confirms at least this surely.",
)
@click.option(
    "--drop-near-copies",
    is_flag=True,
    help="Drop rows nearer to a training row than 99 % of held-out real rows are.",
)
@click.option(
    "--splits",
    default="train=1",
    show_default=True,
    metavar="train=0.8,test=0.2",
    help="Shares of the rows by split; each has the classes in the same proportions.",
)
@click.option(
    "--if-helps",
    is_flag=True,
    help="Build it only if the augmentation curve shows a gain at this size; else exit with 7.",
)
@click.option("--overwrite", is_flag=True, help="Replace a data set that lies at --out.")
@options.results(help="Take the trained generator from here, and train it here if it is not there.")
@options.device(help="Train and draw here.")
@options.no_sandbox(help="Let the generator write wherever you may write.")
def synthesize(
    suite_name: str,
    generator: str,
    rows: int,
    out: Path,
    plugins: tuple[str, ...],
    profile: str | None,
    seed: int,
    balance: str | None,
    filter_: str | None,
    drop_near_copies: bool,
    splits: str,
    if_helps: bool,
    overwrite: bool,
    results: Path,
    device: str,
    no_sandbox: bool,
) -> int:
    """Build a data set from a scored generator: images, sounds or texts, arrays, card, metadata.

    Repeated rows and exact copies of training rows are always left out; what was left out and why
    is in the data card. The same command gives the same bytes.

    \b
    Examples
      genbench synthesize --suite mnist -g vae -n 20000 -o more-digits
      genbench synthesize --suite snips -g transformer -n 5000 -o more-utterances
      genbench synthesize --suite mnist -g flow -n 4000 --balance classes \\
          --filter confidence=0.9 --drop-near-copies --if-helps -o more-digits
    """
    from functools import partial

    from genbench import api
    from genbench.cli.terminal import listener
    from genbench.synthesis import Options, Request, require_buildable, require_free, require_help
    from genbench.synthesis import synthesize as build_set
    from genbench.system import resolve_device
    from genbench.tasks import load_suite

    asked = Options(_confidence(filter_), drop_near_copies, resolve_device(device), not no_sandbox)
    request = Request(rows, balance is not None, _splits(splits), seed)
    require_free(out, overwrite)
    require_buildable(load_suite(suite_name, profile), request, asked)
    trained = api.run(
        suite_name,
        (generator,),
        plugins=plugins,
        profile=profile,
        seeds=(seed,),
        results=results,
        device=device,
        parts=("metrics", "downstream") if if_helps else ("metrics",),
        controls=False,
        report=False,
        sandbox=not no_sandbox,
        show=partial(listener, as_json=False),
    )
    if trained.exit_code:
        echo(f"error: {generator} has no finished training to draw from", err=True)
        return trained.exit_code
    (cell,), (stored,) = trained.ended.cells, trained.ended.stored

    if if_helps:
        echo(f"evidence: {require_help(stored.record, rows)}", err=True)

    def progress(what: str, done: int, total: int) -> None:
        echo(f"  {what}" + (f" · {done:,} of {total:,}" if total > 1 else ""), err=True)

    made = build_set(
        trained.ended.suite, cell.generator, stored, trained.store, request, asked, out, progress
    )
    _print(made, out)
    return 0


def _print(made: Provenance, out: Path) -> None:
    for reason, count in made.removed.items():
        echo(f"{reason + ':':32}{count:>9,} left out")
    if made.near is not None:
        echo(f"near copies lie within {made.near_in_words} of a training row")
    echo(f"{made.n:,} rows of {made.drawn:,} drawn, version {made.version}")
    echo(f"{out}: README.md, metadata.json (Croissant), data.npz, {made.files}/")


def _confidence(text: str | None) -> float | None:
    if text is None:
        return None
    key, _, value = text.partition("=")
    share = _number(value)
    if key != "confidence" or not 0 < share <= 1:
        raise click.UsageError(f"--filter {text!r} is not confidence=SHARE with 0 < SHARE <= 1")
    return share


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _splits(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        found[name] = _number(value)
    good = all(n.isidentifier() and n.islower() and v > 0 for n, v in found.items())
    if not good or not math.isclose(math.fsum(found.values()), 1, abs_tol=1e-6):
        raise click.UsageError(
            f"--splits {text!r}: give lower-case names with shares that sum to 1, such as "
            "train=0.8,test=0.2"
        )
    return found
