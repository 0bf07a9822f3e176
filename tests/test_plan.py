"""What is done about a cell that has a record already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genbench.metrics.values import MetricValue
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import Description, GeneratorRef
from genbench.results.records import Artifact
from genbench.results.store import Store, write_record
from genbench.running.cells import Cell, build_plan, cell_folder, cell_key, part_of, scoring_keys
from genbench.running.runner import RunOptions, plan_cells
from genbench.system import extensions
from genbench.system.files import sha256_file, write_bytes
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import TINY
from tests.test_records import make_record

DONE = MetricValue("ok", 1.0)
FAILED = MetricValue("failed", reason="the weights are not there")
NAME = "01ARZ3NDEKTSV4RRFFQ69G5FA1"


def choice() -> GeneratorChoice:
    about = Description("mine", "1", "test", ("points",), "none", None, "", "", "", "", ())
    return GeneratorChoice(GeneratorRef("mine", "Mine", "mine 1", module="mine"), about, {})


@pytest.fixture
def suite() -> Suite:
    return load_suite(str(TINY))


def test_a_likelihood_of_one_kind_is_asked_of_no_other(tmp_path: Path, suite: Suite) -> None:
    def declared(*of: str) -> str | None:
        about = replace(
            choice().description,
            kinds=("image", "points"),
            likelihood="exact",
            likelihood_kinds=of,
        )
        mine = replace(choice(), description=about)
        (cell,) = plan_cells(suite, [mine], Store(tmp_path), RunOptions(seeds=(0,)))
        return cell.generator.description.likelihood

    assert suite.space.kind == "points"
    assert [declared(), declared("points"), declared("image")] == ["exact", "exact", None]


def planned(
    root: Path,
    suite: Suite,
    metrics: dict[str, MetricValue],
    *,
    samples: bool = True,
    **options: Any,
) -> Cell:
    """The plan for a cell that was scored with these values."""
    store = Store(root)
    folder = store.root / cell_folder(suite, choice(), 0) / NAME
    write_bytes(folder / "samples.npz", b"samples")
    artifact = Artifact("samples", "samples.npz", sha256_file(folder / "samples.npz"), 7)
    record = make_record(
        record_id=NAME,
        cell_key=cell_key(suite, choice(), 0),
        metrics=metrics,
        artifacts=(artifact,),
    )
    cell = dict(record.cell, suite={**record.cell["suite"], "scoring": scoring_keys(suite)})
    write_record(folder, replace(record, cell=cell))
    if not samples:
        (folder / "samples.npz").unlink()
    (found,) = build_plan(suite, [choice()], [0], store, threads=1, **options)
    return found


@pytest.mark.parametrize(
    ("nll", "options", "todo"),
    [
        (DONE, {}, "done"),
        (MetricValue("not_applicable", reason="it has no likelihood"), {}, "done"),
        (MetricValue("undefined", reason="too few rows"), {}, "done"),
        (FAILED, {}, "score"),
        (FAILED, {"keep_failed": True}, "done"),
        (FAILED, {"parts": ("downstream",)}, "done"),
        (FAILED, {"samples": False}, "done"),  # a value is not worth another fit
    ],
)
def test_a_failed_value_is_tried_again(
    tmp_path: Path, suite: Suite, nll: MetricValue, options: dict[str, Any], todo: str
) -> None:
    cell = planned(tmp_path, suite, {"fid": DONE, "precision": DONE, "nll": nll}, **options)
    assert cell.todo == todo
    assert cell.parts == (("metrics",) if todo == "score" else ())


@pytest.mark.parametrize(("samples", "todo"), [(True, "score"), (False, "run")])
def test_a_value_that_is_not_there_is_computed_at_any_price(
    tmp_path: Path, suite: Suite, samples: bool, todo: str
) -> None:
    metrics = {"fid": DONE, "nll": FAILED}
    assert planned(tmp_path, suite, metrics, samples=samples, keep_failed=True).todo == todo


@pytest.mark.parametrize(("samples", "todo"), [(True, "score"), (False, "done")])
def test_a_cell_from_before_codes_is_looked_into_and_never_fitted_for_it(
    tmp_path: Path, suite: Suite, samples: bool, todo: str
) -> None:
    metrics = {"fid": DONE, "precision": DONE, "nll": DONE}
    table = {"codes": {"metrics": ["reconstruction_mse"]}}
    asking = replace(suite, document={**suite.document, **table})
    cell = planned(tmp_path, asking, metrics, samples=samples)
    assert (cell.todo, cell.parts) == (todo, ("codes",) if samples else ())
    without = replace(suite, document={**suite.document, "codes": {"metrics": []}})
    assert planned(tmp_path / "b", without, metrics, samples=samples).todo == "done"


def test_a_metric_of_another_package_is_scored_again_with_its_package(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next version may answer otherwise; the built-in ones depend on no package."""
    document = {**suite.document, "metrics": [*suite.document["metrics"], {"id": "theirs"}]}
    asking = replace(suite, document=document)
    keys = []
    for version in ("1", "2"):
        monkeypatch.setattr(extensions, "announced", lambda group: {"theirs": ["entry"]})
        monkeypatch.setattr(extensions, "owner", lambda entry, v=version: f"theirs {v}")
        keys.append((scoring_keys(asking), scoring_keys(suite)))
    (one, plain), (other, same) = keys
    assert one["metrics"] != other["metrics"]
    assert one["downstream"] == other["downstream"]
    assert plain == same


def test_a_metric_that_nobody_knows_belongs_to_the_metrics() -> None:
    assert part_of("gone@some-extractor") == part_of("fid") == "metrics"
    assert part_of("tstr_accuracy") == "downstream"
    assert part_of("probe_accuracy") == "codes"
