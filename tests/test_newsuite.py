"""A suite from one's own data: no leaks, checked files, an extractor; and it runs."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from genbench import extensions
from genbench.data import Split, load_split, verify_files
from genbench.errors import DataError, GenbenchError, PluginError, UsageError
from genbench.external import samples_path, stage
from genbench.features import Features, extractor_problems, load_extractor
from genbench.generator import Space
from genbench.newsuite import NewSuite, new_suite
from genbench.newsuite import extractor as on_the_spot
from genbench.npzfile import load_arrays
from genbench.store import CACHE, Store
from genbench.suite import Suite, load_suite
from tests.conftest import Command

N = 300


def pictures(folder: Path, n: int = N, classes: int = 3, size: int = 8, seed: int = 0) -> Path:
    """`n` different images whose class is written in their brightness; one folder per class."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        label = i % classes
        pixels = rng.integers(0, 60, (size, size)) + 90 * label
        path = folder / f"class{label}" / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def table_of(folder: Path, n: int = N, seed: int = 0) -> Path:
    x = np.random.default_rng(seed).normal(size=(n, 2))
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(",".join(map(repr, row)) for row in x.tolist())
    (folder / "orbits.csv").write_text("mass,radius\n" + lines + "\n")
    return folder / "orbits.csv"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 60)


def splits(suite: Suite) -> dict[str, Split]:
    names = ("train", "valid", "test")
    return {name: load_split(suite.dataset, suite.space, name) for name in names}  # type: ignore[arg-type]


def problems_of(suite: Suite) -> list[str]:
    return extractor_problems(suite.extractors_asked, suite.space, suite.extractors)


def made(path: Path, **options: Any) -> tuple[NewSuite, Suite]:
    path.mkdir(exist_ok=True)
    found = new_suite("mine", folder=path, **options)
    return found, load_suite(str(path / "mine.toml"))


def test_a_folder_of_images_becomes_a_suite(tmp_path: Path, quick: None) -> None:
    found, suite = made(tmp_path / "out", images=pictures(tmp_path / "out" / "photos"))
    assert suite.space == Space("image", (1, 8, 8), levels=256, classes=3)
    parts = splits(suite)
    assert {name: len(part.x) for name, part in parts.items()} == found.rows
    assert sum(found.rows.values()) == N
    assert found.rows["train"] > 0.7 * N
    assert suite.document["dataset"]["folder"] == "photos", "relative: the two can be moved"
    assert suite.document["dataset"]["class_names"] == ["class0", "class1", "class2"]
    for part in parts.values():
        assert part.y is not None
        assert_array_equal(part.x.mean((1, 2, 3)) // 90, part.y)
    assert all(check.ok for check in verify_files(suite.dataset))
    assert len(verify_files(suite.dataset)) == N + 1
    extractor = load_extractor(suite.extractor, suite.space, suite.extractors)
    probabilities = extractor.extract(parts["test"].x).probabilities
    assert probabilities is not None
    share = (probabilities.argmax(1) == parts["test"].y).mean()
    assert share == pytest.approx(suite.extractors[0]["accuracy"], abs=1e-4)
    assert share > 0.8
    assert problems_of(suite) == []


def test_copies_lie_in_one_split_and_are_told(tmp_path: Path, quick: None) -> None:
    photos = pictures(tmp_path / "photos")
    for i in range(0, 90, 3):  # the same pixels under another name, in another encoding
        image = Image.open(photos / "class0" / f"{i:04}.png")
        image.save(photos / "class0" / f"copy-{i}.webp", lossless=True)
    image = Image.open(photos / "class0" / "0000.png")
    image.save(photos / "class1" / "wrong.png")
    found, suite = made(tmp_path / "out", images=photos)
    assert "61 rows are exact copies in 30 groups: each group is in one split" in found.notes
    assert "1 groups of copies carry different labels: correct them" in found.notes
    contents = {name: {row.tobytes() for row in part.x} for name, part in splits(suite).items()}
    assert not contents["train"] & contents["test"]
    assert not contents["train"] & contents["valid"]
    assert not contents["valid"] & contents["test"]


def test_rows_added_later_move_no_other(tmp_path: Path) -> None:
    _, before = made(tmp_path / "a", csv=table_of(tmp_path / "a", 300))
    _, after = made(tmp_path / "b", csv=table_of(tmp_path / "b", 400))
    test = {row.tobytes() for row in splits(before)["test"].x}
    assert test
    assert test <= {row.tobytes() for row in splits(after)["test"].x}


def test_points_of_a_csv_and_of_an_npz(tmp_path: Path) -> None:
    table = table_of(tmp_path / "data")
    with table.open() as stream:
        x = np.array(list(csv.reader(stream))[1:], np.float32)
    np.savez(tmp_path / "orbits.npz", x=x)
    found, by_csv = made(tmp_path / "a", csv=table)
    assert found.notes[-1].startswith(f"the suite names its data by {tmp_path}")
    _, by_npz = made(tmp_path / "b", npz=tmp_path / "orbits.npz")
    assert by_csv.space == by_npz.space == Space("points", (2,))
    assert by_csv.primary == "emd"
    for name, part in splits(by_csv).items():
        assert_array_equal(part.x, splits(by_npz)[name].x)
    assert by_csv.document["dataset"]["folder"] == str((tmp_path / "data").resolve())


def test_labelled_images_of_an_npz(tmp_path: Path, quick: None) -> None:
    y = np.arange(300) % 3
    noise = np.random.default_rng(0).integers(0, 60, (300, 3, 9, 11))
    x = (noise + 90 * y[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    _, suite = made(tmp_path / "out", npz=tmp_path / "a.npz")
    assert suite.space == Space("image", (3, 9, 11), levels=256, classes=3)
    for part in splits(suite).values():
        assert part.y is not None
        assert_array_equal(part.x.mean((1, 2, 3)) // 90, part.y)
    assert load_extractor(suite.extractor, suite.space, suite.extractors).name == "mine-cnn"


def test_samples_are_labelled_by_the_names_of_the_classes(tmp_path: Path, quick: None) -> None:
    _, suite = made(tmp_path / "out", images=pictures(tmp_path / "photos"))
    samples = pictures(tmp_path / "samples", 20, seed=1)
    found = stage(samples, suite, None, Store(tmp_path / "results"))
    cache = tmp_path / "results" / CACHE
    rows = load_arrays(samples_path(cache, found.choice.description.source))
    assert_array_equal(rows["x"].mean((1, 2, 3)) // 90, rows["y"])
    assert set(rows["y"]) == {0, 1, 2}


def test_folders_called_train_and_test_are_split_anew(tmp_path: Path, quick: None) -> None:
    pictures(tmp_path / "photos" / "train", 200)
    pictures(tmp_path / "photos" / "test", 100, seed=1)
    found, suite = made(tmp_path / "out", images=tmp_path / "photos")
    assert "folders test, train are read as one set and split anew" in found.notes
    assert suite.space.classes == 3


def altered_table(path: Path) -> None:
    file = path / "mine.files.csv"
    file.write_text(file.read_text().replace("class0/0000.png", "../0000.png"))
    toml = path / "mine.toml"  # a table that was forged together with its checksum
    import hashlib

    old = tomllib.loads(toml.read_text())["dataset"]["files"][0]["sha256"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    toml.write_text(toml.read_text().replace(old, digest))


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda p: (p / "photos/class0/0000.png").unlink(), "cannot be read: No such file"),
        (
            lambda p: shutil.copy(p / "photos/class1/0001.png", p / "photos/class0/0000.png"),
            "0000.png has sha256",
        ),
        (lambda p: (p / "mine.files.csv").write_text("path\n"), "mine.files.csv has 5 bytes"),
        (altered_table, "lists '../0000.png', which leaves the folder"),
    ],
)
def test_suite_check_names_what_was_altered(
    alter: Any, message: str, tmp_path: Path, quick: None
) -> None:
    _, suite = made(tmp_path / "out", images=pictures(tmp_path / "out" / "photos"))
    alter(tmp_path / "out")
    suite = load_suite(str(tmp_path / "out" / "mine.toml"))
    problems = [check.problem for check in verify_files(suite.dataset) if not check.ok]
    assert len(problems) == 1
    assert message in problems[0]


def test_an_altered_extractor_is_named(tmp_path: Path, quick: None) -> None:
    _, suite = made(tmp_path / "out", images=pictures(tmp_path / "photos"))
    path = Path(suite.extractors[0]["path"])
    path.write_bytes(path.read_bytes() + b"x")
    (problem,) = problems_of(suite)
    assert "mine-cnn-1.safetensors have sha256" in problem
    with pytest.raises(DataError, match=r"mine-cnn-1.safetensors have sha256"):
        load_extractor(suite.extractor, suite.space, suite.extractors)


def loose(path: Path) -> dict[str, Any]:
    photos = pictures(path / "photos", 30)
    shutil.copy(photos / "class0" / "0000.png", photos / "loose.png")
    return {"images": photos}


def odd(path: Path) -> dict[str, Any]:
    photos = pictures(path / "photos", 30)
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(photos / "class0" / "odd.png")
    (photos / "class1" / "empty.png").write_bytes(b"")
    return {"images": photos}


def unlabelled(path: Path) -> dict[str, Any]:
    photos = pictures(path / "photos", 300, classes=1)
    return {"images": photos, "extractor": "train"}


def bad_csv(text: str) -> Any:
    def write(path: Path) -> dict[str, Any]:
        (path / "bad.csv").write_text(text)
        return {"csv": path / "bad.csv"}

    return write


def bad_npz(**arrays: Any) -> Any:
    def write(path: Path) -> dict[str, Any]:
        np.savez(path / "bad.npz", **arrays)
        return {"npz": path / "bad.npz"}

    return write


IMAGES = np.zeros((300, 1, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (loose, "1 images lie outside the class folders"),
        (odd, "class0/odd.png is 8 x 9, the suite has 8 x 8"),
        (odd, "class1/empty.png is empty"),
        (unlabelled, "no labelled images to train an extractor on"),
        (lambda p: {"images": pictures(p / "few", 30)}, "are too few: the splits would hold"),
        (lambda p: {"images": p / "nowhere"}, "no folder of images at"),
        (bad_csv("a,b\n1,2\n3,x\n"), "bad.csv, line 3, column 'b': 'x' is no finite number"),
        (bad_csv("1,2\n3,nan\n"), "bad.csv, line 2, column 2: 'nan' is no finite number"),
        (bad_csv("1,2\n3\n"), "bad.csv, line 2: 1 columns, expected 2"),
        (bad_csv("a,b\n"), "bad.csv has no rows of numbers"),
        (bad_npz(z=IMAGES), "bad.npz has no array 'x' (it holds z): name it x"),
        (bad_npz(x=IMAGES / 2), "x is float64 of shape (300, 1, 8, 8): save images as uint8"),
        (bad_npz(x=IMAGES, y=np.ones(3)), "y is float64 of shape (3,), expected labels"),
        (lambda p: {}, "give exactly one of --images DIR, --npz FILE and --csv FILE"),
    ],
)
def test_faults_of_the_data_are_named_and_nothing_is_left(
    make: Any, message: str, tmp_path: Path, quick: None
) -> None:
    options = make(tmp_path)
    with pytest.raises(GenbenchError) as error:
        made(tmp_path / "out", **options)
    assert message in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_that_cannot_be_used_or_are_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'My Suite' is not usable"):
        new_suite("My Suite", csv=table_of(tmp_path))
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(UsageError, match=r"mine.toml is there already"):
        new_suite("mine", csv=table_of(tmp_path), folder=tmp_path)


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        ("mnist-cnn", "extractor 'mnist-cnn' reads image, the suite has points: choose another"),
        ("identiti", "there is no extractor 'identiti': did you mean 'identity'"),
    ],
)
def test_an_extractor_that_cannot_be_used_is_named(
    extractor: str, message: str, tmp_path: Path
) -> None:
    made(tmp_path / "out", csv=table_of(tmp_path / "out"))
    path = tmp_path / "out" / "mine.toml"
    path.write_text(path.read_text().replace('"identity"', f'"{extractor}"'))
    (problem,) = problems_of(load_suite(str(path)))
    assert message in problem


# What packages add.


class MeanAndSpread:
    """An extractor of somebody's: two numbers per image."""

    name, version, sha256, identity = "two-numbers", "1", "", "two-numbers/1"

    def __init__(self, space: Space) -> None:
        self.space = space

    def extract(self, x: Any, *, device: Any = "cpu", batch_size: int = 1000) -> Features:
        rows = np.asarray(x, np.float32).reshape(len(x), -1)
        return Features(np.stack([rows.mean(1), rows.std(1)], axis=1), None)


class Entry:
    """An installed package's entry point."""

    dist = None

    def __init__(self, name: str, found: Any) -> None:
        self.name, self.found, self.value = name, found, f"somewhere:{name}"

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def install(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(extensions.metadata, "entry_points", lambda group: list(entries))


def test_an_extractor_of_a_package_serves_a_new_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("two-numbers", MeanAndSpread))
    found, suite = made(
        tmp_path / "out", images=pictures(tmp_path / "photos", classes=1), extractor="two-numbers"
    )
    assert suite.extractor == "two-numbers"
    assert "no labels: all images lie in 'class0'" in found.notes
    extractor = load_extractor(suite.extractor, suite.space, suite.extractors)
    assert extractor.extract(splits(suite)["test"].x).features.shape[1] == 2


class Nameless:
    def __init__(self, space: Space) -> None:
        self.name = "other"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry("mine", ImportError("no such thing"))], "does not import: ImportError: no such"),
        ([Entry("mine", Nameless), Entry("mine", Nameless)], "announced by somewhere:mine and"),
        ([Entry("mine", Nameless)], "extractor 'mine' lacks version, sha256, identity, extract"),
        ([Entry("mine", MeanAndSpread)], "'mine' calls itself 'two-numbers'"),
        ([Entry("mine", lambda space: 1 / 0)], "cannot be made for Space"),
    ],
)
def test_faults_of_a_package_s_extractor_are_named(
    entries: list[Entry], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *entries)
    with pytest.raises(PluginError) as error:
        load_extractor("mine", Space("image", (1, 8, 8), levels=256))
    assert message in str(error.value)
    with pytest.raises(UsageError, match="did you mean 'mine'"):
        load_extractor("mines", Space("image", (1, 8, 8), levels=256))


class Ones:
    """A loader of somebody's."""

    @staticmethod
    def read(dataset: Any, space: Space, split: str) -> Split:
        return Split(np.full((3, *space.shape), dataset["options"]["value"], np.float32), None)

    @staticmethod
    def verify(dataset: Any) -> list[Any]:
        return []


def test_a_loader_of_a_package_reads_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = {"name": "d", "loader": "ones", "options": {"value": 1.0}, "split": {"train": {}}}
    space = Space("points", (2,))
    with pytest.raises(UsageError, match="asks for loader 'ones': known: arrays, csv, idx"):
        load_split(dataset, space, "train")
    install(monkeypatch, Entry("ones", Ones))
    assert_array_equal(load_split(dataset, space, "train").x, np.ones((3, 2)))
    install(monkeypatch, Entry("ones", object()))
    with pytest.raises(PluginError, match=r"genbench.loaders 'ones' .* lacks read, verify"):
        load_split(dataset, space, "train")


# The whole way.


@pytest.mark.slow
def test_a_new_suite_checks_and_runs(run_genbench: Command, tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 400)
    done = run_genbench("new", "suite", "mine", "--images", "photos")
    assert done.code == 0, done.err
    assert "next:    genbench run --suite ./mine.toml --profile smoke" in done.err
    done = run_genbench("suite", "check", "./mine.toml")
    assert done.code == 0, done.err
    assert "mine 1.0.0: 401 data files checked" in done.out
    done = run_genbench("run", "--suite", "./mine.toml", "--profile", "smoke", "-g", "vae",
                        "--json")  # fmt: skip
    assert done.code == 0, done.err
    (vae,) = (line for line in done.lines if line["generator"] == "vae")
    unfinished = {k: v for k, v in vae["metrics"].items() if v["status"] == "failed"}
    assert not unfinished, json.dumps(unfinished)
    assert vae["metrics"]["fid"]["value"] > 0
