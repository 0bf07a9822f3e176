"""Augmentation, imbalance and robustness from end to end, with planted generators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genbench.data.loading import load_split
from genbench.results.records import Record
from genbench.tasks.suite import load_suite
from tests.conftest import HERE, PLUGINS, Command, genbench, glance
from tests.test_run import records

pytestmark = pytest.mark.slow
IMAGES = HERE / "tiny-images.toml"
PARROT = ("--suite", IMAGES, "--plugin", PLUGINS / "parrot.py", "--no-report")
DOWNSTREAM = ("augmentation_gain", "imbalance_recall", "robust_accuracy")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of all planted generators; the parrot keeps a diary."""
    folder = tmp_path_factory.mktemp("utility")
    (folder / "diary").mkdir()
    names = ["mute", "own", "worldly", "fragile", f"parrot:diary={folder / 'diary'}"]
    chosen = [part for name in names for part in ("-g", name)]
    done = genbench("run", *PARROT, "--no-sandbox", *chosen, cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def found(home: Path) -> dict[str, Record]:
    return {name: record for (name, _), record in records(home / "results").items()}


def points(record: Record, arm: str) -> list[dict[str, Any]]:
    return [p for p in record.metrics["augmentation_gain"].details["points"] if p["arm"] == arm]


def test_a_copier_gains_nothing_beyond_noise(found: dict[str, Record]) -> None:
    added = points(found["parrot"], "real+synthetic")
    assert [(p["n"], p["ratio"]) for p in added] == [(40, 1), (40, 2), (80, 1), (80, 2)]
    assert {p["verdict"] for p in added} == {"no evidence"}
    value = found["parrot"].metrics["augmentation_gain"]
    headline = added[-1]["gain"]
    assert value.value == pytest.approx(100 * headline["mean"])
    assert value.interval.low == pytest.approx(100 * headline["low"])
    assert value.interval.low < 0 < value.interval.high


def test_arms_are_paired_and_all_there(found: dict[str, Record]) -> None:
    for p in points(found["parrot"], "real+synthetic"):
        (real,) = [q for q in points(found["parrot"], "real") if q["n"] == p["n"]]
        gains = np.subtract(p["accuracies"], real["accuracies"])
        assert len(gains) == 3
        assert p["gain"]["mean"] == pytest.approx(gains.mean())
    arms = {p["arm"] for p in found["parrot"].metrics["augmentation_gain"].details["points"]}
    assert arms == {
        "real", "real+synthetic", "real+classical", "real+synthetic+classical", "synthetic"
    }  # fmt: skip


def test_the_suite_says_on_how_many_rows_the_arms_are_tested(found: dict[str, Record]) -> None:
    value = found["parrot"].metrics["augmentation_gain"]
    assert value.signature.endswith("|reference=test:250")
    for point in value.details["points"]:
        counts = 250 * np.array(point["accuracies"])
        assert counts == pytest.approx(counts.round())


def test_arms_without_synthetic_rows_are_the_same_for_every_generator(
    found: dict[str, Record],
) -> None:
    for arm in ("real", "real+classical"):
        assert points(found["parrot"], arm) == points(found["mute"], arm)


def test_each_refit_saw_exactly_its_rows(home: Path) -> None:
    """The generator wrote down what it was handed; every row is one of the train split's."""
    suite = load_suite(str(IMAGES))
    train = load_split(suite.dataset, suite.space, "train")
    known = {row.tobytes() for row in train.x}
    fits = [torch.load(path, weights_only=True) for path in (home / "diary").iterdir()]
    sizes = sorted(len(fit["x"]) for fit in fits)
    # Three replicates at either n, and two with 80 rows of which two classes are cut to one row.
    assert sizes[-1] == 1000
    assert sizes.count(40) == 3
    assert sizes.count(80) == 3
    assert len(sizes) == 9
    drawn = set()
    for fit in fits:
        rows = [row.numpy().tobytes() for row in fit["x"]]
        assert set(rows) <= known
        counts = np.bincount(fit["y"], minlength=10)
        if len(rows) in (40, 80):
            assert fit["budget"] == 200
            assert counts.min() >= len(rows) // 10 - 1
            drawn.add(frozenset(rows))
        elif len(rows) < 1000:
            assert counts[8] == counts[9] == 1
    assert len(drawn) == 6


def test_labels_come_from_the_real_arm_where_the_generator_has_none(
    found: dict[str, Record],
) -> None:
    mute, own = (found[name].metrics["augmentation_gain"] for name in ("mute", "own"))
    assert mute.details["labels"] == "classifier"
    assert 0 < mute.details["rejected"] < 1
    assert mute.signature.endswith("|labels=classifier>=0.99")
    assert own.details["labels"] == "generator"
    assert own.details["rejected"] is None


def test_who_saw_other_data_is_left_out_with_the_reason(found: dict[str, Record]) -> None:
    for name in DOWNSTREAM:
        worldly, control = found["worldly"].metrics[name], found["heldout"].metrics[name]
        assert worldly.status == control.status == "not_applicable"
        assert worldly.reason == "saw other data: the internet"
    assert found["worldly"].metrics["tstr_accuracy"].status == "ok"


def test_a_refit_that_fails_fails_these_metrics_alone(found: dict[str, Record]) -> None:
    fragile = found["fragile"]
    assert fragile.status == "ok"
    assert fragile.metrics["pixel_fid"].status == "ok"
    gain = fragile.metrics["augmentation_gain"]
    assert gain.status == "failed"
    assert gain.reason == (
        "augmentation, n = 40, replicate 1 of 3: RuntimeError: 40 rows are not enough for me"
    )


def test_filling_up_is_told_beside_the_usual_remedies(found: dict[str, Record]) -> None:
    value = found["parrot"].metrics["imbalance_recall"]
    details = value.details
    assert set(details["arms"]) == {"as it is", "oversampled", "class weights", "filled"}
    assert value.value == pytest.approx(np.mean(details["arms"]["filled"]["recall"]))
    assert details["counts"] == [{"rare": 2, "lacking": 14, "filled": 14}] * 2
    # Copies of the same rows are oversampling by another name.
    assert details["gains"]["oversampled"]["verdict"] == "no evidence"


def test_attacks_lower_the_accuracy_of_the_same_classifiers(found: dict[str, Record]) -> None:
    record = found["parrot"]
    arms = record.metrics["robust_accuracy"].details["arms"]
    for arm in ("real", "real+synthetic"):
        clean, fgsm, pgd = (np.mean(arms[arm][k]) for k in ("clean", "fgsm", "pgd"))
        assert pgd <= fgsm < clean
    assert record.metrics["robust_accuracy"].value == pytest.approx(
        np.mean(arms["real+synthetic"]["pgd"])
    )


def test_another_seed_of_the_cell_repeats_no_refit(home: Path) -> None:
    before = set((home / "results" / ".cache" / "refits").iterdir())
    done = genbench("run", *PARROT, "-g", "own", "--seeds", "0,1", cwd=home)
    assert done.code == 0, done.err
    assert set((home / "results" / ".cache" / "refits").iterdir()) == before
    found = records(home / "results")
    for name in DOWNSTREAM:
        assert found["own", 1].metrics[name].value == found["own", 0].metrics[name].value


def test_parts_can_be_left_out_and_added_later(run_genbench: Command, tmp_path: Path) -> None:
    run = ("run", "--suite", glance(tmp_path), *PARROT[2:], "-g", "own", "--no-controls")
    assert run_genbench(*run, "--skip", "downstream").code == 0
    (first,) = records(tmp_path / "results").values()
    assert set(first.metrics) == {"pixel_fid"}
    assert set(first.cell["suite"]["scoring"]) == {"metrics"}
    done = run_genbench(*run)
    assert done.code == 0, done.err
    (second,) = records(tmp_path / "results").values()
    assert second.attempt["n"] == 2
    assert second.metrics["pixel_fid"].to_json() == first.metrics["pixel_fid"].to_json()
    assert set(second.metrics) > set(DOWNSTREAM)
    assert "0 to do" in run_genbench(*run).err
    assert "0 to do" in run_genbench(*run, "--only", "downstream").err


def test_downstream_alone_keeps_what_is_stored(run_genbench: Command, tmp_path: Path) -> None:
    run = ("run", "--suite", glance(tmp_path), *PARROT[2:], "-g", "own", "--no-controls")
    done = run_genbench(*run, "--only", "downstream")
    assert done.code == 0, done.err
    (first,) = records(tmp_path / "results").values()
    assert "pixel_fid" not in first.metrics
    refits = sorted((tmp_path / "results" / ".cache" / "refits").iterdir())
    assert refits
    assert run_genbench(*run).code == 0
    (second,) = records(tmp_path / "results").values()
    assert second.metrics["pixel_fid"].status == "ok"
    for name in DOWNSTREAM:
        assert second.metrics[name].to_json() == first.metrics[name].to_json()
    assert sorted((tmp_path / "results" / ".cache" / "refits").iterdir()) == refits
