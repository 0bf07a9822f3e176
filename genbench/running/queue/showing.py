"""The state of a queue in lines of text, from its files alone."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

from genbench.errors import GenbenchError, StoreError
from genbench.running.queue.heartbeats import WORKERS
from genbench.running.queue.manifest import QUEUE, manifests
from genbench.system import read_json


def queue_overview(root: Path) -> list[str]:
    """A line for each manifest that waits to be collected, and one for those of other builds."""
    refused: list[GenbenchError] = []
    found = manifests(root, refused)
    at_work = _at_work(root) if found else Counter()
    lines = []
    for manifest in found:
        settled, of = len(manifest.settled()), len(manifest.orders)
        state = "waits to be collected" if settled == of else f"{at_work[manifest.id]} under way"
        lines.append(
            f"queue {manifest.id} ({manifest.executor}) of {manifest.suite.folder_name}: "
            f"{settled} of {of} cells ended, {state}"
        )
    return lines + [str(error) for error in refused]


def _at_work(root: Path) -> Counter[str]:
    """Attempts under way by manifest, as workers last said."""
    found: Counter[str] = Counter()
    for path in (root / QUEUE / WORKERS).glob("*.json"):
        with suppress(StoreError, TypeError, KeyError, ValueError):
            found.update(str(manifest) for manifest, _, _ in read_json(path)["cells"])
    return found
