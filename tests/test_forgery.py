"""A cell holds what its generator did, whatever its generator wrote."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genbench.errors import ContractError
from genbench.generator import Space
from genbench.results.records import Record
from genbench.results.store import CHECKPOINT
from genbench.running.ledger import STATE, WORK, CellLedger, Ledger
from genbench.running.mass import impossible, masses
from genbench.running.wire import MessageReader, send
from genbench.system import confinement
from tests.conftest import PLUGINS, TINY, genbench
from tests.test_run import records

FORGER = ("run", "--suite", TINY, "--plugin", PLUGINS / "forger.py", "--no-controls",
          "--no-report")  # fmt: skip
landlock = pytest.mark.skipif(not confinement.level(), reason="needs Landlock (Linux)")


@pytest.fixture(scope="module", params=[pytest.param({}, marks=landlock),
                                        {"GENBENCH_LANDLOCK": "0"}],
                ids=["confined", "not confined"])  # fmt: skip
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Record]:
    """Every cell of the plugin, with Landlock and without.

    Without it the forgers reach the cells beside them too: then each runs alone.
    """
    folder = tmp_path_factory.mktemp("forged")
    env = {"FORGER": str(folder / "results"), **request.param}
    jobs = ("--jobs", 1) if request.param else ()
    done = genbench(*FORGER, *jobs, cwd=folder, env=env)
    assert done.code == 3, done.err
    return {name: record for (name, _), record in records(folder / "results").items()}


@pytest.mark.slow
def test_samples_are_those_of_sample_alone(found: dict[str, Record]) -> None:
    ghost = found["ghost"]
    assert ghost.status == "failed"
    assert ghost.metrics == {}
    assert "exit code 0 without a result" in ghost.error["message"]  # type: ignore[index]
    assert ghost.timing.get("fit_s") is None
    assert ghost.examples_served == 0


@pytest.mark.slow
def test_samples_that_were_changed_afterwards_are_not_scored(found: dict[str, Record]) -> None:
    meddler, honest = found["meddler"], found["honest"]
    if honest.environment["sandbox"] == "none" and meddler.status == "failed":
        assert "not what was drawn" in meddler.error["message"]  # type: ignore[index]
    else:  # its file was never written, or ours replaced it
        assert meddler.metrics["fid"].value == honest.metrics["fid"].value


@pytest.mark.slow
def test_who_writes_into_the_channel_fails_alone(found: dict[str, Record]) -> None:
    noisy = found["noisy-wire"]
    assert noisy.status == "failed"
    assert "no message of ours" in noisy.error["message"]  # type: ignore[index]
    assert found["honest"].status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("forgetful", "failed", "state_dict is incomplete"),
        ("boaster", "undefined", "at most 1 is possible"),
        ("mute", "failed", "no words"),
    ],
)
def test_a_likelihood_that_does_not_hold_costs_itself_alone(
    found: dict[str, Record], name: str, status: str, reason: str
) -> None:
    record, honest = found[name], found["honest"]
    assert record.status == "ok"
    assert record.metrics["nll"].status == status
    assert reason in str(record.metrics["nll"].reason)
    assert record.metrics["fid"].value == honest.metrics["fid"].value
    assert honest.metrics["nll"].status == "ok"


@pytest.mark.slow
def test_costs_are_measured_by_the_harness(found: dict[str, Record]) -> None:
    timing = found["honest"].timing
    for phase in ("fit", "sample"):
        assert 0 <= timing[f"{phase}_core_s"] <= timing[f"{phase}_s"] + 1


def points(n: int, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {"x": np.zeros((n, 2), dtype)}


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (points(11), "more than 10"),
        (points(5, np.float64), "expected float32"),
        ({"x": np.full((5, 2), np.nan, np.float32)}, "NaN"),
        ({"x": np.zeros((5, 3), np.float32)}, "of shape"),
        ({**points(5), "z": np.zeros(5)}, "nobody asked for"),
    ],
)
def test_rows_of_another_form_are_refused(arrays: dict[str, np.ndarray], told: str) -> None:
    ledger = Ledger(Space("points", (2,)), 10)
    ledger.phase("sample")
    with pytest.raises(ContractError, match=told):
        ledger.rows(arrays)


def test_rows_count_only_while_it_samples_and_only_if_all_are_there() -> None:
    ledger = Ledger(Space("points", (2,)), 10)
    ledger.phase("fit")
    with pytest.raises(ContractError, match="nobody asked for"):
        ledger.rows(points(10))
    ledger.phase("sample")
    ledger.rows(points(4))
    with pytest.raises(ContractError, match="4 rows, expected 10"):
        ledger.phase("state")
    assert ledger.samples is None


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\x02\x00\x00\x00{}", b"\x04\x00\x00\x00nope"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match="no message of ours"):
        list(MessageReader().feed(data))


def test_no_more_is_read_than_was_asked_for() -> None:
    """Whatever a process announces: the memory that hears it is the worker's."""
    ledger = Ledger(Space("points", (2,)), 10)
    header = json.dumps({"kind": "rows", "body": {}, "arrays": [["x", "<f8", [1 << 40]]]}).encode()
    with pytest.raises(ContractError, match="more than it was asked for"):
        list(MessageReader(ledger.most_bytes).feed(len(header).to_bytes(4, "little") + header))


def test_what_was_sent_may_be_written_to() -> None:
    """By whoever computes with it: torch warns of arrays that nobody may change."""
    ours, theirs = socket.socketpair()
    sent = {"x": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 4), np.float32)}
    with ours, theirs:
        send(ours, "rows", {"n": 2}, sent)
        (message,) = MessageReader().feed(theirs.recv(1 << 16))
    for name, array in sent.items():
        np.testing.assert_array_equal(message.arrays[name], array)
        assert message.arrays[name].flags.writeable
        assert message.arrays[name].dtype == array.dtype


def test_what_is_told_of_an_error_is_bounded() -> None:
    ledger = Ledger(Space("points", (2,)), 10)
    for _ in range(100):
        ledger.notes(["n" * 1000] * 100)
    ledger.no_log_probs("r" * (1 << 20))
    ledger.ended("failed", "E" * (1 << 20), "m" * (1 << 20), "t" * (1 << 20))
    assert len(json.dumps(vars(ledger.result))) < 1 << 18


@pytest.mark.parametrize("name", [CHECKPOINT, STATE])
def test_a_link_in_the_place_of_a_file_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not even if it is put there between the look and the move."""
    secret, work = tmp_path / "secret", tmp_path / WORK
    work.mkdir()
    secret.write_text("reference rows")
    ledger = CellLedger(tmp_path, Space("points", (2,)), 10)
    (work / name).symlink_to(secret)
    assert not ledger.take(name)
    monkeypatch.setattr(stat, "S_ISREG", _first(True, stat.S_ISREG))
    assert not ledger.take(name)
    assert not os.path.lexists(tmp_path / name)


def _first(answer: bool, then: Callable[[int], bool]) -> Callable[[int], bool]:
    answers = iter([answer])
    return lambda mode: next(answers, None) or then(mode)


@pytest.mark.parametrize(("likelihood", "fine"), [("lower-bound", True), ("exact", False)])
def test_a_noisy_bound_is_not_taken_for_its_exponential(likelihood: str, fine: bool) -> None:
    """A bound is right in the mean of its draws; the exponential of one draw is too large."""

    def log_prob(x: torch.Tensor, *, seed: int, labels: Any, draws: int) -> torch.Tensor:
        noise = torch.randn(len(x), generator=torch.Generator().manual_seed(seed % 2**63))
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
        return normal - 0.3 + 1.2 * noise

    subject: Any = SimpleNamespace(
        choice=SimpleNamespace(description=SimpleNamespace(likelihood=likelihood)),
        generator=SimpleNamespace(log_prob=log_prob),
        device=torch.device("cpu"),
    )
    rows = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    assert (impossible(masses(subject, rows, None, 0)) is None) == fine


def test_a_mass_over_one_is_impossible_beyond_its_error() -> None:
    assert impossible(np.array([0.97, 0.99, 1.01, 1.0])) is None
    assert impossible(np.array([0.2, 0.2, 0.2, 0.2])) is None, "the rest may lie elsewhere"
    assert impossible(np.array([0.2, 0.3, 9.0, 0.1])) is None, "too rough to tell"
    assert "integrates to 1.3" in str(impossible(np.array([1.29, 1.3, 1.31, 1.3])))
