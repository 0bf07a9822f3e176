"""The executor of a run and its options: as the command says, else the environment, else a file.

``genbench.toml`` is looked for in the working directory and the folders above it, then in the
user's configuration folder::

    [executor]
    name = "slurm"

    [executor.slurm]
    partition = "gpu"
    time = "02:00:00"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.errors import UsageError, shorten

FILE = "genbench.toml"
VARIABLE = "GENBENCH_EXECUTOR"
DEFAULT = "local"


@dataclass(frozen=True, slots=True)
class ExecutorChoice:
    """An executor by name, and the options that it is given."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def choose_executor(
    text: str | None, folder: Path | None = None, environ: Mapping[str, str] = os.environ
) -> ExecutorChoice:
    """The executor to use, from what was typed, the environment and the site's file.

    Options of the one that is used are put together; the more particular source wins.

    Parameters
    ----------
    text
        ``NAME`` or ``NAME:key=value,...``, or None.

    Raises
    ------
    UsageError
        If one of the three is of another form.
    """
    typed = None if text is None else parsed(text, "--executor")
    said = environ.get(VARIABLE)
    named = parsed(said, VARIABLE) if said else None
    table = _table(folder or Path.cwd(), environ)
    name = next((c.name for c in (typed, named) if c), None) or table.get("name", DEFAULT)
    options: dict[str, Any] = dict(table.get(name, {}))
    for choice in (named, typed):
        if choice is not None and choice.name == name:
            options.update(choice.options)
    return ExecutorChoice(name, options)


def parsed(text: str, where: str) -> ExecutorChoice:
    """Read ``NAME:key=value,...``; `UsageError` if it is not that."""
    name, _, rest = text.partition(":")
    options = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(
                f"{where} {shorten(text)!r}: {shorten(part)!r} is no key=value: write NAME:k=v,..."
            )
        options[key.strip()] = value
    return ExecutorChoice(name, options)


def _table(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The table ``[executor]`` of the nearest file; empty if there is none."""
    for path in _places(folder, environ):
        if path.is_file():
            return _read(path)
    return {}


def _places(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    here = folder.absolute()
    home = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [*(place / FILE for place in (here, *here.parents)), Path(home) / "genbench" / FILE]


def _read(path: Path) -> dict[str, Any]:
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no TOML file that can be read: {error}") from error
    table = body.pop("executor", {})
    if body:
        raise UsageError(f"{path} has {shorten(', '.join(body))}: it holds [executor] alone")
    if not isinstance(table, dict) or not isinstance(table.get("name", ""), str):
        raise UsageError(f'{path}: write [executor] with name = "slurm", and [executor.slurm]')
    for name, options in table.items():
        if name != "name" and not isinstance(options, dict):
            raise UsageError(f"{path}: executor.{shorten(name)} is no table: write [executor.NAME]")
    return table
