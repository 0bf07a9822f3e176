"""Extensions by entry points: loaders, extractors, metrics, kinds, executors, trackers.

Names are read from package metadata; code is imported when its name is asked for, and only then.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from genbench.errors import PluginError

LOADERS = "genbench.loaders"
EXTRACTORS = "genbench.extractors"
METRICS = "genbench.metrics"
KINDS = "genbench.kinds"
EXECUTORS = "genbench.executors"
TRACKERS = "genbench.trackers"


def announced(group: str) -> dict[str, list[metadata.EntryPoint]]:
    """Every entry point of a group by name; all owners of a name are kept."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return found


def load(group: str, name: str, needs: tuple[str, ...] = ()) -> Any:
    """Import what a package announces under this name. Executes the package's code.

    `PluginError` if two packages claim the name, it does not import, or lacks something it `needs`.
    """
    entries = announced(group)[name]
    owners = " and ".join(sorted(owner(entry) for entry in entries))
    if len(entries) > 1:
        raise PluginError(f"{group} {name!r} is announced by {owners}: uninstall one")
    try:
        found = entries[0].load()
    except (Exception, SystemExit) as error:  # a module that exits ends no run
        raise PluginError(
            f"{group} {name!r} of {owners} does not import: {type(error).__name__}: {error}"
        ) from error
    missing = [attr for attr in needs if not hasattr(found, attr)]
    if missing:
        raise PluginError(f"{group} {name!r} of {owners} lacks {', '.join(missing)}: add it")
    return found


def owner(entry: metadata.EntryPoint) -> str:
    """Package and version that announce it."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
