"""``genbench work`` and ``genbench stop``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from genbench.cli import options
from genbench.cli.options import FOLDER
from genbench.cli.output import echo


@click.command()
@click.argument("place", metavar="DIR", type=FOLDER)
@options.jobs(help="Work on this many cells at a time; auto: as many as cores are free and memory "
              "allows, or one a GPU.")  # fmt: skip
@click.option(
    "--device",
    metavar="auto|cpu|cuda[:i]",
    help="Train and score here; default: what the run asked for.",
)
@click.option("--manifest", metavar="ID", help="Take the cells of one run alone.")
@click.option(
    "--task", type=click.IntRange(min=0), help="Of that run, take one group of cells alone."
)
@click.option("--task-name", default="", hidden=True, help="Claim cells for this task.")
def work(
    place: Path,
    jobs: int | Literal["auto"],
    device: str | None,
    manifest: str | None,
    task: int | None,
    task_name: str,
) -> int:
    """Work on cells that `genbench run --executor folder` has ordered in a results folder.

    Start it as often as you like, on any machine that sees the folder: each takes cells that nobody
    has, gives back those of workers that died, and ends when none is left. Ctrl-C finishes writing
    and ends; another goes on from the checkpoint.

    \b
    Examples
      genbench run --suite mnist --results /shared/results --executor folder --detach
      ssh node1 genbench work /shared/results
      CUDA_VISIBLE_DEVICES=1 genbench work /shared/results -j 1
    """
    from genbench.running import Share
    from genbench.running import work as work_on
    from genbench.system import ForkServerClient

    if task is not None and manifest is None:
        raise click.UsageError("--task is one of a manifest: give --manifest too")
    with ForkServerClient(()) as forks:
        return work_on(
            place, jobs=jobs, device=device, share=Share(manifest, task, task_name), forks=forks,
            say=lambda text: echo(text, err=True),
        )  # fmt: skip


@click.command()
@click.argument("place", metavar="[RESULTS]", default="results", type=FOLDER)
def stop(place: Path) -> int:
    """Stop all that works on a results folder elsewhere; what was begun can be continued.

    Workers of `genbench work` and tasks of a scheduler write checkpoints and end. `genbench run`
    orders what is missing anew.
    """
    from genbench.running import stop_queue

    for line in stop_queue(place):
        echo(f"stopped {line}")
    return 0
