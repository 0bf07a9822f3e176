"""The harness's side of fit: the budget is exact, the order is seeded, checkpoints continue it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.data.split import Split
from genbench.errors import StoreError, UsageError
from genbench.generator import Space
from genbench.plugins.driver import FitResult, GeneratorDriver
from genbench.plugins.inline import choice_of
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData, Stopped
from genbench.system import tensorfile
from tests.plugins.normal import Normal

CPU = torch.device("cpu")


def data(budget: Budget, n: int = 37, **options: object) -> MemoryTrainData:
    x = torch.arange(n, dtype=torch.float32)[:, None].repeat(1, 2)
    return MemoryTrainData(x, torch.arange(n) % 3, Space("points", (2,)), CPU, budget, **options)  # type: ignore[arg-type]


@given(st.integers(1, 200), st.integers(1, 50))
def test_exactly_the_budget_is_served(examples: int, batch_size: int) -> None:
    budget = Budget(examples)
    served = sum(len(b.x) for b in data(budget).batches(batch_size, seed=0))
    assert served == examples == budget.served


def test_an_epoch_serves_every_row_once_in_a_seeded_order() -> None:
    rows = [torch.cat([b.x[:, 0] for b in data(Budget(37)).batches(10, seed=s)]) for s in (1, 1, 2)]
    assert sorted(rows[0].tolist()) == list(range(37))
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


@given(st.integers(0, 9))
def test_start_continues_where_it_stopped(batches: int) -> None:
    whole = [b.x[:, 0] for b in data(Budget(90)).batches(10, seed=5)]
    budget = Budget(90)
    served = sum(len(x) for x in whole[:batches])
    budget.served = served
    rest = [b.x[:, 0] for b in data(budget).batches(10, seed=5, start=served)]
    assert [r.tolist() for r in rest] == [w.tolist() for w in whole[batches:]]


def test_labels_stay_with_their_rows() -> None:
    for x, y in data(Budget(100)).batches(7, seed=0):
        assert y is not None
        assert torch.equal(y, x[:, 0].long() % 3)


def test_reading_all_rows_is_noted_and_harmless() -> None:
    train = data(Budget(1))
    assert not train.raw_access
    train.x.zero_()
    assert train.raw_access
    assert float(train.x.sum()) > 0, "what a generator gets is a copy"


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        data(Budget(1)).batches(0, seed=0)


def test_a_stop_ends_serving() -> None:
    stopping = False
    train = data(Budget(1000), stop=lambda: stopping)
    batches = train.batches(10, seed=0)
    next(batches)
    stopping = True
    next(batches)  # the one after which it can save its state
    with pytest.raises(Stopped):
        next(batches)


def test_curves_are_means_over_slices_of_the_budget() -> None:
    budget = Budget(1000)
    run = HarnessRun(0, CPU, budget)
    for served in range(1, 1001):
        budget.served = served
        run.progress(loss=torch.tensor(float(served)), other=2.0)
    curve = run.curves["loss"]
    assert len(curve["value"]) == 200
    assert curve["examples"][0] == 5
    assert curve["value"][0] == pytest.approx(3.0)
    assert run.curves["other"]["value"][-1] == 2.0


def test_a_diverged_loss_is_a_gap_not_nan() -> None:
    budget = Budget(10, served=1)
    run = HarnessRun(0, CPU, budget)
    run.progress(loss=float("nan"))
    assert run.curves["loss"]["value"] == [None]


def test_a_checkpoint_brings_everything_back(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    budget = Budget(100, served=40)
    run = HarnessRun(0, CPU, budget, checkpoint_file=file, stop=lambda: True)
    run.progress(loss=1.5)
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    rng = torch.Generator().manual_seed(3)
    with pytest.raises(Stopped):
        run.checkpoint(lambda: {"optimizer": optimizer.state_dict(), "rng": rng.get_state()})
    fresh = HarnessRun(0, CPU, Budget(100), resume_file=file)
    state = fresh.restore()
    assert state is not None
    assert fresh.served == 40
    assert fresh.curves == run.curves
    again = torch.optim.Adam(net.parameters())
    again.load_state_dict(state["optimizer"])
    assert torch.equal(again.state_dict()["state"][0]["exp_avg"],
                       optimizer.state_dict()["state"][0]["exp_avg"])  # fmt: skip
    back = torch.Generator().set_state(state["rng"])
    assert torch.equal(torch.rand(3, generator=rng), torch.rand(3, generator=back))


def test_a_tensor_file_keeps_structure_and_refuses_code(tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    body = {"a": [torch.arange(3), 1.5, None, True], 7: {"text": "x"}, "empty": torch.zeros(0, 2)}
    tensorfile.save(file, body)
    back = tensorfile.load(file)
    assert back["a"][0].tolist() == [0, 1, 2]
    assert back["a"][1:] == [1.5, None, True]
    assert back[7] == {"text": "x"}
    assert back["empty"].shape == (0, 2)
    with pytest.raises(StoreError, match=r"state\.net is a Linear"):
        tensorfile.save(file, {"net": torch.nn.Linear(1, 1)})


def test_a_tensor_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()  # no file can be renamed over a folder
    with pytest.raises(StoreError, match="cannot write"):
        tensorfile.save(tmp_path / "t", {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_a_damaged_tensor_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(StoreError, match="cannot read"):
        tensorfile.load(tmp_path / "t")


def nested(depth: int) -> Any:
    body: Any = 1
    for _ in range(depth):
        body = [body]
    return body


SOUND = {"served": 40, "seconds": 1.0, "curves": {"loss": {"3": [1.0, 2]}}, "state": {"total": 1}}


def test_a_checkpoint_takes_a_twentieth_of_the_time_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes ten seconds is not written every thirty."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written: list[float] = []

    def save(self: HarnessRun, path: Path, body: object) -> None:
        written.append(now[0])
        now[0] += 10.0

    monkeypatch.setattr(HarnessRun, "_save", save)
    run = HarnessRun(0, CPU, Budget(10), checkpoint_file=tmp_path / "checkpoint.safetensors")
    for _ in range(100):
        now[0] += 10.0
        run.checkpoint(dict)
    assert written == [30.0, 240.0, 450.0, 660.0, 870.0]


@pytest.mark.parametrize(
    "change",
    [
        {"served": -40},
        {"served": 101},
        {"served": 1.5},
        {"served": "40"},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"seconds": 1e308},
        {"curves": {"loss": {"x": [1.0, 2]}}},
        {"curves": {"loss": {"3": [1.0, -2]}}},
        {"curves": {"loss": {"999999": [1.0, 2]}}},
        {"curves": {7: {"3": [1.0, 2]}}},
        {"curves": []},
        {"state": [1]},
        {"state": {"deep": nested(90)}},
        None,
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_checkpoint_that_is_not_ours_is_named_and_the_fit_starts_afresh(
    tmp_path: Path,
    change: dict[str, Any] | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(tensorfile, "DEEPEST", 500)
    tensorfile.save(file, {"other": 1} if change is None else SOUND | change)
    monkeypatch.undo()
    run = HarnessRun(0, CPU, Budget(100), resume_file=file)
    assert run.restore() is None
    assert (run.served, run.restored_from, run.seconds_before, run.curves) == (0, 0, 0.0, {})
    assert "starting afresh" in capsys.readouterr().err


def test_a_sound_checkpoint_is_restored(tmp_path: Path) -> None:
    tensorfile.save(tmp_path / "c", SOUND)
    run = HarnessRun(0, CPU, Budget(100), resume_file=tmp_path / "c")
    assert run.restore() == {"total": 1}
    assert run.served == 40


def test_a_state_with_other_keys_costs_the_checkpoint_and_not_the_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Split(np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32), None)
    tensorfile.save(tmp_path / "c", SOUND | {"state": {"strange": torch.zeros(2)}})
    ends = []
    for resume in (None, tmp_path / "c"):
        subject = GeneratorDriver(choice_of(Normal), Space("points", (2,)), CPU, cls=Normal)
        result = FitResult()
        subject.fit(rows, 100, 0, result, resume_file=resume)
        ends.append((subject.generator.state_dict()["mean"].tolist(), result.examples_served))
    assert ends[0] == ends[1]
    assert "starting afresh, not from the checkpoint: KeyError" in capsys.readouterr().err


def test_a_state_nested_too_deep_is_the_author_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nested deeper than 64: keep a flatter state"):
        tensorfile.save(tmp_path / "c", {"state": nested(70)})
