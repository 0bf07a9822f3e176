"""What of this machine a run may use: cores, memory, devices."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from genbench.errors import UsageError


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_memory_limit(jobs: int) -> int:
    """80 % of the machine's memory, divided among the workers."""
    return int(psutil.virtual_memory().total * 0.8 / jobs)


def resolve_devices(text: str, jobs: int) -> tuple[str, ...]:
    """The devices that `jobs` workers share: every GPU for ``auto`` and ``cuda``, or the one named.

    Raises
    ------
    UsageError
        If it is not there.
    """
    first = resolve_device(text)
    if jobs == 1 or first == "cpu" or ":" in text:
        return (first,)
    import torch

    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def resolve_device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:i`` as a device that is there. Imports torch if asked.

    Raises
    ------
    UsageError
        If it is not there.
    """
    if text == "cpu":
        return "cpu"
    if text != "auto" and text.partition(":")[0] != "cuda":
        raise UsageError(f"unknown device {text!r}: use auto, cpu, cuda or cuda:0")
    if text == "auto" and not _nvidia_driver_is_there():
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text == "auto":
        return "cuda:0" if count else "cpu"
    index = text.partition(":")[2] or "0"
    if not index.isdigit() or int(index) >= count:
        raise UsageError(f"device {text!r} is not there: this machine has {count} CUDA devices")
    return f"cuda:{index}"


def _nvidia_driver_is_there() -> bool:
    """Whether it is worth importing torch to ask for CUDA devices."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
