"""The command line: parse, call one library function, print. The only place that imports click."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from genbench.cli import (
    archive,
    check,
    data,
    doctor,
    export,
    gating,
    listing,
    new,
    output,
    results,
    run,
    score,
    selftest,
    suites,
    synthesize,
    work,
)
from genbench.errors import GenbenchError, did_you_mean
from genbench.system import short_spinning

__all__ = ["main"]


class _Group(click.Group):
    """Commands in a fixed order, and 'did you mean' for the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people meet them."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; suggest the nearest one if there is none."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command {args[0]!r}: {did_you_mean(args[0], self.commands)}", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="genbench")
def cli() -> None:
    """Train, score and rank generative models under one budget.

    \b
    Start with
      genbench run --suite mnist --profile smoke     four models on real MNIST, minutes
      genbench run --suite mnist                     the real thing, half an hour on two cores
      genbench list                                  what there is to run

    A run writes one record per model and seed into ./results and a leaderboard to
    ./results/report/index.html. The same command again runs only what is missing.

    \b
    Exit codes: 0 all cells ok, 1 a bug of ours, 2 usage or configuration, 3 some cell failed,
    4 regression, 5 not comparable, 6 conformance or verification failed, 7 declined: no evidence
    of benefit, 8 cells pending elsewhere, 130 interrupted (run again to continue).
    """


for _command in (
    run.run,
    listing.list_,
    listing.show,
    check.check,
    new.new,
    score.score,
    results.report,
    results.compare,
    gating.gate,
    synthesize.synthesize,
    export.export,
    results.status,
    work.work,
    work.stop,
    archive.results_,
    suites.suite,
    data.data,
    doctor.doctor,
    selftest.selftest,
):
    cli.add_command(_command)


def main() -> None:
    """The console script: run a command and turn errors into one line and an exit code."""
    os.environ.update(short_spinning())  # before a command imports what reads it
    if not output.prepare():
        output.echo("error: stdout is closed: send it to a file or to /dev/null", err=True)
        sys.exit(1)
    sys.exit(output.finish(_code()))


def _code() -> int:
    """Run the command that was typed; its exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except GenbenchError as error:
        output.echo(f"error: {error.text}", err=True)
        for line in error.lines:
            output.echo(f"  {line}", err=True)
        return error.exit_code
    except click.exceptions.Abort:
        output.echo("stopped", err=True)
        return 130
    except click.ClickException as error:
        output.show_error(error)
        return 2
    except (BrokenPipeError, SystemExit):  # click makes the second of the first
        return 0 if output.reader_gone() else _bug()
    except OSError as error:
        if traceback.extract_tb(error.__traceback__)[-1].name != "echo":
            return _bug()
        output.echo(f"error: {output.refusal(error)}", err=True)  # click wrote its help itself
        return 1
    except Exception:
        return _bug()
    return code if isinstance(code, int) else 0


def _bug() -> int:
    """Show where we went wrong; the exit code for that."""
    for line in traceback.format_exc().splitlines():
        output.echo(line, err=True)
    output.echo("error: this is a bug in genbench; please report the lines above", err=True)
    return 1
