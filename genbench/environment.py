"""Where a cell ran: versions, hardware, threads. Goes into every record."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("genbench", "torch", "numpy", "scipy", "scikit-learn", "torch-fidelity")
_SECRET = re.compile(r"(?i)(token|secret|password|passwd|api[-_]?key|credential)")


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def describe(device: str, threads: int) -> dict[str, Any]:
    """The environment of a cell that runs on `device` with `threads` threads."""
    body: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "packages": versions(),
        "device": device,
        "threads": threads,
        # Sums on a GPU may be taken in another order from run to run.
        "deterministic": device == "cpu",
    }
    if device.startswith("cuda"):
        import torch

        body["device_name"] = torch.cuda.get_device_name(device)
        body["cuda"] = torch.version.cuda
    return body


def processor() -> str:
    """The processor's model name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def source(argv: Sequence[str]) -> dict[str, Any]:
    """The command line, secrets removed, and the git commit of the working directory."""
    return {"argv": redact(argv), "git_commit": _git_commit()}


def redact(argv: Sequence[str]) -> list[str]:
    """`argv` with the values of anything that looks like a secret replaced by ``***``."""
    kept: list[str] = []
    hide_next = False
    for word in argv:
        name, eq, _ = word.partition("=")
        if hide_next:
            kept.append("***")
            hide_next = False
        elif _SECRET.search(name) and eq:
            kept.append(f"{name}=***")
        else:
            kept.append(word)
            hide_next = bool(_SECRET.search(word)) and word.startswith("-")
    return kept


def _git_commit() -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.strip() or None if done.returncode == 0 else None
