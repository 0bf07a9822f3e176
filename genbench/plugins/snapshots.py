"""The states of a fit that are kept on its way: when one is due, where it goes, what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genbench.errors import StoreError, shorten
from genbench.results import snapshot_name
from genbench.system import tensorfile


class Snapshots:
    """The snapshots of one fit.

    One that cannot be made or written costs its point of the curve, never the fit.

    Parameters
    ----------
    folder
        Where they are written.
    due
        Examples served at which a state is kept, ascending, all before the end.
    there
        Those that an earlier attempt at the same fit has kept.
    began, saved, lost
        Called before the state is asked for, and with the examples served after it was written, or
        was not, and why.
    """

    def __init__(
        self,
        folder: Path,
        due: Sequence[int],
        *,
        there: Collection[int] = (),
        began: Callable[[], None] = lambda: None,
        saved: Callable[[int], None] = lambda examples: None,
        lost: Callable[[int, str], None] = lambda examples, reason: None,
    ) -> None:
        self._folder = folder
        self._all = tuple(due)
        self._there = tuple(there)
        self._began, self._saved, self._lost = began, saved, lost
        self._warned = False
        self.offered = False
        self.seconds = 0.0
        self.begin(0)

    def begin(self, served: int) -> None:
        """The fit begins with so many examples served: what was kept by then is not kept again."""
        kept = max((n for n in self._there if n <= served), default=0)
        self._due = [n for n in self._all if n > kept]

    def offer(self, served: int, budget: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep the state if one is due; where a step passes several, once."""
        self.offered = True
        if not self._due or served < self._due[0]:
            return
        self._due = [n for n in self._due if n > served]
        if served < budget:  # the state at the end is stored by itself
            self._keep(served, state)

    def _keep(self, served: int, state: Callable[[], Mapping[str, Any]]) -> None:
        start = time.monotonic()
        self._began()
        try:
            with torch.random.fork_rng(devices=[]):  # whatever `state` draws, the fit goes on alike
                body = state()
            tensorfile.save(self._folder / snapshot_name(served), body)
        except Exception as error:  # a full disk, or the author's mistake: it costs this point
            self._lost(served, self._reason(error))
        else:
            self._saved(served)
        self.seconds += time.monotonic() - start

    def _reason(self, error: Exception) -> str:
        """The reason that there is none, said aloud the first time."""
        cause = error.__cause__ if isinstance(error, StoreError) else None
        text = f"{type(error).__name__}: {error}"
        if isinstance(cause, OSError):
            text = f"it could not be written: {cause.strerror or cause}"
        reason = shorten(text, 300)
        if not self._warned:
            print(f"genbench: no snapshot of the fit: {reason}", file=sys.stderr, flush=True)
        self._warned = True
        return reason
