"""The end of what is worked on elsewhere, asked for from here."""

from __future__ import annotations

from pathlib import Path

from genbench.errors import UsageError
from genbench.running.executors import QueueExecutor, RunSetting, started
from genbench.running.queue.manifest import Manifest, manifests
from genbench.system import ForkServerClient


def stop_queue(root: Path) -> list[str]:
    """Stop all that works on a results directory by its queue; a line for each manifest.

    Workers finish writing and end, checkpoints stay, and a later run orders what is missing.

    Raises
    ------
    UsageError
        If there is no manifest.
    """
    found = manifests(root)
    if not found:
        raise UsageError(f"nothing is queued in {root}: a run of this machine is stopped by Ctrl-C")
    return [_stopped(root, manifest) for manifest in found]


def _stopped(root: Path, manifest: Manifest) -> str:
    manifest.stop()
    with ForkServerClient(()) as forks:
        setting = RunSetting(root.resolve(), "auto", 1, forks)
        with started(manifest.executor, setting) as executor:
            if isinstance(executor, QueueExecutor):
                executor.cancel(manifest)
    left = len(manifest.orders) - len(manifest.settled())
    return f"{manifest.id} ({manifest.executor}): {left} of {len(manifest.orders)} cells left"
