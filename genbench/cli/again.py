"""The command line that was typed, as one that can be pasted: with other options, or without."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from genbench.system import environment


def command(without: Sequence[str] = (), **changes: Any) -> str:
    """The running command as a shell takes it, with `changes` of options by name.

    Options named in `without` are left out, and those whose value is None.
    """
    context = click.get_current_context()
    values = {name: v for name, v in _given(context).items() if name not in without}
    return _line(context, _path(context), {**values, **changes})


def other(verb: str, *, keep: Sequence[str]) -> str:
    """Another command of ours with those options of the running one that `keep` names."""
    context = click.get_current_context()
    return _line(context, [verb], {k: v for k, v in _given(context).items() if k in keep})


def _given(context: click.Context) -> dict[str, Any]:
    default = ParameterSource.DEFAULT
    return {k: v for k, v in context.params.items() if context.get_parameter_source(k) != default}


def _line(context: click.Context, verb: Sequence[str], values: Mapping[str, Any]) -> str:
    words = ["genbench", *verb]
    for parameter in context.command.params:
        if parameter.name in values:
            words += _words(parameter, values[parameter.name])
    return shlex.join(map(environment.without_login, words))


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
