"""The course of training: states kept on the way and sampled afterwards, never at a cell's cost."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import genbench
from genbench.errors import ContractError, MetricError, StoreError, UsageError
from genbench.metrics.classes import classes_hit
from genbench.plugins.snapshots import Snapshots
from genbench.plugins.training import Budget, HarnessRun, Stopped
from genbench.report.writing import build_report
from genbench.results.course import course_of, stability, why_no_course
from genbench.results.entries import TaskResults
from genbench.results.records import Record
from genbench.results.states import snapshot_name, snapshots_in
from genbench.running.cells import scoring_keys
from genbench.running.cellspec import CellSpec
from genbench.running.course import CourseLedger, drawn_in, points_of, settle
from genbench.running.ledger import STATE, CellLedger, inherit_checkpoint
from genbench.system import tensorfile
from genbench.tasks.course import Course
from genbench.tasks.suite import Suite, load_suite
from tests import report_fixtures as fixtures
from tests.conftest import PLUGINS, TINY, Command, Done
from tests.plugins.courses import Steady
from tests.test_crash import choice
from tests.test_run import records, samples

CPU = torch.device("cpu")
COURSE = "[course]\nfractions = [0.25, 0.5, 1]\nrows = 100\n"


# When a state is kept


@given(st.integers(1, 2000), st.sets(st.floats(0.001, 1), min_size=1, max_size=8))
def test_states_are_due_within_the_budget_and_never_at_its_end(
    budget: int, fractions: set[float]
) -> None:
    due = Course((*sorted(fractions - {1.0}), 1.0)).due(budget)
    assert list(due) == sorted(set(due))
    assert all(0 < count < budget for count in due)
    assert len(due) <= len(fractions)


def test_a_budget_smaller_than_the_number_of_states_keeps_what_there_is() -> None:
    course = Course((1 / 16, 1 / 8, 1 / 4, 1 / 2, 1))
    assert course.due(300_000) == (18750, 37500, 75000, 150000)
    assert course.due(4) == (1, 2)
    assert course.due(1) == ()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("fractions = [0.5, 0.25, 1]", "list ascending shares of the budget"),
        ("fractions = [0, 1]", "list ascending shares"),
        ('fractions = ["half", 1]', "list ascending shares"),
        ("fractions = [0.25, 0.5]", "end it with 1"),
        ("fractions = [0.5, 1]\nrows = 3", "it must be at least 10"),
        (f"fractions = [{', '.join(str(i / 64) for i in range(1, 64))}, 1]", "give at most 32"),
        ("rows = 100", "lacks 'fractions'"),
        ("fractions = [1]\nsteps = 3", "unknown key 'steps'"),
    ],
)
def test_a_course_that_cannot_be_is_refused_with_a_remedy(
    tmp_path: Path, table: str, complaint: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TINY.read_text().replace(COURSE, f"[course]\n{table}\n"))
    with pytest.raises(UsageError, match=complaint):
        load_suite(str(path))


def test_a_course_moves_no_hash_and_changes_no_score(tmp_path: Path) -> None:
    path = tmp_path / "without.toml"
    text = TINY.read_text()
    assert COURSE in text
    path.write_text(text.replace(COURSE, ""))
    one, other = load_suite(str(TINY)), load_suite(str(path))
    assert one.course == Course((0.25, 0.5, 1), 100)
    assert other.course is None
    assert (one.task_hash, one.suite_hash) == (other.task_hash, other.suite_hash)
    assert scoring_keys(one) == scoring_keys(other)


@pytest.mark.parametrize("name", ["mnist", "digits", "fashion-mnist", "moons", "emoji"])
def test_shipped_suites_have_a_course_and_their_smoke_has_none(name: str) -> None:
    course = load_suite(name).course
    assert course is not None
    assert course.fractions == (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    assert load_suite(name, "smoke").course is None


# In the fit


class Kept:
    """A fit in steps of ten examples that offers a state after each, and what became of them."""

    def __init__(self, folder: Path, due: tuple[int, ...], there: tuple[int, ...] = ()) -> None:
        self.asked: list[int] = []
        self.lost: list[tuple[int, str]] = []
        self.saved: list[int] = []
        self.snapshots = Snapshots(
            folder, due, there=there, saved=self.saved.append,
            lost=lambda examples, reason: self.lost.append((examples, reason)),
        )  # fmt: skip

    def fit(self, budget: int = 100, start: int = 0, state: Any = None, step: int = 10) -> None:
        count = Budget(budget, start)
        run = HarnessRun(0, CPU, count, snapshots=self.snapshots)
        self.snapshots.begin(start)
        while count.left:
            count.served += min(step, count.left)

            def now(served: int = count.served) -> dict[str, Any]:
                self.asked.append(served)
                return {"served": torch.tensor(served)} if state is None else state()

            run.snapshot(now)


def test_a_state_is_asked_for_only_when_one_is_due(tmp_path: Path) -> None:
    kept = Kept(tmp_path, (25, 50))
    kept.fit()
    assert kept.asked == kept.saved == [30, 50], "the first step at or behind each fraction"
    assert list(snapshots_in(tmp_path)) == [30, 50]
    assert int(tensorfile.load(tmp_path / snapshot_name(30))["served"]) == 30
    assert kept.snapshots.offered


def test_a_step_over_several_fractions_keeps_one_state_and_the_end_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path, (10, 20, 30, 90))
    kept.fit(step=40)
    assert kept.saved == [40], "the state at 100 is stored by itself"


def test_a_fit_that_goes_on_keeps_only_what_is_not_there(tmp_path: Path) -> None:
    kept = Kept(tmp_path, (20, 40, 60), there=(20, 60))
    kept.fit(start=50)
    assert kept.saved == [60], "that at 40 is lost: what would be kept now is another state"


def test_states_that_were_kept_after_the_checkpoint_are_kept_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path, (20, 40), there=(20, 40))
    kept.fit(start=30)
    assert kept.saved == [40]


def test_a_full_disk_costs_the_course_and_not_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes, **options: bool) -> None:
        raise StoreError(f"cannot write {path}") from OSError(28, "No space left on device")

    monkeypatch.setattr(tensorfile, "write_bytes", full)
    kept = Kept(tmp_path, (20, 40))
    kept.fit()
    assert kept.asked == [20, 40], "there may be space again"
    assert kept.lost == [(n, "it could not be written: No space left on device") for n in (20, 40)]
    assert capfd.readouterr().err.count("no snapshot of the fit") == 1


def test_a_state_that_cannot_be_made_costs_its_point(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        torch.randn(3)
        raise RuntimeError("no average yet")

    kept = Kept(tmp_path, (20,))
    before = torch.get_rng_state()
    kept.fit(state=broken)
    assert kept.lost == [(20, "RuntimeError: no average yet")]
    assert torch.equal(torch.get_rng_state(), before), "nor does it draw from the fit's numbers"


def test_seconds_of_snapshots_are_not_the_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def dear() -> dict[str, Any]:
        clock[0] += 60.0
        return {}

    file = tmp_path / "checkpoint"
    count = Budget(100)
    run = HarnessRun(
        0, CPU, count, checkpoint_file=file, stop=lambda: True,
        snapshots=Snapshots(tmp_path, (10,)),
    )  # fmt: skip
    count.served, clock[0] = 20, 2.0
    run.snapshot(dear)
    with pytest.raises(Stopped):
        run.checkpoint(dict)
    assert tensorfile.load(file)["seconds"] == 2.0


def test_the_ledger_counts_snapshots_apart(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    ledger = CellLedger(tmp_path, suite.space, 0)
    ledger.cores = lambda: 2 * clock[0]
    ledger.phase("fit")
    clock[0] = 5.0
    ledger.snapshotting()
    clock[0] = 8.0
    tensorfile.save(tmp_path / "work" / snapshot_name(70), {})
    ledger.snapshotted(70)
    clock[0] = 9.0
    ledger.phase("data")
    timing = ledger.result.timing
    assert (timing["fit_s"], timing["snapshots_s"], timing["fit_core_s"]) == (6.0, 3.0, 12.0)
    assert list(snapshots_in(tmp_path)) == [70], "taken over from where the generator writes"


def test_a_process_cannot_tell_of_snapshots_that_nobody_asked_for(
    suite: Suite, tmp_path: Path
) -> None:
    ledger = CellLedger(tmp_path, suite.space, 0)
    with pytest.raises(ContractError, match="nobody asked for"):
        ledger.snapshotting()
    ledger.phase("fit")
    with pytest.raises(ContractError, match="did not begin"):
        ledger.snapshotted(10)
    ledger.snapshotting()
    ledger.snapshotted(10)
    assert "was not where" in ledger.result.lost_points["10"]
    for n in range(63):
        ledger.snapshotting()
        ledger.no_snapshot(n + 1, "full")
    with pytest.raises(ContractError, match="nobody asked for"):
        ledger.snapshotting()


def test_an_attempt_that_goes_on_has_the_states_that_were_kept_before(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    tensorfile.save(first / "checkpoint.safetensors", {"served": 50})
    tensorfile.save(first / snapshot_name(20), {})
    (first / "snapshot-9.safetensors").symlink_to(first / snapshot_name(20))
    inherit_checkpoint(first / "checkpoint.safetensors", second)
    assert list(snapshots_in(second)) == [20], "no link is followed"


# Drawing


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite(str(TINY))


def ledger_of(suite: Suite, *points: int) -> CourseLedger:
    spec = CellSpec(Path("nowhere"), Path("cache"), "sha256:key", suite, choice(), 0)
    ledger = CourseLedger(spec, points)
    ledger.phase("course")
    return ledger


def rows(n: int) -> dict[str, np.ndarray]:
    return {"x": np.zeros((n, 2), np.float32)}


def test_rows_are_those_of_the_states_that_were_stored(suite: Suite, tmp_path: Path) -> None:
    ledger = ledger_of(suite, 500, 1000)
    with pytest.raises(ContractError, match="nobody asked for"):
        ledger.rows(rows(10))
    ledger.point(500)
    for stranger in (700, 500):
        with pytest.raises(ContractError, match="that nobody stored"):
            ledger.point(stranger)
    ledger.rows(rows(60))
    ledger.rows(rows(40))
    with pytest.raises(ContractError, match="more than 100 rows"):
        ledger.rows(rows(1))


def test_a_state_with_all_rows_is_stored_and_others_say_why_not(
    suite: Suite, tmp_path: Path
) -> None:
    ledger = ledger_of(suite, 500, 1000, 2000)
    ledger.point(500)
    ledger.rows(rows(100))
    ledger.point(1000)
    ledger.rows(rows(40))
    ledger.point(2000)
    ledger.no_point("NaN in 3 of 100 rows")
    lost = settle(tmp_path, ledger, None)
    assert lost == {"1000": "it drew too few rows", "2000": "NaN in 3 of 100 rows"}
    drawn = drawn_in(tmp_path)
    assert list(drawn) == [500]
    assert_array_equal(drawn[500]["x"], rows(100)["x"])


def test_of_a_process_that_ended_nothing_is_stored(suite: Suite, tmp_path: Path) -> None:
    ledger = ledger_of(suite, 500, 2000)
    ledger.point(500)
    ledger.rows(rows(100))
    assert settle(tmp_path, ledger, "it was killed") == dict.fromkeys(
        ("500", "2000"), "it was killed"
    )
    assert drawn_in(tmp_path) == {}


def test_the_last_state_is_the_final_one(tmp_path: Path) -> None:
    for n in (500, 2000, 3000):
        tensorfile.save(tmp_path / snapshot_name(n), {})
    points = points_of(tmp_path, 2000)
    assert list(points) == [500, 2000]
    assert points[2000] == tmp_path / STATE


# Classes hit


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.01, 1))
def test_classes_hit_are_those_of_the_naive_count(seed: int, classes: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    real, fake = (rng.dirichlet(np.ones(classes), n) for n in (50, 30))
    for c, hit in enumerate(classes_hit(real, fake, share=share)):
        asked = sum(int(p.argmax()) == c for p in real) / len(real)
        found = sum(int(p.argmax()) == c for p in fake) / len(fake)
        assert hit == (found > 0 and found >= share * asked)


def test_a_few_errors_of_the_classifier_are_no_hit() -> None:
    real = np.eye(4)[np.arange(400) % 4]
    fake = np.eye(4)[np.r_[np.arange(391) % 3, np.full(9, 3)]]
    assert classes_hit(real, real).all()
    assert classes_hit(real, fake).tolist() == [True, True, True, False]
    assert classes_hit(real, np.eye(4)[np.r_[np.arange(390) % 3, np.full(10, 3)]]).all()


def test_probabilities_of_two_classifiers_do_not_compare() -> None:
    with pytest.raises(MetricError, match="of 4 and of 3 classes"):
        classes_hit(np.eye(4), np.eye(3))


# What records tell


def told(*points: tuple[int, float, list[int]], **more: Any) -> dict[str, Any]:
    """A course as the worker writes it."""
    return {
        "status": "ok", "rows": 2000, "reference": "test", "classes": 10,
        "floor": {"fid": 8.5, "recall": 0.7, "classes_hit": 10, "missed": []},
        "points": [
            {"examples": n, "fid": fid, "recall": 0.1, "classes_hit": 10 - len(missed),
             "missed": missed} for n, fid, missed in points
        ], **more,
    }  # fmt: skip


def record_with(course: Any, seed: int = 0) -> Record:
    return fixtures.record(f"01J{seed}", fixtures.cell_of("gan", "gan", seed), course=course)


def test_a_course_comes_back_from_its_record() -> None:
    course = course_of(record_with(told((100, 50.0, [3]), (200, 9.0, []), lost={"150": "full"})))
    assert course is not None
    assert [p.examples for p in course.points] == [100, 200]
    assert [p.missed for p in course.points] == [(3,), ()]
    assert course.points[1].values == {"fid": 9.0, "recall": 0.1, "classes_hit": 10.0}
    assert (course.floor["fid"], course.lost, course.classes) == (8.5, {150: "full"}, 10)


@pytest.mark.parametrize(
    "course",
    [
        {}, {"status": "ok"}, {"status": "ok", "points": 3}, {"status": "ok", "points": [1, None]},
        {"status": "ok", "points": [{"examples": "many", "fid": 1.0}]},
        {"status": "ok", "points": [{"examples": -5}]}, {"status": "failed", "reason": "full"},
    ],
)  # fmt: skip
def test_a_course_of_another_form_is_none(course: dict[str, Any]) -> None:
    assert course_of(record_with(course)) is None


def test_numbers_that_nobody_measures_are_passed_over() -> None:
    points = [{"examples": 5, "fid": True, "recall": "x", "classes_hit": 1e200, "missed": ["a"]}]
    course = course_of(record_with({"status": "ok", "points": points, "lost": [1], "floor": 2}))
    assert course is not None
    assert (dict(course.points[0].values), course.points[0].missed) == ({}, None)
    assert (dict(course.lost), dict(course.floor), course.classes) == ({}, {}, 0)


def test_why_there_is_no_course_is_the_records_or_that_it_is_older() -> None:
    reason = "kde keeps no snapshots"
    assert why_no_course(record_with({"status": "not_applicable", "reason": reason})) == reason
    assert why_no_course(record_with({})) == "not recorded"


def test_an_old_record_keeps_its_digests_and_a_course_is_a_result() -> None:
    without = record_with({}).to_json()
    assert "course" not in without
    with_one = record_with(told((100, 5.0, []))).to_json()
    assert with_one["result_digest"] != without["result_digest"]
    assert Record.from_json(json.loads(json.dumps(with_one))).course == with_one["course"]


def test_a_class_is_lost_if_it_was_there_before() -> None:
    missed = {10: [1, 2], 20: [2], 40: [2, 3], 80: [2, 5], 160: [2, 5]}
    course = course_of(record_with(told(*((n, 9.0, classes) for n, classes in missed.items()))))
    assert course is not None
    known = stability([course])
    assert [(x.class_, x.had, x.missed, x.back) for x in known.losses] == [
        (3, 20, 40, 80),
        (5, 40, 80, None),
    ]
    assert known.never == {0: (2,)}
    assert known.to_json()["lost_classes"][0]["back_at"] == 80


def test_the_spread_is_that_of_the_final_states() -> None:
    ends = [5.0, 6.0, 10.0]
    courses = [course_of(record_with(told((10, 50.0, []), (20, fid, [])), s))
               for s, fid in enumerate(ends)]  # fmt: skip
    known = stability([c for c in courses if c is not None])
    spread = known.spread["fid"]
    assert (spread.low, spread.high) == (5.0, 10.0)
    assert spread.sd == pytest.approx(np.std(ends, ddof=1))
    assert stability([c for c in courses[:1] if c is not None]).spread["fid"].sd is None


# The report


def task_with(folder: Path, courses: dict[str, Any]) -> TaskResults:
    """The fixtures' task, with these courses in its records and no others."""
    task = fixtures.task(folder)
    entries = [
        replace(e, record=replace(e.record, course=courses.get(e.record.generator, {})))
        for e in task.entries
    ]
    return replace(task, entries=entries)


def page_of(folder: Path, courses: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The page and its table's data."""
    index = build_report([task_with(folder / "results", courses)], folder / "site")
    (data,) = (folder / "site" / "data").glob("*-table.json")
    return index.read_text(), {r["generator"]: r for r in json.loads(data.read_text())["rows"]}


def test_the_report_draws_the_course_and_says_how_steady_it_was(tmp_path: Path) -> None:
    course = told((18750, 90.0, []), (37500, 30.0, [3]), (300_000, 9.0, []),
                  lost={"75000": "it could not be written: No space left on device"})  # fmt: skip
    page, rows_ = page_of(tmp_path, {"gan": course, "vae": told((300_000, 100.0, [4]))})
    assert "The course of training" in page
    assert "gan: FID 9.00 to 9.00 over 3 seeds (sd 0" in page
    lost = "lost class 3 (seed 0) between 18,750 and 37,500 examples, found again by 300,000"
    assert lost in page
    assert "No space left on device" in page
    assert re.search(r"(flow, dna|dna, flow): not recorded\.", page)
    specs = json.loads(page.split('data-figure="course"')[1].split('class="specs">')[1]
                       .split("</script>")[0])["specs"]  # fmt: skip
    assert set(specs) == {"fid", "recall", "classes_hit"}
    layout = specs["fid"]["layout"]
    assert layout["xaxis"]["type"] == "log"
    assert layout["shapes"][0]["y0"] == 8.5, "the floor at the same number of rows"
    means = [t for t in specs["fid"]["data"] if t["mode"] == "lines+markers"]
    assert [(t["name"], t["x"]) for t in means] == [
        ("gan", [18750, 37500, 300_000]),
        ("vae", [300_000]),
    ]
    assert sum(t["mode"] == "lines" for t in specs["fid"]["data"]) == 6, "each seed is a thin line"
    assert rows_["gan"]["stability"]["spread"]["fid"] == {"low": 9.0, "high": 9.0, "sd": 0.0}
    assert len(rows_["gan"]["stability"]["lost_classes"]) == 3
    assert "stability" not in rows_["flow"]
    (own,) = (tmp_path / "site" / "rows").glob("*-gan.html")
    assert lost in own.read_text(), "on the page of the row too"
    (other,) = (tmp_path / "site" / "rows").glob("*-flow.html")
    assert "Stability" not in other.read_text()


def test_without_a_course_the_report_is_what_it_was(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, {})
    assert "The course of training" not in page


def test_a_course_of_a_stranger_is_text(tmp_path: Path) -> None:
    evil = told((5, 3.0, [7, 99]), lost={"4": "<script>alert(1)</script>"})
    evil["classes"] = "<b>"
    page, _ = page_of(tmp_path, {"gan": evil, "vae": {"status": "failed", "reason": "<i>x</i>"}})
    assert "<script>alert" not in page
    assert "<i>x</i>" not in page


# From end to end


def run_courses(
    run_genbench: Command,
    *names: str,
    suite: Path = TINY,
    results: str = "results",
    env: dict[str, str] | None = None,
) -> Done:
    words = [word for name in names for word in ("-g", name)]
    return run_genbench(
        "run", "--suite", suite, "--plugin", PLUGINS / "courses.py", "--no-controls",
        "--no-report", "--results", results, "--no-sandbox", *words, env=env,
    )  # fmt: skip


@pytest.mark.slow
def test_a_cell_has_its_course_and_the_samples_that_it_has_without(
    run_genbench: Command, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(TINY.read_text().replace(COURSE, ""))
    done = run_courses(run_genbench, "steady", suite=plain)
    assert done.code == 0, done.err
    before = records(tmp_path / "results")["steady", 0]
    first = samples(tmp_path / "results", "steady")
    assert not before.course

    again = run_courses(run_genbench, "steady")
    assert "0 to do" in again.err, "a finished cell is not fitted again for its course"

    done = run_courses(run_genbench, "steady", results="other")
    assert done.code == 0, done.err
    record = records(tmp_path / "other")["steady", 0]
    assert_array_equal(samples(tmp_path / "other", "steady"), first)
    course = record.course
    assert [p["examples"] for p in course["points"]] == [500, 1000, 2000]
    assert all(math.isfinite(p[name]) for p in course["points"] for name in ("fid", "recall"))
    assert (course["status"], course["rows"], course["reference"]) == ("ok", 100, "test")
    assert set(course["floor"]) == {"fid", "recall"}
    assert "extractor=identity" in course["signatures"]["fid"]
    assert "lost" not in course
    assert record.timing["course_s"] > 0
    assert record.timing["snapshots_s"] >= 0
    roles = {a.role for a in record.artifacts}
    assert "course" in roles
    assert "snapshot" not in roles
    (folder,) = (tmp_path / "other").glob("*/steady~*/seed-0/*")
    assert snapshots_in(folder) == {}, "the states are of no more use"


@pytest.mark.slow
def test_a_state_that_fails_costs_its_point_and_says_why(
    run_genbench: Command, tmp_path: Path
) -> None:
    done = run_courses(run_genbench, "halved", "no-tensors", "infinite")
    assert done.code == 0, done.err
    found = {name: record for (name, _), record in records(tmp_path / "results").items()}
    for name, reason in (
        ("halved", "'mean'"),
        ("no-tensors", "state.mean is a object: a checkpoint holds tensors"),
        ("infinite", "NaN or infinity in 100 of 100 rows"),
    ):
        record = found[name]
        assert record.metrics["fid"].status == "ok"
        assert set(record.course["lost"]) == {"500", "1000"}
        assert all(reason in why for why in record.course["lost"].values()), record.course
        assert [p["examples"] for p in record.course["points"]] == [2000]


@pytest.mark.slow
def test_a_course_whose_process_died_is_drawn_by_the_same_command_without_a_fit(
    run_genbench: Command, tmp_path: Path
) -> None:
    mark = {"LEAVES": str(tmp_path / "mark")}
    done = run_courses(run_genbench, "leaves", env=mark)
    assert done.code == 0, done.err
    cut = records(tmp_path / "results")["leaves", 0]
    assert cut.metrics["fid"].status == "ok", "it costs the course alone"
    assert cut.course["status"] == "failed"
    assert "exit code 3 without a result during course" in cut.course["reason"]
    again = run_courses(run_genbench, "leaves", env=mark)
    assert "from stored samples" in again.err
    whole = records(tmp_path / "results")["leaves", 0]
    assert [p["examples"] for p in whole.course["points"]] == [500, 1000, 2000]
    assert "lost" not in whole.course
    assert whole.metrics["fid"].value == cut.metrics["fid"].value
    done = run_courses(run_genbench, "leaves", env=mark)
    assert "0 to do" in done.err


@pytest.mark.slow
def test_images_are_told_by_class_and_another_metric_keeps_the_course(
    run_genbench: Command, tmp_path: Path
) -> None:
    suite = tmp_path / "digits.toml"
    text = TINY.with_name("tiny-images.toml").read_text().partition("[downstream")[0]
    suite.write_text(
        text + "[controls]\nnames = []\n\n[course]\nfractions = [0.1, 1]\nrows = 100\n"
    )
    run_courses(run_genbench, "steady", suite=suite)
    before = records(tmp_path / "results")["steady", 0]
    course = before.course
    assert course["floor"]["classes_hit"] == 10
    assert course["floor"]["missed"] == []
    assert all(p["classes_hit"] + len(p["missed"]) == 10 for p in course["points"])
    assert course["points"][-1]["classes_hit"] < 10, "a blur is of few classes"
    suite.write_text(suite.read_text().replace(
        'id = "pixel_fid"', 'id = "pixel_fid"\n\n[[metrics]]\nid = "recall"'))  # fmt: skip
    done = run_courses(run_genbench, "steady", suite=suite)
    assert "from stored samples" in done.err
    after = records(tmp_path / "results")["steady", 0]
    assert after.course == course
    cached = (tmp_path / "results" / ".cache" / "features").glob("*.npz")
    sizes = [len(np.load(path)["features"]) for path in cached]
    assert sizes.count(100) == 1, "features of the floor are kept, of a generator's rows none"


@pytest.mark.slow
def test_a_generator_without_snapshots_says_so(run_genbench: Command, tmp_path: Path) -> None:
    run_genbench("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py", "--no-report")
    found = records(tmp_path / "results")
    assert found["normal", 0].course == {
        "status": "not_applicable",
        "reason": "no states to sample: its fit offers none (run.snapshot)",
    }
    assert found["heldout", 0].course == {}


@pytest.mark.slow
def test_a_class_of_a_notebook_has_its_course_too(tmp_path: Path) -> None:
    class Mine(Steady):
        """Lives in this process alone."""

    genbench.run(TINY, [Mine], results=tmp_path, controls=False, report=False)
    record = records(tmp_path)["steady", 0]
    assert record.environment["isolation"].startswith("none")
    assert [p["examples"] for p in record.course["points"]] == [500, 1000, 2000]
    assert record.timing["course_s"] > 0
