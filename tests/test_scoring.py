"""From samples to the values of a record: every metric of the suite has one, or a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genbench.data import load_split
from genbench.errors import DataError
from genbench.features import Features
from genbench.features.extractors import INCEPTION, load_extractor
from genbench.features.published import PUBLISHED
from genbench.generator import Space
from genbench.metrics.values import MetricValue
from genbench.running.cellspec import CellSpec
from genbench.running.scoring import Scorer
from genbench.tasks.suite import load_suite
from tests.conftest import TINY
from tests.test_plan import choice


def scored(folder: Path, *metrics: dict[str, Any]) -> dict[str, MetricValue]:
    """The values of a normal's samples on the tiny suite with these metrics."""
    suite = load_suite(str(TINY))
    suite = replace(suite, document={**suite.document, "metrics": list(metrics)})
    spec = CellSpec(folder, folder / "cache", "key", suite, choice(), 0, parts=("metrics",))
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    return Scorer(spec, {"x": x}, {}, None, {}, lambda what: None).score()


def test_two_ids_of_one_metric_in_one_feature_space_are_two_values(tmp_path: Path) -> None:
    found = scored(
        tmp_path, {"id": "precision"}, {"id": "precision@identity", "k": 7}, {"id": "fid"}
    )
    assert list(found) == ["precision", "precision@identity", "fid"]
    assert found["precision"].value != found["precision@identity"].value
    assert "|k=7|" in found["precision@identity"].signature


def test_a_metric_against_another_split_is_another_value_and_says_so(tmp_path: Path) -> None:
    suite = load_suite(str(TINY))
    data = suite.document["dataset"]
    split = {**data["split"], "other": {"n": 250, "seed": 77}}
    asked = [{"id": "precision"}, {"id": "precision:other"}, {"id": "emd@identity:other"}]
    document = {**suite.document, "dataset": {**data, "split": split}, "metrics": asked}
    spec = CellSpec(
        tmp_path, tmp_path / "cache", "key", replace(suite, document=document), choice(), 0,
        parts=("metrics",),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    found = Scorer(spec, {"x": x}, {}, None, {}, lambda what: None).score()
    assert found["precision"].value != found["precision:other"].value
    assert found["precision"].signature.endswith("|reference=test")
    assert found["precision:other"].signature.endswith("|reference=other")
    assert "|ref=250|" in found["precision:other"].signature
    assert found["emd@identity:other"].status == "ok"


def test_weights_that_cannot_be_read_are_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    weights = tmp_path / "inception.pth"
    weights.write_bytes(b"")
    monkeypatch.setenv(PUBLISHED[INCEPTION].variable, str(weights))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="Permission denied: make the file readable") as told:
        load_extractor(INCEPTION, Space("image", (3, 8, 8), levels=256))
    assert str(weights) in str(told.value)


def test_a_class_that_is_missing_is_called_by_its_name(tmp_path: Path) -> None:
    suite = load_suite(str(TINY.with_name("tiny-images.toml")))
    names = [f"kind {c}" for c in range(suite.space.classes)]
    dataset = {**suite.document["dataset"], "class_names": names}
    document = {**suite.document, "dataset": dataset, "metrics": [{"id": "fid_per_class"}]}
    suite = replace(suite, document=document)
    test = load_split(suite.dataset, suite.space, "test")
    keep = test.y != 1
    samples = {"x": test.x[keep], "y": test.y[keep]}  # type: ignore[index]
    spec = CellSpec(tmp_path, tmp_path / "cache", "key", suite, choice(), 0, parts=("metrics",))
    found = Scorer(spec, samples, {}, None, {}, lambda what: None).score()["fid_per_class"]
    assert found.reason == "fewer than two real or generated rows of class kind 1"


class Counting:
    """An extractor of means by row and by column that counts the rows it has seen."""

    identity, sha256, extracted = "counting@1", "0" * 64, 0

    def extract(self, x: Any, device: str = "cpu") -> Features:
        self.extracted += len(x)
        mean = x.astype(np.float32).mean(1)
        return Features(np.concatenate([mean.mean(1), mean.mean(2)], 1), None)


def test_no_row_s_features_are_extracted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = Counting()
    monkeypatch.setattr("genbench.running.cell_rows.load_extractor", lambda *_: extractor)
    suite = load_suite(str(TINY.with_name("tiny-images.toml")))
    asked = [{"id": "fid"}, {"id": "precision:valid"}, {"id": "c_t"}]
    suite = replace(suite, document={**suite.document, "metrics": asked})
    sizes = [len(load_split(suite.dataset, suite.space, s).x) for s in ("train", "valid", "test")]
    spec = CellSpec(tmp_path, tmp_path / "cache", "key", suite, choice(), 0, parts=("metrics",))

    def look(x: Any) -> None:
        scorer = Scorer(spec, {"x": x}, {}, None, {}, lambda what: None)
        assert scorer.score()["fid"].status == "ok"
        assert set(scorer.copies()["valid"]) == {"exact", "near"}

    x = np.random.default_rng(0).integers(0, 17, (90, *suite.space.shape)).astype(np.uint8)
    look(x)
    assert extractor.extracted == sum(sizes) + 90
    look(x[::-1].copy())  # another cell: only its samples are new
    assert extractor.extracted == sum(sizes) + 180
