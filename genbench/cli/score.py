"""``genbench score``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("samples", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--suite", "suite_name", required=True, metavar="NAME|FILE", help="Score against this suite."
)
@click.option(
    "--name", default=None, metavar="TEXT", help="Call the row this; default: the file's name."
)
@click.option("--profile", default=None, metavar="P", help="Profile of the suite.")
@click.option(
    "--results",
    default="results",
    type=click.Path(path_type=Path, file_okay=False),
    show_default=True,
    help="Keep the record in this folder.",
)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Score here."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line instead of the table.")
@click.option("--no-report", is_flag=True, help="Do not write the HTML report.")
def score(
    samples: Path,
    suite_name: str,
    name: str | None,
    profile: str | None,
    results: Path,
    device: str,
    as_json: bool,
    no_report: bool,
) -> int:
    """Score samples that were made elsewhere: an .npz with x (and y), or an .npy.

    Images are uint8 (n, C, H, W) or (n, H, W), points float32 (n, d), labels int64 (n,). The
    result is an ordinary record; metrics that need the model are not applicable. With more rows
    than the suite asks for, a seeded subset is scored; with fewer, the row is shown unranked.
    """
    from genbench import environment
    from genbench.cli.terminal import listener, print_result
    from genbench.executors.local import LocalExecutor
    from genbench.external import stage
    from genbench.publish import renew_report
    from genbench.runner import RunOptions, resolve_device, run_suite
    from genbench.selection import controls_of
    from genbench.store import Store
    from genbench.suite import load_suite

    suite = load_suite(suite_name, profile)
    store = Store(results)
    options = RunOptions(
        seeds=(0,),
        device=resolve_device(device),
        argv_source=environment.source(["genbench", *sys.argv[1:]]),
    )
    choice = stage(samples, suite, name, store)
    with LocalExecutor() as executor:
        choices = [choice, *controls_of(suite, executor)]
        with listener(suite, as_json=as_json) as shown:
            result = run_suite(suite, choices, store, options, executor, shown)
    page = None if no_report else renew_report(store, results / "report", suite.folder_name)
    print_result(result, store, page, as_json=as_json)
    return result.exit_code
