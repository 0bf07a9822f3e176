"""Labels are names of classes: whatever the labels are, the classes are those that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from genbench.data.loading import load_split
from genbench.errors import DataError, UsageError
from genbench.tasks.new import NewSuite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.new.sources import npz_source
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import Command
from tests.test_external import kept, small, staged

N = 240
SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 2)


def images(kinds: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images whose kind 0, 1, 2 is written in their brightness."""
    noise = np.random.default_rng(seed).integers(0, 60, (len(kinds), 1, 8, 8))
    return (noise + 90 * kinds[:, None, None, None]).astype(np.uint8)


def kinds_of(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean((1, 2, 3)) // 90, np.int64)


def npz(path: Path, y: np.ndarray, seed: int = 0, kinds: np.ndarray | None = None) -> Path:
    kinds = np.arange(len(y)) % 3 if kinds is None else kinds
    np.savez(path, x=images(kinds, seed), y=y)
    return path


def suite_of(out: Path, **source: Any) -> tuple[NewSuite, Suite]:
    out.mkdir(exist_ok=True)
    found = new_suite("mine", folder=out, shares=(0.6, 0.2, 0.2), **source)
    return found, load_suite(str(out / "mine.toml"))


LABELS: list[tuple[list[Any], str, list[str]]] = [
    ([1, 2, 3], "int64", ["1", "2", "3"]),
    ([3, 7, 40], ">i4", ["3", "7", "40"]),
    ([-1, 0, 1], "int8", ["-1", "0", "1"]),
    ([9, 10, 100], "uint16", ["9", "10", "100"]),
    (["cat", "dog", "eel"], "U3", ["cat", "dog", "eel"]),
    (["cat", "dog", "eel"], "S3", ["cat", "dog", "eel"]),
]


class Labelled(NamedTuple):
    """A suite of an npz, and the labels that its kinds 0, 1 and 2 have there."""

    values: list[Any]
    dtype: str
    names: list[str]
    found: NewSuite
    suite: Suite


@pytest.fixture(scope="module", params=LABELS, ids=lambda labels: f"{labels[1]}-{labels[2][0]}")
def labelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    values, dtype, names = request.param
    folder = tmp_path_factory.mktemp("labelled")
    y = np.array([values[k % 3] for k in range(N)], dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_the_spot, "STEPS", 2)
        return Labelled(values, dtype, names, *suite_of(folder, npz=npz(folder / "a.npz", y)))


def test_classes_are_the_labels_that_are_there(labelled: Labelled) -> None:
    suite, names = labelled.suite, labelled.names
    assert suite.space.classes == 3
    assert suite.document["dataset"]["class_names"] == names
    assert f"3 classes: {', '.join(map(repr, names))}" in labelled.found.notes
    for name in SPLITS:
        part = load_split(suite.dataset, suite.space, name)  # type: ignore[arg-type]
        assert part.y is not None
        assert_array_equal(part.y, kinds_of(part.x))
    dropped = suite.document["controls"]["dropped_class"]
    valid = load_split(suite.dataset, suite.space, "valid").y
    assert valid is not None
    assert dropped in valid, "a class is dropped that is there"


def test_samples_are_labelled_by_the_names_of_classes(labelled: Labelled, tmp_path: Path) -> None:
    values, dtype, names, suite = labelled.values, labelled.dtype, labelled.names, labelled.suite
    kinds = np.array([2, 1] * 20)  # the first class is not among them
    given = np.array([values[k] for k in kinds], dtype)
    x = images(kinds, 1)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", given)
    text = [str(names[k]) for k in kinds]
    (tmp_path / "y.txt").write_text("\n".join(text))
    for i, (image, name) in enumerate(zip(x, text, strict=True)):
        path = tmp_path / "folder" / name / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    ways: list[tuple[Any, dict[str, Any]]] = [
        ((x, given), {}),
        (tmp_path / "x.npy", {"labels": tmp_path / "y.npy"}),
        (tmp_path / "x.npy", {"labels": tmp_path / "y.txt"}),
        (tmp_path / "folder", {}),
    ]
    for samples, options in ways:
        found = staged(samples, small(40, suite), tmp_path, **options)
        rows = kept(found, tmp_path)
        assert_array_equal(rows["y"], kinds_of(rows["x"]), err_msg=str(options or samples))
        assert set(rows["y"]) == {1, 2}


def test_numbers_from_0_up_are_what_they_were(tmp_path: Path) -> None:
    """Such suites keep their hash: nothing but the names is written, which is in none."""
    y = np.arange(N) % 3
    _, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", y))
    assert suite.document["dataset"]["class_names"] == ["0", "1", "2"]
    assert "options" not in suite.document["dataset"]
    assert "reader" not in suite.document["dataset"] or suite.document["dataset"]["reader"] > 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1] * 20), "labels '0', '1' are no class of mine: its classes are 3, 7, 40"),
        (np.array([3, 41, 42, 43] * 10), r"labels '41', '42', '43' are no class"),
        (np.array(["x"] * 40), "label 'x' is no class"),
        (np.array([3.0] * 40), r"array y is float64, expected int64 labels or texts: save y.as"),
    ],
)
def test_labels_that_are_no_class_are_named(y: np.ndarray, message: str, tmp_path: Path) -> None:
    own = np.array([(3, 7, 40)[k % 3] for k in range(N)])
    _, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", own))
    with pytest.raises(DataError, match=message):
        staged((images(np.zeros(40, int)), y), small(40, suite), tmp_path)
    told = staged((images(np.zeros(40, int)), np.full(40, 7)), small(40, suite), tmp_path).notes
    assert told == ("labels are names of classes: its classes are 3, 7, 40",)


def test_the_labels_of_the_data_stay_names_of_renamed_classes(tmp_path: Path) -> None:
    own = np.array([(3, 7, 40)[k % 3] for k in range(N)])
    suite_of(tmp_path, npz=npz(tmp_path / "a.npz", own))
    toml = tmp_path / "mine.toml"
    text = toml.read_text()
    assert text.count('class_names = ["3", "7", "40"]') == 1
    toml.write_text(text.replace('class_names = ["3", "7", "40"]', 'class_names = ["a", "b", "c"]'))
    suite = load_suite(str(toml))
    for labels in (np.full(40, 7), np.full(40, "b")):
        found = staged((images(np.full(40, 1)), labels), small(40, suite), tmp_path)
        assert_array_equal(kept(found, tmp_path)["y"], np.full(40, 1))
    with pytest.raises(DataError, match="label '1' is no class of mine"):
        staged((images(np.full(40, 1)), np.full(40, 1)), small(40, suite), tmp_path)


def test_what_synthesize_wrote_is_labelled_by_position(tmp_path: Path) -> None:
    own = np.array([1 + k % 3 for k in range(N)])
    _, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", own))
    kinds = np.array([2, 1] * 20)  # read as names these would be the classes before
    np.savez(tmp_path / "data.npz", x_train=images(kinds), y_train=kinds)
    rows = kept(staged(tmp_path / "data.npz", small(40, suite), tmp_path), tmp_path)
    assert_array_equal(rows["y"], kinds)


def test_numbers_for_classes_without_numbers_are_positions_and_that_is_told(tmp_path: Path) -> None:
    y = np.array([("cat", "dog", "eel")[k % 3] for k in range(N)])
    _, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", y))
    found = staged((images(np.full(40, 1)), np.full(40, 1)), small(40, suite), tmp_path)
    assert found.notes == ("labels 0, 1, ... are read in the order cat, dog, eel",)
    assert_array_equal(kept(found, tmp_path)["y"], np.full(40, 1))
    with pytest.raises(DataError, match="label '3' is no class of mine"):
        staged((images(np.full(40, 1)), np.full(40, 3)), small(40, suite), tmp_path)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(N), "y holds 240 different labels for 240 rows: leave y out"),
        (np.arange(N) / 3, r"y is float64, expected int64 labels or texts: save y.astype"),
        (np.eye(3)[np.arange(N) % 3], r"one label per row: of one-hot rows save y.argmax\(1\)"),
        (np.arange(N)[:, None] % 3, r"one label per row: save y.reshape\(-1\)"),
        (np.array(["\ud800", "b", "c"])[np.arange(N) % 3], "y holds a text that is no Unicode"),
        (np.arange(N - 1) % 3, "y has 239 labels, x 240 rows"),
    ],
)
def test_labels_that_cannot_be_classes_are_refused(
    y: np.ndarray, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        suite_of(tmp_path, npz=npz(tmp_path / "a.npz", y, kinds=np.arange(N) % 3))


def test_a_single_class_is_no_label(tmp_path: Path) -> None:
    found = npz_source("mine", npz(tmp_path / "a.npz", np.full(N, 5)), tmp_path)
    assert found.space.classes == 0
    assert "no labels: all rows are of class '5'" in found.notes


def test_an_altered_list_of_labels_is_named(tmp_path: Path) -> None:
    y = np.array([(3, 7, 40)[k % 3] for k in range(N)])
    _, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", y))
    for labels, message in (
        (["3", "7", "41"], "has the label '40', which is none of"),
        (["3", "7"], "name each of its 3 classes once"),
    ):
        dataset = {**suite.dataset, "options": {"labels": labels}}
        with pytest.raises((DataError, UsageError), match=message):
            load_split(dataset, suite.space, "train")


def test_a_class_of_bad_images_alone_is_left_out_and_told(tmp_path: Path) -> None:
    kinds = np.arange(N) % 3
    for i, (image, kind) in enumerate(zip(images(kinds), kinds, strict=True)):
        path = tmp_path / "photos" / str(kind + 1) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
        if kind == 0:
            path.write_bytes(b"no image")
    found, suite = suite_of(tmp_path, images=tmp_path / "photos", skip_bad=True)
    assert suite.document["dataset"]["class_names"] == ["2", "3"]
    assert suite.space.classes == 2
    assert "class '1' has no image that can be used: it is left out" in found.notes
    part = load_split(suite.dataset, suite.space, "train")
    assert part.y is not None
    assert_array_equal(part.y + 1, kinds_of(part.x))


def test_mode_dropped_drops_a_class_that_the_splits_hold(tmp_path: Path) -> None:
    y = np.where(np.arange(N) == 0, 0, 1 + np.arange(N) % 2)  # one row of class 0
    found, suite = suite_of(tmp_path, npz=npz(tmp_path / "a.npz", y, kinds=np.minimum(y, 2)))
    valid = load_split(suite.dataset, suite.space, "valid").y
    assert valid is not None
    assert suite.document["controls"]["dropped_class"] in valid
    assert sum(note.startswith("class '0' has no row in the") for note in found.notes) == 2


@pytest.mark.slow
def test_dropping_a_class_shows_where_labels_begin_at_1(
    run_genbench: Command, tmp_path: Path
) -> None:
    npz(tmp_path / "d.npz", 1 + np.arange(450) % 3)
    assert run_genbench("new", "suite", "one", "--npz", "d.npz").code == 0
    done = run_genbench("score", "d.npz", "--suite", "./one.toml", "--profile", "smoke",
                        "--no-report", "--json")  # fmt: skip
    assert done.code == 0, done.err
    fid = {line["generator"]: line["metrics"]["fid"]["value"] for line in done.lines}
    assert fid["mode-dropped"] > 2 * fid["heldout"] + 1
    assert "labels are names of classes: its classes are 1, 2, 3" in done.err
