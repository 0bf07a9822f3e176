"""Downloading the files of data sets that do not ship with the package. Never done by a run."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.data.files import MOST_BYTES, check_file, locate
from genbench.data.loading import kept_content, located, verify_files
from genbench.errors import DataError
from genbench.system import data_home, write_bytes

CHUNK = 1 << 18
TIMEOUT_SECONDS = 30.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """One declared file: where it lies now, and where it came from (empty if it was there)."""

    path: Path
    source: str


def fetch(
    dataset: Mapping[str, Any],
    *,
    mirror: str | None = None,
    progress: Progress = lambda url, done, total: None,
) -> list[Fetched]:
    """Get every declared file that is not there yet into ``data_home() / name``, hash-checked.

    Nothing is got where the loader finds all its rows, in whatever form.

    `dataset` is a suite's ``[dataset]`` table with its ``root``; `mirror` a base address, tried
    before the suite's own: ``MIRROR/FILE`` and ``MIRROR/FILE.gz``. `progress` is told the address,
    bytes done and bytes in all (0 where unknown). `DataError` if no source gives a file with the
    declared content, with what each source gave.
    """
    if all(check.ok for check in verify_files(dataset)):
        there = dict.fromkeys(path for path in located(dataset) if path is not None)
        return [Fetched(path, "") for path in there]
    found = []
    for entry in dataset.get("files", []):
        if check_file(dataset, entry).ok:
            found.append(Fetched(locate(dataset, entry), ""))
            continue
        name = Path(entry["path"]).name.removesuffix(".gz")
        own = [f"{mirror.rstrip('/')}/{file}" for file in (name, f"{name}.gz")] if mirror else []
        path = data_home() / str(dataset["name"]) / name
        urls = [*own, *entry.get("urls", [])]
        content, source = _first(dataset, urls, entry, progress)
        write_bytes(path, content)
        found.append(Fetched(path, source))
    return found


def fetch_file(url: str, path: Path, prefix: str, progress: Progress) -> Fetched:
    """Get one file whose sha256 begins with `prefix`, unless it lies there already.

    `DataError` if it cannot be had, or is another file.
    """
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest().startswith(prefix):
        return Fetched(path, "")
    try:
        data = _download(url, progress)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot get {url} ({reason}): put the file at {path}") from error
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(prefix):
        raise DataError(f"{url} has sha256 {found}, expected {prefix}...: put the file at {path}")
    write_bytes(path, data)
    return Fetched(path, url)


def _first(
    dataset: Mapping[str, Any], urls: list[str], entry: Mapping[str, Any], progress: Progress
) -> tuple[bytes, str]:
    """The declared content from the first address that has it."""
    failures = []
    for url in urls:
        try:
            content = kept_content(dataset, entry, _download(url, progress))
        except (OSError, ValueError, DataError) as error:  # URLError is an OSError
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
            continue
        if content is not None:
            return content, url
        failures.append(f"{url}: not the declared content")
    reason = "; ".join(failures) or "the suite names no address"
    raise DataError(
        f"cannot get {entry['path']} ({reason}): give --mirror URL, or put the file there"
    )


def _download(url: str, progress: Progress) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "genbench"})
    parts = []
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while part := answer.read(CHUNK):
            parts.append(part)
            done += len(part)
            if done > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
            progress(url, done, total)
    return b"".join(parts)
