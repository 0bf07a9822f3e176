"""The command line that was typed, as one that can be pasted: with other options, or without."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource


def command(without: Sequence[str] = (), **changes: Any) -> str:
    """The running command as a shell takes it.

    Parameters
    ----------
    without
        Names of options to leave out.
    changes
        Values for options by name; None leaves one out.
    """
    context = click.get_current_context()
    values = {**context.params, **changes}
    words = ["genbench", *_path(context)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if name not in without and (given or name in changes):
            words += _words(parameter, values[name])
    return shlex.join(words)


def other(verb: str, *, keep: Sequence[str]) -> str:
    """Another command of ours with those options of the running one that `keep` names."""
    context = click.get_current_context()
    words = ["genbench", verb]
    for parameter in context.command.params:
        name = str(parameter.name)
        if name in keep and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            words += _words(parameter, context.params[name])
    return shlex.join(words)


def _path(context: click.Context | None) -> list[str]:
    """The names of the command and of the groups that it is in, without the program's."""
    names = []
    while context is not None and context.parent is not None:
        names.append(str(context.info_name))
        context = context.parent
    return names[::-1]


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    values = [str(v) for v in value] if isinstance(value, tuple | list) else [str(value)]
    if isinstance(parameter, click.Argument):
        return values
    option = next((o for o in parameter.opts if not o.startswith("--")), parameter.opts[0])
    return [option] if value is True else [word for v in values for word in (option, v)]
