"""``genbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from genbench.cli import options


@click.command()
@options.suite_name(
    help="Run this suite: a shipped name (see `genbench list suites`) or a TOML file."
)
@click.option(
    "-g",
    "--generator",
    "generators",
    multiple=True,
    metavar="NAME[:k=v,...]",
    help="Run this generator, with these parameters; repeat for more. `all`: every one that comes "
    "with genbench; `family:gan`: those of a family. Without it: those that the suite names.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME:k=a,b,c",
    help="Run this generator once with each value; repeat for every combination of two.",
)
@options.plugins(help="Use the generators that a Python file defines; without -g, run them.")
@options.profile(help="Size of the run: smoke, standard (the default) or full.")
@click.option(
    "--seeds",
    metavar="0,1,2",
    help="Training seeds; more than one shows the spread between trainings.",
)
@options.results(help="Keep records, samples and the report in this folder.")
@options.jobs(
    help="Run this many cells and refits at a time; auto: as many as cores are free and memory "
    "allows, or one a GPU."
)
@click.option(
    "--threads",
    default=1,
    type=click.IntRange(1, 256),
    show_default=True,
    metavar="N",
    help="Fit and sample each cell on this many threads, for a model too large for one; another "
    "number gives other bytes.",
)
@options.device(help="Train and score here; auto takes every GPU that there is, or else the CPU.")
@click.option(
    "--executor",
    metavar="NAME[:k=v,...]",
    help="Have the cells run by this executor, with these options (see `genbench list executors`). "
    "Without it: what GENBENCH_EXECUTOR or genbench.toml says, else local.",
)
@click.option(
    "--detach",
    is_flag=True,
    help="Order the cells and leave; the same command later collects what is there.",
)
@click.option(
    "--track",
    multiple=True,
    metavar="T[:WHERE]",
    help="Tell this tracker of each cell, and of its losses while it trains; repeat for more: "
    "mlflow:URI, wandb[:PROJECT], tensorboard:DIR, trackio (see `genbench list trackers`).",
)
@options.only
@options.skip
@click.option("--fresh", is_flag=True, help="Run every cell again, whatever is stored.")
@click.option(
    "--keep-failed",
    is_flag=True,
    help="Leave failed cells and failed metrics alone instead of retrying.",
)
@options.no_controls
@options.timeout(help="End a generator that runs longer than this.")
@click.option(
    "--memory-limit",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="End a generator whose processes hold more than this; "
    "default: 80 % of the memory divided by the jobs, and once more, alone, with all of it.",
)
@options.no_sandbox(
    help="Let generators write wherever you may write (no Landlock); records say so."
)
@click.option("--dry-run", is_flag=True, help="Show what would be run and stop.")
@options.as_json(help="Print one JSON line per cell on stdout instead of the table.")
@options.no_report
def run(
    suite_name: str,
    generators: tuple[str, ...],
    sweeps: tuple[str, ...],
    plugins: tuple[str, ...],
    profile: str | None,
    seeds: str | None,
    results: Path,
    jobs: int | Literal["auto"],
    threads: int,
    device: str,
    executor: str | None,
    detach: bool,
    track: tuple[str, ...],
    only: str | None,
    skip: str | None,
    fresh: bool,
    keep_failed: bool,
    no_controls: bool,
    timeout: float | None,
    memory_limit: int | None,
    no_sandbox: bool,
    dry_run: bool,
    as_json: bool,
    no_report: bool,
) -> int:
    """Train and score generators on a suite; write records and a leaderboard.

    What is stored already is not run again: after a crash, a Ctrl-C, or with more --seeds or
    generators, the same command does the rest. Ctrl-C once finishes writing and stops; twice
    stops at once.

    \b
    Examples
      genbench run --suite mnist --profile smoke
      genbench run --suite mnist --seeds 0,1,2
      genbench run --suite mnist -g vae:width=32 -g flow
      genbench run --suite mnist --sweep vae:latent=8,16,32
      genbench run --suite digits --plugin my_model.py
      genbench run --suite mnist --executor slurm:partition=gpu,gres=gpu:1 --detach
    """
    from functools import partial

    from genbench import api
    from genbench.cli.terminal import listener, print_plan, print_result
    from genbench.plugins import parse_seeds

    asked: dict[str, Any] = {
        "plugins": plugins,
        "sweeps": sweeps,
        "profile": profile,
        "seeds": None if seeds is None else parse_seeds(seeds),
        "results": results,
        "jobs": jobs,
        "threads": threads,
        "executor": executor,
        "parts": options.parts_of(only, skip),
        "fresh": fresh,
        "keep_failed": keep_failed,
        "controls": not no_controls,
        "track": track,
    }
    if dry_run:
        print_plan(api.plan(suite_name, generators, **asked).cells, as_json=as_json)
        return 0
    result = api.run(
        suite_name,
        generators,
        **asked,
        detach=detach,
        device=device,
        timeout=timeout,
        memory_limit=None if memory_limit is None else memory_limit << 20,
        report=not no_report,
        sandbox=not no_sandbox,
        show=partial(listener, as_json=as_json),
    )
    print_result(result, as_json=as_json)
    return result.exit_code
