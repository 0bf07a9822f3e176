"""The threads of numeric libraries: how many, and how soon those that wait go to sleep."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# Threads that wait for work, or for each other, keep a core that another process needs. libgomp
# counts turns of its loop (gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html), libomp
# milliseconds. On idle cores nothing is lost by it.
SHORT_SPINNING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
WAIT_POLICY = "OMP_WAIT_POLICY"

# pyarrow, which pandas imports where it is there, starts a thread for its allocator otherwise.
ALLOCATOR = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}

COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
          "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")  # fmt: skip


def short_spinning() -> dict[str, str]:
    """Environment variables by which waiting threads soon sleep; none that the user has decided.

    OpenMP's libraries read them when they are loaded.
    """
    if WAIT_POLICY in os.environ:
        return {}
    return {name: value for name, value in SHORT_SPINNING.items() if name not in os.environ}


def counted(threads: int) -> dict[str, str]:
    """Environment variables by which libraries that are loaded later take `threads` threads."""
    return dict.fromkeys(COUNTS, str(threads)) | ALLOCATOR


def limit_threads(threads: int) -> None:
    """Hold torch, OpenMP and BLAS to `threads` threads in this process."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold torch to one thread, so that no sum depends on the cores; as it was found afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit_interop_threads() -> None:
    """Hold torch to one thread between operations, if none has begun to work yet."""
    import torch

    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
