"""No workers at all: a manifest in the results folder, for whoever runs ``genbench work`` there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from genbench.running.executors import Lost, RunSetting
from genbench.running.executors.options import number_of
from genbench.running.queue.manifest import Manifest

LEASE_SECONDS = 60.0
LEASE = "seconds without a sign of life after which a worker is taken for dead (60)"


class FolderExecutor:
    """Leaves cells in the results folder, for `genbench work` on any machine that sees it."""

    options: ClassVar[Mapping[str, str]] = {"lease": LEASE}

    def __init__(self, run: RunSetting) -> None:
        self.detaches = True
        self.poll_seconds = 1.0
        self.away = ""
        self.lease = number_of(run.options, "lease", LEASE_SECONDS)

    def launch(self, manifest: Manifest, orders: Sequence[int]) -> None:
        """Nothing to do: the manifest is there."""

    def gone(self, manifest: Manifest) -> list[Lost]:
        """Never anything: somebody may come at any time."""
        return []

    def cancel(self, manifest: Manifest) -> None:
        """Nothing to do: workers see that the manifest is stopped."""

    def close(self) -> None:
        """Nothing to do."""
