"""The files of the states that a fit keeps on its way, beside its checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"snapshot-([1-9][0-9]{0,14})\.safetensors")


def snapshot_name(examples: int) -> str:
    """The file of the state after so many examples."""
    return f"snapshot-{examples}.safetensors"


def snapshots_in(folder: Path) -> dict[int, Path]:
    """The snapshots that lie in a folder, by examples served; plain files only."""
    found = {}
    for path in folder.glob("snapshot-*"):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.is_file() and not path.is_symlink():
            found[int(match[1])] = path
    return dict(sorted(found.items()))
