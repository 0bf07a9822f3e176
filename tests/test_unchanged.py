"""Stored keys, digests and pages stay what they were: results made before the rooms are still ours.

The values in `unchanged.json` were taken by the functions below, with the module names of then,
from a normal install of commit 1e1cff3: the code before it was put into rooms. Whoever means to
change one, such as a baseline's version, changes that line there and says why in its commit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from genbench.plugins.finding import Description, GeneratorRef, describe
from genbench.plugins.selection import choose
from genbench.report.writing import build_report
from genbench.results.publish import gather
from genbench.results.records import Record, digest
from genbench.results.store import RECORD
from genbench.running.cells import cell_folder, cell_key, scoring_keys
from genbench.tasks.suite import load_suite, profiles_of, shipped

HERE = Path(__file__).parent
CI = HERE.parent / "reports" / "ci"
BEFORE = HERE / "unchanged.json"

ASKED = {
    "mnist": ("gan", "gan:lr=0.001,latent=16", "vae", "vae:lr=0.002,width=8", "flow",
              "flow:warm_up=0.1,dim=32", "dna", "dna:learning_rate=0.001,average=0.99"),
    "digits": ("gan:lr_d=0.002,ema=0.99", "vae:ema=0.9,batch_size=32", "flow:units=8,lr=0.001",
               "dna:width=8,levels=4"),
    "8gaussians": ("gan", "gan:points_lr=0.002,points_latent=4", "vae:points_batch_size=64",
                   "flow:batch_size=64,expand=3", "dna:points_width=32,points_noise_low=0.05"),
    "moons": ("gan", "vae", "flow", "dna"),
}  # fmt: skip


class InProcess:
    """Asks baselines here what they are, as a normal install sees them: by version, not source."""

    def describe(self, ref: GeneratorRef) -> Description:
        return describe(replace(ref, track_source=False))


def suites() -> dict[str, Any]:
    """What each shipped suite is known by, in each of its profiles."""
    found = {}
    for name in shipped():
        for profile in profiles_of(name):
            suite = load_suite(name, profile)
            found[f"{name} {profile}"] = {
                "task": suite.task_hash,
                "suite": suite.suite_hash,
                "folder": suite.folder_name,
                "scoring": scoring_keys(suite),
            }
    return found


def cells() -> dict[str, list[str]]:
    """Key and folder of cells of every baseline and control, for seeds 0 and 3."""
    found = {}
    for name, asked in ASKED.items():
        suite = load_suite(name, "smoke")
        prober: Any = InProcess()
        for text, choice in zip(
            (*asked, *suite.controls), choose(suite, asked, (), prober), strict=True
        ):
            theirs = replace(choice, ref=replace(choice.ref, provider="genbench 0.1.0"))
            for seed in (0, 3):
                found[f"{name} {text} seed {seed}"] = [
                    cell_key(suite, theirs, seed),
                    cell_folder(suite, theirs, seed).as_posix(),
                ]
    return found


def records() -> dict[str, list[str]]:
    """Digests of CI's accepted records, read and written again."""
    found = {}
    for path in sorted(CI.rglob(RECORD)):
        body = Record.from_json(json.loads(path.read_text())).to_json()
        found[path.parent.name] = [digest(body), body["digest"], body["result_digest"]]
    return found


def pages(out: Path) -> dict[str, str]:
    """Digests of all files of the report of those records."""
    tasks, problems = gather([CI])
    assert problems == []
    build_report(tasks, out)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def before(part: str) -> Any:
    return json.loads(BEFORE.read_text())[part]


def test_suites_keep_their_tasks_hashes_and_folders() -> None:
    """Suites that came later are no matter."""
    now = suites()
    assert {name: now.get(name) for name in before("suites")} == before("suites")


def test_cells_keep_their_keys_and_folders() -> None:
    """Names of parameters are those of then: whoever typed them may type them again."""
    assert cells() == before("cells")


def test_records_keep_their_digests() -> None:
    assert records() == before("records")


def test_the_report_of_those_records_keeps_its_bytes(tmp_path: Path) -> None:
    taken_with = before("plotly")
    if metadata.version("plotly") != taken_with:  # it writes the figures' data
        pytest.skip(f"the pages were taken with plotly {taken_with}")
    assert pages(tmp_path / "site") == before("report")
