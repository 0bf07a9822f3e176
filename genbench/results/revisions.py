"""A results folder as it was at a git revision: its records alone, read without a checkout."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path, PurePosixPath

from genbench.errors import UsageError, shorten
from genbench.results.store import RECORD, SUITE
from genbench.system import MAX_JSON_BYTES, write_bytes

GIT_SECONDS = 30.0
FILE_MODES = (b"100644", b"100755")  # links and submodules are not followed


def extract(folder: Path, revision: str, into: Path) -> None:
    """Write the ``record.json`` and ``suite.json`` files that `folder` held at `revision`.

    The folder is one within a git work tree, the revision a commit, tag or branch, `into` an empty
    folder. `UsageError` if git is not there, or knows no such folder or revision.
    """
    if shutil.which("git") is None:
        raise UsageError("--at needs git, which is not installed here")
    commit = _git(
        folder, revision, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"
    )
    listed = _git(folder, revision, "ls-tree", "-r", "-l", "-z", commit.decode().strip(), ".")
    found = False
    for line in filter(None, listed.split(b"\0")):
        about, _, name = line.partition(b"\t")
        path = PurePosixPath(name.decode("utf-8", "replace"))
        if path.name not in (RECORD, SUITE) or ".." in path.parts or path.is_absolute():
            continue
        mode, kind, sha, size = about.split()
        if mode in FILE_MODES and kind == b"blob" and int(size) <= MAX_JSON_BYTES:
            write_bytes(
                into / path, _git(folder, revision, "cat-file", "blob", sha.decode()), sync=False
            )
            found = True
    if not found:
        raise UsageError(f"{folder} held no results at {shorten(revision)}: give another revision")


def _git(folder: Path, revision: str, *words: str) -> bytes:
    with subprocess.Popen(
        ["git", "-C", str(folder), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as git:  # fmt: skip
        try:
            out, err = git.communicate(timeout=GIT_SECONDS)
        except BaseException as error:
            os.killpg(git.pid, signal.SIGKILL)  # with what it started, which holds the pipes
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise UsageError(
                f"git gave no answer about {folder} in {GIT_SECONDS:.0f} s: run "
                f"git -C {folder} {words[0]} by hand to see why, or leave --at out"
            ) from error
    if git.returncode:
        reason = err.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"git cannot read {folder} at {shorten(revision)}: "
            f"{reason[-1] if reason else git.returncode}: "
            "give --at a revision of the repository that holds the folder"
        )
    return out
