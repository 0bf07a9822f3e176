"""Small BLAS calls side by side: one BLAS thread each, as many Python threads as BLAS had."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from genbench.metrics.arrays import Array, on_host

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Job], Result], jobs: Iterable[Job], on: Array = None
) -> list[Result]:
    """``[function(job) for job in jobs]`` on as many threads as BLAS may use.

    BLAS itself is held to one thread meanwhile: that is faster for many small matrices, and it
    makes each job's result independent of the number of threads. Nested calls run in turn, and so
    do jobs on the device of the tensor `on`, which is busy with one.
    """
    if not on_host(on):
        return [function(job) for job in jobs]
    controller = _blas()
    workers = max((info["num_threads"] for info in controller.info()), default=1)
    with controller.limit(limits=1):
        if workers == 1:
            return [function(job) for job in jobs]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(function, jobs))


@cache
def _blas() -> ThreadpoolController:
    """Finding the loaded libraries takes longer than a small job."""
    return ThreadpoolController().select(user_api="blas")
