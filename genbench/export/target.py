"""Where an export goes, and in which format: settled before anything is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genbench.adapters import Format, format_of, require_onnxruntime
from genbench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """The file that is to be written, and its format."""

    file: Path
    format: Format


def target_of(file: Path, asked: str | None, overwrite: bool) -> Target:
    """The target of an export in the format that is `asked` for, or that the suffix says.

    Raises
    ------
    UsageError
        If the suffix fits no format or another one, or something is there that may not go.
    PluginError
        If the format needs a package that is not there.
    """
    found = format_of(file, asked)
    if os.path.isdir(file):
        raise UsageError(f"{file} is a folder: name a file in it")
    if os.path.lexists(file) and not overwrite:
        raise UsageError(f"{file} is there already: pass --overwrite, or name another file")
    if found == "onnx":  # with which the file is tried before anybody gets it
        require_onnxruntime()
    return Target(file, found)
