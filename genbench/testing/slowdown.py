"""The slowdown of this machine against an idle one: limits are stretched by it."""

from __future__ import annotations

import time

SPIN_SECONDS = 0.02


def slowdown() -> float:
    """Wall time over CPU time of a short spin: 1 where nobody else computes, never below 1.

    A machine that is busy with other things must not make a generator fail.
    """
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.thread_time() - cpu < SPIN_SECONDS:
        pass
    return max(1.0, (time.perf_counter() - wall) / SPIN_SECONDS)
