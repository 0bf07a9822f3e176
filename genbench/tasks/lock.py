"""The lock of a folder of suites: a hash may move only together with the version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genbench.errors import UsageError
from genbench.tasks.suite import load_suite, profiles_of

LOCK = "suites.lock.json"


def lock_of(path: Path) -> dict[str, Any]:
    """Version and hashes of every profile of the suite at `path`, as the lock file holds them."""
    profiles = {}
    for name in profiles_of(str(path)):
        suite = load_suite(str(path), name)
        profiles[name] = {"task": suite.task_hash, "suite": suite.suite_hash}
    return {"version": suite.version, "profiles": profiles}


def check_lock(folder: Path) -> list[str]:
    """Complaints about suites of `folder` that changed without a new version since the lock."""
    problems = []
    locked = read_lock(folder)
    for path in sorted(folder.glob("*.toml")):
        now = lock_of(path)
        then = locked.get(path.stem, {}).get(now["version"])
        if then is None:
            problems.append(f"{path.name}: version {now['version']} is not in {LOCK}")
        elif then != now["profiles"]:
            moved = sorted(p for p in now["profiles"] if now["profiles"][p] != then.get(p))
            problems.append(
                f"{path.name}: the hashes of {', '.join(moved) or 'a removed profile'} moved "
                f"but the version is still {now['version']}: raise the version, then lock"
            )
    return problems


def read_lock(folder: Path) -> dict[str, Any]:
    """The lock file of a folder of suites: name -> version -> profile -> hashes."""
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return body


def write_lock(folder: Path, *, replace: bool = False) -> list[str]:
    """Lock the version of every suite in `folder`; returns what is new or was replaced.

    Raises
    ------
    UsageError
        If a locked version's hashes moved and `replace` is false.
    """
    locked = read_lock(folder)
    written = []
    for path in sorted(folder.glob("*.toml")):
        now = lock_of(path)
        versions = locked.setdefault(path.stem, {})
        then = versions.get(now["version"])
        if then == now["profiles"]:
            continue
        if then is not None and not replace:
            raise UsageError(
                f"{path.name} {now['version']} is locked with other hashes: raise its version "
                "(or pass --replace if that version was never published)"
            )
        versions[now["version"]] = now["profiles"]
        written.append(f"{path.stem} {now['version']}")
    text = json.dumps(locked, indent=1, sort_keys=True) + "\n"
    (folder / LOCK).write_text(text, encoding="utf-8")
    return written
