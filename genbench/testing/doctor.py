"""Is this machine fit to run genbench? One check per thing that can be wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from genbench import kinds
from genbench.data import verify_files
from genbench.errors import GenbenchError
from genbench.features import list_extractors, load_extractor
from genbench.generator import Space
from genbench.plugins import GeneratorRef, Prober, find, installed
from genbench.results import Store
from genbench.system import available_cores, environment, extensions
from genbench.tasks import load_suite, shipped

LEAST_DISK_BYTES = 1 << 30
CARD_SECONDS = 60.0
_PLUGIN = "fix or uninstall the plugin"
ANY_SIZE = (3, 32, 32)  # an image for the extractors that read every size


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and what to do if it is not right."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def diagnose(results: Path) -> list[Check]:
    """Everything that a run needs, checked.

    What asks for other processes is done beside the rest: importing torch and beginning CUDA take
    seconds each.
    """
    with Prober(("torch",)) as prober:
        prober.forks.start()
        rest = [_threads(), _memory(), _disk(results), _writable(results)]
        rest += [*_data(), *_extractors(), *_extensions()]
        cards = prober.forks.put("genbench.system.machine:cards", {}, sandbox=False)
        rest += _generators(prober)
        return [_python(), *_packages(), _device(prober, cards), *rest]


def _python() -> Check:
    ok = sys.version_info >= (3, 11) and os.name == "posix"
    found = f"{platform.python_version()} on {platform.system()}"
    return Check("python", ok, found, "use Python 3.11 or newer on Linux or macOS")


def _packages() -> Iterator[Check]:
    for name, version in environment.versions().items():
        yield Check(name, version != "absent", version, f"pip install {name}")


def _device(prober: Prober, cards: str) -> Check:
    cores = f"{available_cores()} cores"
    try:
        names = prober.forks.answer(cards, "device", CARD_SECONDS)
    except GenbenchError as error:
        return Check("device", False, str(error), "mend the driver, or run with --device cpu")
    found = ", ".join(names) or f"no GPU; {environment.processor()}"
    return Check("device", True, f"{found}{'; ' if names else ', '}{cores}")


def _threads() -> Check:
    import torch

    threads, cores = torch.get_num_threads(), available_cores()
    found = f"torch uses {threads} threads on {cores} cores"
    remedy = f"unset OMP_NUM_THREADS, or set it to {cores} or fewer"
    return Check("threads", threads <= cores, found, remedy)


def _memory() -> Check:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    return Check("memory", memory.available > 2 << 30, found, "free 2 GiB, or use fewer jobs")


def _disk(results: Path) -> Check:
    free = shutil.disk_usage(_nearest(results)).free
    found = f"{free / 2**30:.1f} GiB free"
    return Check("disk", free > LEAST_DISK_BYTES, found, "free 1 GiB of disk")


def _nearest(results: Path) -> Path:
    """The folder itself, or the nearest of those above it that is there."""
    path = results.absolute()
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def _writable(results: Path) -> Check:
    named = all(len(os.fsencode(part)) < 256 for part in results.parts)
    if named and not os.path.lexists(results):
        place = _nearest(results)
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Check("results", True, f"{results} can be made")
        found = f"{results} cannot be made in {place}"
        return Check("results", False, found, "choose another: --results")
    remedy = "choose a folder you may write with --results"
    return _tried("results", Store(results).prepare, f"{results} can be written", remedy)


def _tried(name: str, act: Callable[[], object], found: str, remedy: str) -> Check:
    """What was `found` if `act` works, or the reason that it does not."""
    try:
        act()
    except GenbenchError as error:
        return Check(name, False, str(error), remedy)
    return Check(name, True, found)


def _data() -> Iterator[Check]:
    for name in shipped():
        try:
            files = verify_files(load_suite(name).dataset)
        except GenbenchError as error:
            yield Check(f"suite {name}", False, str(error), "reinstall genbench")
            continue
        if any(f.absent for f in files):
            yield Check(f"suite {name}", True, f"not here: genbench data fetch {name}")
            continue
        bad = [f for f in files if not f.ok]
        found = "; ".join(f"{f.path}: {f.problem}" for f in bad) or "data as its checksums say"
        yield Check(f"suite {name}", not bad, found, "reinstall genbench")


def _extractors() -> Iterator[Check]:
    for name, info in list_extractors().items():
        if not info.file:
            continue
        space = Space(info.kind, info.shape or ANY_SIZE, info.levels or 256, info.classes)
        load = partial(load_extractor, name, space)
        found = f"weights {info.sha256[:12]}"
        yield _tried(f"extractor {name}", load, found, "reinstall genbench")


def _extensions() -> Iterator[Check]:
    """The extensions of other packages, imported here as a run imports them."""
    from genbench.metrics import find as find_metric
    from genbench.running import find as find_executor
    from genbench.tracking import find as find_tracker

    groups: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
        ("loader", extensions.LOADERS,
         lambda name: extensions.load(extensions.LOADERS, name, ("read", "verify"))),
        ("extractor", extensions.EXTRACTORS,
         lambda name: extensions.load(extensions.EXTRACTORS, name)),
        ("metric", extensions.METRICS, find_metric),
        ("kind", extensions.KINDS, kinds.of),
        ("executor", extensions.EXECUTORS, find_executor),
        ("tracker", extensions.TRACKERS, find_tracker),
    )  # fmt: skip
    for kind, group, load in groups:
        for name, entries in sorted(extensions.announced(group).items()):
            found = f"of {extensions.owner(entries[0])}"
            yield _tried(f"{kind} {name}", partial(load, name), found, _PLUGIN)


def _generators(prober: Prober) -> Iterator[Check]:
    refs: dict[str, GeneratorRef | GenbenchError] = {}
    for name in installed():
        try:
            refs[name] = find(name)
        except GenbenchError as error:
            refs[name] = error
    told = prober.describe_all([ref for ref in refs.values() if isinstance(ref, GeneratorRef)])
    for name, ref in refs.items():
        found = next(told) if isinstance(ref, GeneratorRef) else ref
        if isinstance(found, GenbenchError):
            yield Check(f"generator {name}", False, str(found), _PLUGIN)
        else:
            yield Check(f"generator {name}", True, f"version {found.version}")
