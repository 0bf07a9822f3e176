"""Confinement of a process that imports a plugin: where it may write, and what it may not read.

Done by Landlock (Linux 5.13 and later), which holds for the thread that asks, for every thread and
process that it starts from then on, and cannot be undone. Elsewhere nothing is confined.
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import shutil
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError
from genbench.system.files import data_home

PACKAGE = Path(__file__).parent.parent

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures but one
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38

_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_REFER = 1 << 13  # ABI 2: link and rename from one folder into another
_TRUNCATE = 1 << 14  # ABI 3
_IOCTL_DEV = 1 << 15  # ABI 5
# Removing and making of every kind: folders, files, devices, sockets, pipes, symbolic links.
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
_OF_FILES = _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPES = 0b11  # ABI 6: abstract sockets and signals of processes outside

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "nvidia*", "dri/*", "kfd")

# Caches of other libraries, which genbench does not read: variable, usual place.
CACHES = (
    ("HF_HOME", "{cache}/huggingface"),
    ("HF_HUB_CACHE", "{cache}/huggingface/hub"),
    ("TORCH_HOME", "{cache}/torch"),
    ("TORCHINDUCTOR_CACHE_DIR", None),
    ("TRITON_CACHE_DIR", "~/.triton/cache"),
    ("CUDA_CACHE_PATH", "~/.nv/ComputeCache"),
    ("MPLCONFIGDIR", "~/.config/matplotlib"),
    ("NUMBA_CACHE_DIR", None),
)

REMEDY = (
    "a generator may write in its temporary folder (tempfile.gettempdir()) alone, and read neither "
    "results nor data sets: write there, keep its files elsewhere, or pass --no-sandbox"
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folders that a confined process may write in with all that is below them, its `scratch`,
    named by TMPDIR, among them; and those that it may not read.

    Nothing that holds a `protected` folder, or lies in one, is opened besides: results, data. The
    content of the `hidden` files and folders, asked for when it is confined, may not be read;
    `readable` folders may all the same, but for what is hidden in them.
    """

    scratch: Path
    folders: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = field(default=())
    hidden: Callable[[], Iterable[Path]] = tuple
    readable: tuple[Path, ...] = ()

    def enter(self) -> None:
        """Confine this thread and all that it starts, for good; the caller starts no plugin before.

        `GenbenchError` if the system has Landlock and refuses.
        """
        os.environ["TMPDIR"] = str(self.scratch)
        tempfile.tempdir = None
        open_caches = self._caches()
        if not level():
            return
        allowed = [self.scratch, *self.folders, *open_caches, *self._shared_memory()]
        readable = _all_but(list(self.hidden()), [*self.readable, *_imported_from()])
        _restrict(allowed, _devices(), readable)

    def _caches(self) -> list[Path]:
        """Caches that are there; of one that is not, its variable names a temporary one."""
        usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        found = []
        for name, place in CACHES:
            named = os.environ.get(name) or (place and place.format(cache=usual))
            path = Path(named).expanduser() if named else None
            if path is None or not path.is_dir():
                if name != "HF_HUB_CACHE":  # lies in HF_HOME
                    os.environ[name] = str(self.scratch / name.lower())
            elif self._is_free(path):
                found.append(path)
        return found

    def _shared_memory(self) -> list[Path]:
        path = Path("/dev/shm")
        return [path] if path.is_dir() and self._is_free(path) else []

    def _is_free(self, path: Path) -> bool:
        """Whether opening `path` opens nothing that is protected."""
        path = path.resolve()
        kept = [p.resolve() for p in self.protected]
        return not any(p.is_relative_to(path) or path.is_relative_to(p) for p in kept)


def sandbox(
    enabled: bool,
    scratch: Path,
    *folders: Path,
    results: Path | None = None,
    hidden: Callable[[], Iterable[Path]] = tuple,
    readable: Sequence[Path] = (),
) -> Sandbox | None:
    """The sandbox of a process that may write in these folders; None unless `enabled`.

    Of `results`, the directory that it works for, it gets `folders` at most. For `hidden` and
    `readable` see `Sandbox`; the data that ship and the user's data sets are hidden besides.
    """
    if not enabled:
        return None
    ours = [data_home(), PACKAGE, *([results] if results else [])]
    data = (data_home(), Path(str(resources.files("genbench.suites"))) / "data")
    return Sandbox(scratch, folders, tuple(ours), lambda: (*hidden(), *data), tuple(readable))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for one confined process, gone afterwards whatever was put into it."""
    path = Path(tempfile.mkdtemp(prefix="genbench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@cache
def level() -> int:
    """Landlock's version here, 0 where there is none."""
    if sys.platform != "linux" or platform.machine() == "alpha":
        return 0
    if os.environ.get("GENBENCH_LANDLOCK") == "0":
        return 0
    return max(0, _call(_CREATE_RULESET, None, 0, _VERSION))


def name(sandbox: bool) -> str:
    """The confinement as a record names it: ``landlock-7``, ``landlock-2, partial`` or ``none``.

    Versions 1 and 2 do not keep a process from truncating files.
    """
    found = level() if sandbox else 0
    if not found:
        return "none"
    return f"landlock-{found}" + (", partial" if found < 3 else "")


def error_text(error: BaseException, *, confined: bool) -> str:
    """An error in words; with what to do where it may come of the confinement."""
    cause = error if isinstance(error, OSError) else error.__cause__
    refused = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EXDEV)
    # The text of a KeyError is the key alone, that of a bare assert or raise nothing.
    bare = isinstance(error, KeyError) or not str(error)
    text = traceback.format_exception_only(error)[-1].strip() if bare else str(error)
    return f"{text}: {REMEDY}" if confined and refused else text


def _imported_from() -> list[Path]:
    """Where Python imports from: to be read even where a folder above cannot be listed."""
    places = (*sys.path, sys.prefix, sys.base_prefix, str(PACKAGE))
    return [Path(entry) for entry in places if entry]


def _all_but(hidden: Sequence[Path], needed: Sequence[Path]) -> list[Path]:
    """Files and folders that hold everything there is now but `hidden`: a rule can only allow.

    What is `needed` is among them also where it lies in something hidden.
    """
    ends = {path.resolve() for path in hidden if path.exists()}
    if not ends:
        return []
    tops = {path.resolve() for path in needed if path.exists()} - ends
    outer = {path for path in ends if not ends & set(path.parents)}
    found = _beside(Path("/"), outer)
    for top in tops:
        found += _beside(top, {path for path in ends if top in path.parents})
    return found


def _beside(top: Path, ends: Set[Path]) -> list[Path]:
    """Everything in `top` but `ends`. Links need no rule: what counts is where they lead."""
    if not ends:
        return [top]
    ways = {parent for path in ends for parent in path.parents if parent.is_relative_to(top)}
    found = []
    for folder in sorted(path for path in ways if not ends & {path, *path.parents}):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found += [Path(e.path) for e in entries]
    return [p for p in found if p not in ends and p not in ways and not os.path.islink(p)]


def _restrict(folders: Sequence[Path], devices: Sequence[Path], readable: Sequence[Path]) -> None:
    handled, scoped = _handled(level())
    handled |= _READ_FILE if readable else 0
    attributes = struct.pack("QQQ", handled, 0, scoped)
    size = 8 if level() < 4 else 16 if level() < 6 else 24
    ruleset = _checked(_CREATE_RULESET, attributes, size, 0)
    try:
        for path in folders:
            _allow(ruleset, path, handled)
        for path in devices:
            _allow(ruleset, path, handled & _OF_FILES)
        for path in readable:  # one that cannot be opened could not be read either
            with contextlib.suppress(OSError, GenbenchError):
                _allow(ruleset, path, _READ_FILE)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise GenbenchError("the process cannot be confined (prctl): pass --no-sandbox")
        _checked(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(abi: int) -> tuple[int, int]:
    """The rights denied unless a rule allows them, and the reach to other processes that is cut."""
    handled = _WRITE_FILE | _CHANGE_FOLDER
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if abi >= since else 0
    return handled, _SCOPES if abi >= 6 else 0


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            _checked(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        finally:
            os.close(place)


def _devices() -> list[Path]:
    return [path for pattern in DEVICES for path in Path("/dev").glob(pattern) if not path.is_dir()]


def _call(number: int, *arguments: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *given))


def _checked(number: int, *arguments: Any) -> int:
    result = _call(number, *arguments)
    if result < 0:
        reason = f"Landlock, system call {number}: {os.strerror(ctypes.get_errno())}"
        raise GenbenchError(f"the process cannot be confined ({reason}): pass --no-sandbox")
    return result
