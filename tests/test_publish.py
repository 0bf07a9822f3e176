"""The published records: whole, of the suites as they are, and beside a reader's own rows."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench import archive
from genbench.cli import cli
from genbench.data.toy import entropy
from genbench.plan import expected
from genbench.publish import published_entries, task_results
from genbench.records import Interval, Record
from genbench.report.rows import table
from genbench.store import Store, Stored, write_json, write_record
from genbench.suite import load_suite
from tests.conftest import PLUGINS, TINY, Command

REPORTS = Path(__file__).parent.parent / "reports"
MNIST = load_suite("mnist")


@pytest.mark.parametrize("root", [REPORTS, REPORTS / "ci"], ids=["reports", "ci"])
def test_the_published_records_are_whole_and_light(root: Path) -> None:
    found = archive.verify(root)
    assert found.problems == ()
    assert found.records >= 9
    # The rows that the figures of points show are there, samples and weights are not.
    assert {path.name for path in root.rglob("*.npz")} <= {"points.npz", "real-points.npz"}
    assert not list(root.rglob("*.safetensors"))


def test_no_published_record_tells_of_the_machine_that_made_it() -> None:
    for path in REPORTS.rglob("*.json"):
        text = path.read_text()
        assert not any(word in text for word in ("/home/", "/root/", "/tmp/", "hostname")), path


def test_the_published_records_are_of_the_suite_that_ships() -> None:
    entries = published_entries(MNIST.task_hash)
    assert {e.record.generator for e in entries} == {
        "gan", "vae", "flow", "dna", "heldout", "train-copy", "gaussian", "noise", "mode-dropped",
    }  # fmt: skip
    wanted = expected(MNIST, "metrics") | expected(MNIST, "downstream")
    for entry in entries:
        assert entry.published
        assert entry.record.status == "ok"
        assert set(entry.record.metrics) == wanted
    assert published_entries("sha256:another") == ()


def published(generator: str, seed: int = 0) -> Record:
    (record,) = (
        e.record
        for e in published_entries(MNIST.task_hash)
        if (e.record.generator, e.record.seed) == (generator, seed)
    )
    return record


def interval(generator: str, metric: str) -> Interval:
    found = published(generator).metrics[metric].interval
    assert found is not None
    return found


def test_copies_of_training_rows_are_caught() -> None:
    assert interval("train-copy", "c_t").high < -10
    assert interval("train-copy", "authenticity").high < 0.05
    for honest in ("heldout", "gan", "vae", "flow"):
        assert interval(honest, "authenticity").low > 0.2


def test_a_dropped_class_is_caught() -> None:
    for metric in ("recall", "coverage"):
        assert interval("mode-dropped", metric).high < interval("heldout", metric).low
    by_class = published("mode-dropped").metrics["fid_per_class"].details["by_class"]
    assert by_class["3"] is None
    assert all(by_class[str(c)] is not None for c in range(10) if c != 3)


def test_the_controls_put_a_scale_under_fid_and_the_baselines_stand_on_it() -> None:
    floor = interval("heldout", "fid")
    for control in ("gaussian", "noise", "mode-dropped"):
        assert interval(control, "fid").low > floor.high
    for baseline in ("gan", "vae", "flow", "dna"):
        assert floor.low < interval(baseline, "fid").high < interval("gaussian", "fid").low


POINTS = ("8gaussians", "checkerboard", "moons")
BASELINES = ("gan", "vae", "flow", "dna")


def of_suite(name: str) -> dict[str, Stored]:
    """The published attempts of a suite by generator."""
    (folder,) = REPORTS.glob(f"{name}@*")
    return {s.record.generator: s for s in Store(REPORTS).records(folder)}


@pytest.mark.parametrize("suite", POINTS)
def test_flows_of_points_come_near_to_the_entropy_and_not_below(suite: str) -> None:
    nll = of_suite(suite)["flow"].record.metrics["nll"]
    assert nll.value is not None
    assert nll.std_error is not None
    assert -3 * nll.std_error < nll.value - entropy(suite) < 0.25


def test_every_baseline_puts_rows_into_each_mode() -> None:
    angles = np.arange(8) * np.pi / 4
    centres = 4 / np.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for name in BASELINES:
        path = of_suite("8gaussians")[name].folder / "points.npz"
        with np.load(path, allow_pickle=False) as arrays:
            x = arrays["x"]
        near = np.linalg.norm(x[:, None] - centres, axis=2) < 3 * 0.5 / np.sqrt(2)
        assert (near.mean(0) >= 0.06).all(), (name, near.mean(0))


@pytest.mark.parametrize("suite", [*POINTS, "digits", "fashion-mnist"])
def test_the_orderings_that_must_hold_in_the_other_suites(suite: str) -> None:
    metric = "emd" if suite in POINTS else "fid"
    found = {name: s.record.metrics[metric] for name, s in of_suite(suite).items()}
    ends = {name: value.interval for name, value in found.items()}
    assert set(found) >= {*BASELINES, "heldout", "noise", "gaussian", "mode-dropped", "train-copy"}
    floor = ends["heldout"]
    assert floor is not None
    for name in (*BASELINES, "noise"):
        mine = ends[name]
        assert mine is not None
        assert mine.high > floor.low, f"{name} is better than real rows"
        worst = ends["noise"]
        assert worst is not None
        assert name == "noise" or mine.high < worst.low, f"{name} is no better than noise"


def test_real_rows_in_place_of_generated_ones_train_as_good_a_classifier() -> None:
    for control in ("heldout", "train-copy"):
        one, other = (interval(control, f"{name}_accuracy") for name in ("tstr", "trtr"))
        assert one.high > other.low
        gap = published(control).metrics["tstr_accuracy"].details
        assert gap["gap_low"] < 0 < gap["gap_high"]
    noise = interval("noise", "tstr_accuracy")
    assert noise.low < 0.1 < noise.high


def test_the_attack_leaves_a_part_of_the_accuracy() -> None:
    """Neither nothing nor nearly all: else it could not tell two classifiers apart."""
    arms = published("vae").metrics["robust_accuracy"].details["arms"]
    real = arms["real"]["pgd"]
    assert 0.2 < sum(real) / len(real) < 0.7


@pytest.mark.slow
def test_the_published_leaderboard_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = CliRunner().invoke(cli, ["report", str(REPORTS), "-o", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    one, two = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert len(one) > 20
    assert one == two


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Results with one row of another generator, and its controls not run."""
    record = next(
        e.record for e in published_entries(MNIST.task_hash) if e.record.generator == "gan"
    )
    cell = {**record.cell, "generator": {**record.cell["generator"], "name": "mine"}}
    folder = tmp_path / "results" / MNIST.folder_name
    write_json(folder / "suite.json", MNIST.describe())
    made = dataclasses.replace(
        record, cell=cell, record_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", artifacts=()
    )
    write_record(folder / "mine~0" / "seed-0" / made.record_id, made)
    return tmp_path / "results"


def test_a_readers_row_stands_beside_the_published_ones(mine: Path) -> None:
    found = table(task_results(mine / MNIST.folder_name, published=True))
    assert {row.name: row.published for row in found.generators} == {
        "mine": False, "gan": True, "vae": True, "flow": True, "dna": True,
    }  # fmt: skip
    assert all(row.complete for row in found.generators)
    alone = table(task_results(mine / MNIST.folder_name))
    assert [row.name for row in alone.generators] == ["mine"]


@pytest.mark.parametrize(("flag", "shown"), [("--published", True), ("--no-published", False)])
def test_the_report_marks_them_and_can_leave_them_out(mine: Path, flag: str, shown: bool) -> None:
    done = CliRunner().invoke(cli, ["report", str(mine), flag], catch_exceptions=False)
    assert "1 records of 1 tasks" in done.output
    text = (mine / "report" / "index.html").read_text()
    assert ("published, other machine" in text) == shown


@pytest.mark.slow
def test_publishing_as_the_page_says_passes_on_an_unchanged_tree(
    run_genbench: Command, tmp_path: Path
) -> None:
    """The page's own commands in their order, on the tiny suite; the second run on more threads."""
    page = (Path(__file__).parent.parent / "docs" / "publish.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("genbench ")]
    assert [line.split()[1] for line in lines] == ["run", "results", "run", "gate", "report"]
    for number, line in enumerate(lines):
        words = line.replace(
            "--suite digits --profile smoke", f"--suite {TINY} --plugin {PLUGINS / 'normal.py'}"
        )
        threads = {"OMP_NUM_THREADS": str(1 + number)}
        done = run_genbench(*shlex.split(words)[1:], env=threads)
        assert done.code == 0, f"{line}\n{done.out}{done.err}"
        if " gate " in line:
            assert "equal at every seed" in done.out
            assert "verdict: pass" in done.out
    assert "gate: pass" in (tmp_path / "gate.md").read_text()
    assert list((tmp_path / "site" / "data").glob("*-badge.svg"))
