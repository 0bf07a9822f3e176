"""Trust in files of the results directory's cache, by digest.

A confined generator cannot write there, so all files are trusted. Where generators run unconfined,
any of them may have written anything, and a file is trusted only if its digest is one that a worker
of this run gave to the process that started it; features and classifiers of earlier runs are
computed anew.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from genbench.errors import StoreError
from genbench.system.files import read_json, sha256_file, write_json

MARK = "confined"  # stands in a cache that none but confined generators could reach
COMPUTED = ("features", "downstream", "utility", "probes")
_REFIT_RESULTS = "refits/*/result.json"


@dataclass
class TrustedFiles:
    """The cache files that one worker trusts: `everything`, or those of these digests by path.

    `wrote` holds the digests of the files that this worker has written.
    """

    everything: bool = True
    digests: dict[str, str] = field(default_factory=dict)
    wrote: dict[str, str] = field(default_factory=dict)

    def has(self, path: Path) -> bool:
        """Whether there is such a file and it is trusted."""
        if self.everything:
            return path.is_file()
        with contextlib.suppress(StoreError):
            known = self.digests.get(str(path))
            return known is not None and path.is_file() and sha256_file(path) == known
        return False

    def add(self, path: Path) -> None:
        """Trust a file that was written just now."""
        if not self.everything:
            self.digests[str(path)] = self.wrote[str(path)] = sha256_file(path)


trusted_files = TrustedFiles()


def begin(cache: Path, confined: bool, digests: dict[str, str]) -> None:
    """Set which files of `cache` this process trusts from now on; `digests` are of those that other
    workers of this run have written.

    If its generators are `confined`, what others could reach is dropped, and refits that they could
    reach are no longer called confined. A cache without `MARK` is one of those: of a run that was
    killed, or of a version that confined nothing.
    """
    trusted_files.everything = confined
    trusted_files.digests = dict(digests)
    trusted_files.wrote = {}
    if not confined:
        end(cache)
    elif not (cache / MARK).is_file():
        for name in COMPUTED:
            shutil.rmtree(cache / name, ignore_errors=True)
        for path in cache.glob(_REFIT_RESULTS):
            with contextlib.suppress(StoreError, TypeError):
                write_json(path, {**read_json(path), "sandbox": "none"})
        with contextlib.suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            (cache / MARK).touch()


def end(cache: Path) -> None:
    """Once no generator of this worker runs: a cache that one of them could reach has no mark."""
    if not trusted_files.everything:
        with contextlib.suppress(OSError):
            (cache / MARK).unlink(missing_ok=True)
