"""The published records: whole, of the suites as they are, and beside a reader's own rows."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.data.toy import entropy
from genbench.metrics.values import Interval, MetricValue
from genbench.plugins import finding as plugins
from genbench.plugins.choice import GeneratorChoice
from genbench.report.tabulation import table
from genbench.report.writing import renew_report
from genbench.results import archive
from genbench.results.publish import outdated, published_entries, task_results
from genbench.results.records import Record, digest
from genbench.results.store import Store, Stored, write_record
from genbench.running.cells import cell_key, expected
from genbench.system.files import write_json
from genbench.tasks.suite import load_suite
from tests import report_fixtures as fixtures
from tests.conftest import PLUGINS, TINY, Command

REPORTS = Path(__file__).parent.parent / "reports"
MNIST = load_suite("mnist")


@pytest.mark.parametrize("root", [REPORTS, REPORTS / "ci"], ids=["reports", "ci"])
def test_the_published_records_are_whole_and_light(root: Path) -> None:
    found = archive.verify(root)
    assert found.problems == ()
    assert found.records >= 9
    # The rows that the figures of points show and players play are there, samples and weights not.
    shown = {f"{what}{kind}.npz" for what in ("", "real-") for kind in ("points", "sounds")}
    assert {path.name for path in root.rglob("*.npz")} <= shown
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
    metrics, downstream = (expected(MNIST, part) for part in ("metrics", "downstream"))
    for entry in entries:
        assert entry.published
        assert entry.record.status == "ok"
        assert set(entry.record.metrics) in (metrics, metrics | downstream)
        if entry.record.seed == 0:
            assert set(entry.record.metrics) >= downstream
    assert published_entries("sha256:another") == ()


@pytest.mark.parametrize("name", ["gan", "vae", "flow", "dna"])
def test_the_published_cells_of_a_baseline_are_those_it_has_now(name: str) -> None:
    """Whatever its parameters are called by now: a normal install finds its results done."""
    records = [e.record for e in published_entries(MNIST.task_hash) if e.record.generator == name]
    assert len(records) == 3
    for record in records:
        told = record.cell["generator"]
        ref = dataclasses.replace(plugins.find(name), provider=told["provider"], track_source=False)
        description = plugins.describe(ref)
        choice = GeneratorChoice(ref, description, description.complete({}))
        assert cell_key(MNIST, choice, record.seed) == record.cell_key
        assert description.summary == told["summary"]


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
    assert 0.08 < noise.low < noise.high < 0.125, "one class is 8.9 to 11.4 % of the test rows"


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


def versions(root: Path) -> Path:
    """A task folder with two versions of a plugin, samples scored twice, and two owners."""
    task = root / "mnist@1.0.0-abc-standard"
    Store(root).write_suite(task.name, fixtures.suite())
    rows = [
        ("mine", "file mine.py", "sha256:old", {"k": 1}, "gan"),
        ("mine", "file mine.py", "sha256:new", {"k": 1}, "gan"),
        ("mine", "file mine.py", "sha256:old", {"k": 2}, "gan"),
        ("mine", "file other.py", "sha256:old", {"k": 1}, "gan"),
        ("vae", "genbench 0.1.0", "", {}, "vae"),
        ("vae", "genbench 0.2.0", "", {}, "vae"),
        ("samples", "samples from outside", "sha256:a", {}, "scored"),
        ("samples", "samples from outside", "sha256:b", {}, "scored"),
    ]
    for index, (name, provider, source, params, family) in enumerate(rows):
        folder = task / f"{name}~0" / "seed-0" / f"01ARZ3NDEKTSV4RRFFQ69G5F{index:02d}"
        cell = fixtures.cell_of(name, family, 0, provider=provider, params=params, passed=params)
        cell["generator"]["source"] = source
        metrics = {"fid": fixtures.metric("fid", 5.0 + index, 0)}
        write_record(folder, fixtures.record(folder.name, cell, metrics=metrics))
    return task


def test_superseded_versions_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    task = versions(tmp_path)
    found = task_results(task)
    assert found.superseded == 2
    kept = {e.record.record_id[-2:] for e in found.entries}
    assert kept == {"01", "02", "03", "05", "06", "07"}
    everything = task_results(task, superseded=True)
    assert (len(everything.entries), everything.superseded) == (8, 0)


def test_a_report_says_what_it_hides(tmp_path: Path) -> None:
    versions(tmp_path / "r")
    for words, rows in (([], 6), (["--superseded"], 8)):
        done = CliRunner().invoke(cli, ["report", str(tmp_path / "r"), "-o", str(tmp_path), *words])
        assert ("2 rows of superseded versions left out" in done.output) == (rows == 6)
        (page,) = (tmp_path / "data").glob("*-table.csv")
        assert len(page.read_text().splitlines()) == 1 + rows


def test_a_run_renews_the_report_of_every_suite_in_its_folder(tmp_path: Path) -> None:
    task = versions(tmp_path)
    other = fixtures.suite(task=digest("other"), profile="smoke")
    Store(tmp_path).write_suite("mnist@1.0.0-def-smoke", other)
    write_record(
        tmp_path / "mnist@1.0.0-def-smoke" / "vae~0" / "seed-0" / "01ARZ3NDEKTSV4RRFFQ69G5FAA",
        fixtures.record("01ARZ3NDEKTSV4RRFFQ69G5FAA", {
            **(cell := fixtures.cell_of("vae", "vae", 0)),
            "suite": cell["suite"] | {"task": digest("other"), "profile": "smoke"},
        }),
    )  # fmt: skip
    page = renew_report(Store(tmp_path), tmp_path / "report")
    text = page.read_text("utf-8")
    assert "smoke" in text
    assert "standard" in text
    pages = {p.name: p.read_text("utf-8") for p in page.parent.glob("mnist*.html")}
    assert {name: "it ranks nothing" in text for name, text in pages.items()} == {
        "mnist-1_0_0-smoke.html": True, "mnist-1_0_0-standard.html": False,
    }  # fmt: skip
    assert task.is_dir()


@pytest.mark.parametrize(
    ("theirs", "is_outdated"),
    [
        ("fid|frechet/1|ddof=1|n=10000|ref=10000|extractor=cnn/1", False),
        ("fid|frechet/1|ddof=1|n=700|ref=10000|extractor=cnn/1", False),
        ("fid|frechet/2|ddof=1|n=10000|ref=10000|extractor=cnn/1", True),
        ("fid|frechet/1|ddof=1|n=10000|ref=10000|extractor=cnn/2", True),
    ],
)
def test_a_control_that_measured_otherwise_is_outdated(theirs: str, is_outdated: bool) -> None:
    ours = "fid|frechet/1|ddof=1|n=10000|ref=10000|extractor=cnn/1"

    def made(signature: str, **more: MetricValue) -> Record:
        metrics = {"fid": MetricValue("ok", 1.0, signature=signature), **more}
        return fixtures.record("a", fixtures.cell_of("heldout", "control", 0), metrics=metrics)

    assert outdated(made(theirs), [made(ours)]) is is_outdated
    assert not outdated(None, [made(ours)])
    new = MetricValue("ok", 1.0, signature="kid|kernel/1")
    assert outdated(made(ours), [made(ours, kid=new)]), "a metric that it has no value of"
    na = MetricValue("not_applicable", reason="no model", signature="nll")
    assert not outdated(made(ours), [made(ours, nll=na)])
