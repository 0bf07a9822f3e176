"""Kill a run again and again at random moments, then let it finish and compare it with a whole one.

    python -m tests.killing --kills 50

Each time a run of two seeds of a slow generator is started, left alone for a random while, and one
of its processes, or all of them, get SIGKILL. Then the store must hold nothing broken, no process
may be left after two seconds, and the same command must go on. At the end the same command must
complete with the result digests of a run that nobody touched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from genbench.results import archive
from genbench.results.store import Store
from tests.conftest import PLUGINS, TINY, command, genbench

WORDS = (
    "run", "--suite", TINY, "--plugin", PLUGINS / "slow.py", "-g",
    "slow:pause=0.01,save_every=0.3", "--seeds", "0,1", "--no-controls", "--no-report",
)  # fmt: skip
VICTIMS = ("harness", "forkserver", "worker", "generator", "tree")
GONE_SECONDS = 2.0


@dataclass
class Seen:
    """What the killings saw."""

    kills: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    too_late: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)
    same: bool = False


def results_of(root: Path) -> dict[int, str]:
    """Result digest by seed, of the newest ok records.

    One whose course of training was being drawn when its process was killed is drawn again.
    """
    found = {}
    for folder in Store(root).task_folders():
        for stored in Store(root).records(folder):
            if stored.record.status == "ok" and stored.record.course["status"] == "ok":
                found[stored.record.seed] = stored.record.to_json()["result_digest"]
    return found


def kill_and_compare(place: Path, kills: int, seed: int) -> Seen:
    """Run whole, then run with `kills` kills spread over as long as that took, and complete.

    Whenever a run gets to its end between two kills, the next goes into a folder of its own.
    """
    rng = random.Random(seed)
    seen = Seen()
    start = time.monotonic()
    _complete(place, "whole", seen)
    whole, duration = results_of(place / "whole"), time.monotonic() - start
    folder, seen.same = 0, len(whole) == 2
    while sum(seen.kills.values()) < kills:
        cut = place / f"cut-{folder}"
        _kill_once(cut, rng.uniform(0, duration), rng.choice(VICTIMS), seen)
        if cut.is_dir():
            found = archive.verify(cut)
            seen.problems += [f"{p.path}: {p.reason}" for p in found.problems]
        if results_of(cut).keys() == whole.keys():
            _compare(cut, whole, seen)
            folder += 1
    _complete(place, f"cut-{folder}", seen)
    _compare(place / f"cut-{folder}", whole, seen)
    seen.resumed = sum(_resumed(place / f"cut-{n}") for n in range(folder + 1))
    return seen


def _compare(cut: Path, whole: dict[int, str], seen: Seen) -> None:
    found = results_of(cut)
    other = sorted(seed for seed in whole if found.get(seed) != whole[seed])
    seen.problems += [f"{cut.name}: seed {seed} is not as in a whole run" for seed in other]
    seen.same &= not other


def _complete(place: Path, name: str, seen: Seen) -> None:
    done = genbench(*WORDS, "--results", name, cwd=place)
    if done.code:
        seen.problems.append(f"the undisturbed run into {name} ended with {done.code}: {done.err}")


def _resumed(root: Path) -> int:
    """Attempts that continued a fit from a checkpoint."""
    records = [s.record for f in Store(root).task_folders() for s in Store(root).records(f)]
    return sum(record.attempt.get("resumed_at", 0) > 0 for record in records)


def _kill_once(cut: Path, wait: float, victim: str, seen: Seen) -> None:
    words = command([*WORDS, "--results", cut])
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    moment, phase = time.monotonic() + wait, "start"
    while process.poll() is None and time.monotonic() < moment:
        time.sleep(0.05)
        phase = _phase(cut) or phase
    family = _family(process)
    targets = _targets(family, victim)
    if process.poll() is not None or not targets:
        seen.too_late += 1
        _kill(process.pid)
        process.wait()
        return
    seen.kills[victim] += 1
    seen.phases[phase] += 1
    for target in targets:
        _kill(target.pid)
    process.wait(timeout=300)
    if victim not in ("harness", "tree") and process.returncode not in (0, 2, 3):
        seen.problems.append(f"killing the {victim} ended the harness with {process.returncode}")
    _, left = psutil.wait_procs(family, timeout=GONE_SECONDS)
    alive = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    if alive:
        seen.problems.append(f"{len(alive)} processes outlived the harness by 2 s ({victim})")


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _targets(family: list[psutil.Process], victim: str) -> list[psutil.Process]:
    """The fork server is the harness's child, the worker its, the generator's the worker's."""
    depth = {"forkserver": 0, "worker": 1, "generator": 2}
    if victim in depth:
        return family[depth[victim] : depth[victim] + 1]
    harness = [p for f in family[:1] if (p := f.parent()) is not None]
    return [*harness, *family] if victim == "tree" else harness


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _phase(root: Path) -> str | None:
    for path in sorted(root.glob("*/*/seed-*/*/progress.json"), reverse=True):
        try:
            return str(json.loads(path.read_text())["phase"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def main() -> None:
    """Print what was seen; exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = tempfile.mkdtemp()
    seen = kill_and_compare(Path(folder), given.kills, given.seed)
    if seen.same and not seen.problems:
        shutil.rmtree(folder)
    else:
        print(f"what was left is in {folder}")
    print(f"kills: {dict(seen.kills)}; ended before its kill: {seen.too_late}")
    print(f"phases: {dict(seen.phases)}; attempts that continued a fit: {seen.resumed}")
    print(f"problems: {seen.problems or 'none'}; same results as a whole run: {seen.same}")
    raise SystemExit(0 if seen.same and not seen.problems else 1)


if __name__ == "__main__":
    main()
