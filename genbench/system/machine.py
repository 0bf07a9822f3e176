"""The part of this machine that a run may use: cores, memory, devices."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

import psutil

from genbench.errors import DeviceError, UsageError, shorten

Jobs = int | Literal["auto"]

CELL_BYTES = 2 << 30  # what a cell is taken to need while none was measured
LOOK_SECONDS = 0.1  # in which the machine's load is measured, LOOKS times
LOOKS = 3


def available_cores() -> int:
    """Cores that this process may use: its affinity, and its control group's share of time."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _group_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def free_cores() -> int:
    """Cores that this process may use and others leave idle, at least 1."""
    cores = available_cores()
    # The least of some looks: what starts or ends in one of them is over soon.
    busy = min(_busy_cores() for _ in range(LOOKS))
    return max(1, min(cores, round(cores - busy)))


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    available = int(psutil.virtual_memory().available)
    limit, used = _group_number("memory.max"), _group_number("memory.current")
    return available if limit is None or used is None else max(0, min(available, limit - used))


def total_memory() -> int:
    """Bytes of this machine, or of this process's control group where that has less."""
    total = int(psutil.virtual_memory().total)
    limit = _group_number("memory.max")
    return total if limit is None else min(total, limit)


def default_memory_limit(jobs: int) -> int:
    """80 % of the machine's memory, divided among the workers."""
    return int(total_memory() * 0.8 / jobs)


def auto_jobs(devices: tuple[str, ...], threads: int, cell_bytes: int) -> int:
    """The default number of cells and refits that run at a time.

    One a card on a GPU; else as many as cores are free, for `threads` each, and as have room in
    the memory that is available, where a cell is expected to need `cell_bytes`.
    """
    if devices[0] != "cpu":
        return len(devices)
    room = int(available_memory() * 0.8 / cell_bytes)
    return max(1, min(free_cores() // threads, room))


def resolve_devices(text: str, jobs: Jobs) -> tuple[str, ...]:
    """The devices that `jobs` workers share: every GPU for ``auto`` and ``cuda``, or the one named.

    Raises
    ------
    UsageError
        As `resolve_device`.
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
        For another word.
    DeviceError
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
        raise DeviceError(f"device {text!r} is not there: {no_card(count)}, or use --device cpu")
    return f"cuda:{index}"


def no_card(count: int) -> str:
    """The reason that another card than these `count` cannot be used, and what to do."""
    import torch

    if count:
        return f"this machine has {count} of them: use cuda:{count - 1} or less"
    if torch.version.cuda is None:
        return "this torch was built without CUDA: install one that was (pytorch.org)"
    if not _nvidia_driver_is_there():
        return "no NVIDIA driver is loaded here: install one"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # of the driver: too old, not permitted, in a bad state
        return f"{shorten(str(error), 200)}: see that nvidia-smi works"
    return "CUDA shows no card: see CUDA_VISIBLE_DEVICES"


def cards(args: object = None) -> list[str]:
    """The names of the cards that CUDA shows here. Begins CUDA in this process, if there is any.

    Raises
    ------
    DeviceError
        If there is a driver, and a torch that could use it, and no card can be used.
    """
    if not _nvidia_driver_is_there():
        return []
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.version.cuda is None:
        return []
    raise DeviceError(no_card(0))


def _busy_cores() -> float:
    """The number of cores, of those that this process may use, that are busy now."""
    shares = psutil.cpu_percent(LOOK_SECONDS, percpu=True)
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(shares))
    return float(sum(share for core, share in enumerate(shares) if core in mine)) / 100


def _group_quota() -> float | None:
    """Cores' worth of time that this process's control group may use, if that is limited."""
    words = _group_text("cpu.max").split()
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def _group_number(name: str) -> int | None:
    text = _group_text(name).strip()
    return int(text) if text.isdigit() else None


def _group_text(name: str) -> str:
    """A file of this process's control group (version 2), empty where there is none."""
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                folder = Path("/sys/fs/cgroup") / line[3:].lstrip("/")
                return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        pass
    return ""


def _nvidia_driver_is_there() -> bool:
    """Whether it is worth importing torch to ask for CUDA devices."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
