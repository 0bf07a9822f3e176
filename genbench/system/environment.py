"""The environment of a cell: versions, hardware, threads. Goes into every record."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from genbench.errors import visible
from genbench.system.card import name as card_name

PACKAGES = ("genbench", "torch", "numpy", "scipy", "scikit-learn", "torch-fidelity")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SECRET = re.compile(r"(?:token|secret|password|passwd|api[-_]?key|credential)", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s]+@")
_QUERY = re.compile(rf"([?&][^=&\s]*{_SECRET.pattern}[^=&\s]*=)[^&#\s]+", re.IGNORECASE)


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

        body["device_name"] = card_name(device)
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


def is_secret(name: str) -> bool:
    """Whether a value of this name looks like a secret."""
    return _SECRET.search(name) is not None


def without_login(text: str) -> str:
    """`text` without what addresses in it say of a user and a password or a token."""
    return _QUERY.sub(r"\1***", _LOGIN.sub("***@", text))


def redact(argv: Sequence[str]) -> list[str]:
    """`argv` with the values of anything that looks like a secret replaced by ``***``.

    What addresses say of a user and a password goes too.
    """
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
    kept = [without_login(word) for word in kept]
    return [visible(word) for word in kept]  # a path need not be UTF-8, a record must


def _git_commit() -> str | None:
    """The commit checked out here, from git's own files: no process that could hang is started."""
    try:
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / ".git").exists():
                return _head(folder / ".git")
    except (OSError, ValueError):  # no working directory any more, or no repository of git's
        pass
    return None


def _head(git: Path) -> str | None:
    """The commit of HEAD, through a worktree's pointer, a branch and packed branches."""
    if git.is_file():
        git = git.parent / git.read_text("utf-8").strip().removeprefix("gitdir: ")
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref: "):
        return head if _COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref: ")
    common = git / "commondir"
    shared = git / common.read_text("utf-8").strip() if common.is_file() else git
    for place in (git / name, shared / name):
        if place.is_file():
            found = place.read_text("utf-8").strip()
            return found if _COMMIT.fullmatch(found) else None
    packed = (shared / "packed-refs").read_text("utf-8").splitlines()
    known = {ref: commit for commit, _, ref in (line.partition(" ") for line in packed)}
    return known.get(name)
