"""Workers on this machine, forked from a server that has imported torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.running.cellspec import CellSpec, write_spec
from genbench.running.executors import Ended, RunSetting

# What every worker needs, imported once.
HEAVY = (
    "torch",
    "torch._dynamo",  # 2.6 s, and every optimiser imports it
    "scipy.stats",
    "sklearn.datasets",
    "genbench.downstream.tstr",
    "genbench.running.generation",
    "genbench.metrics.frechet",
    "genbench.running.pictures",
    "genbench.running.scoring",
    "genbench.running.worker",
)


class LocalExecutor:
    """Runs cells in processes of this machine.

    Parameters
    ----------
    run
        Its fork server forks them; whoever made that ends it, and every worker with it.
    """

    def __init__(self, run: RunSetting) -> None:
        self.jobs = run.jobs_here
        self.here = True
        self.stopping = False
        self._forks = run.forks
        self._forks.import_first(HEAVY)
        self._running: dict[str, CellSpec] = {}
        # Digests of the cache files that workers of this run wrote; no generator can reach them.
        self._trusted_digests: dict[str, str] = {}

    def submit(self, spec: CellSpec) -> None:
        """Start a worker for a cell."""
        args = {"spec": str(write_spec(spec)), "trusted_digests": self._trusted_digests}
        self._running[self._forks.fork("genbench.running.worker:forked", args)] = spec

    def poll(self, seconds: float) -> list[Ended]:
        """Wait at most `seconds` for workers to end."""
        ended = []
        for answer in self._forks.ended(seconds, self._running.__contains__):
            self._trusted_digests.update(_digests(answer))
            ended.append(Ended(self._running.pop(answer["id"]), int(answer["code"])))
        return ended

    def stop(self) -> None:
        """Ask every worker to finish writing and end."""
        self._forks.say("stop")

    def kill(self) -> None:
        """End every worker now."""
        self._forks.say("kill")

    def close(self) -> None:
        """End what still runs."""
        if self._running:
            self.kill()


def _digests(answer: Mapping[str, Any]) -> dict[str, str]:
    return answer.get("value") or {}
