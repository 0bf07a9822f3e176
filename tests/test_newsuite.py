"""A suite from one's own data: no leaks, checked files, an extractor; and it runs."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from genbench.baselines.controls import Gaussian, NoParams
from genbench.data import readers
from genbench.data.loading import load_split, verify_files
from genbench.data.split import Split
from genbench.errors import DataError, GenbenchError, MetricError, PluginError, UsageError
from genbench.features.extractors import Features, extractor_problems, load_extractor
from genbench.formats.csvfiles import Layout
from genbench.generator import Space
from genbench.metrics.frechet import infinity_sizes
from genbench.plugins.external import samples_path, stage
from genbench.report.copying import training_mark
from genbench.results.store import CACHE, Store
from genbench.running.cellspec import CellSpec
from genbench.running.scoring import Scorer
from genbench.system import extensions
from genbench.system.npzfile import load_arrays
from genbench.tasks.new import NewSuite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.new.text import infinity_rows
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import Command
from tests.test_plan import choice

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
    for i in range(0, 36, 3):  # the same pixels under another name, in another encoding
        image = Image.open(photos / "class0" / f"{i:04}.png")
        image.save(photos / "class0" / f"copy-{i}.webp", lossless=True)
    image = Image.open(photos / "class0" / "0000.png")
    image.save(photos / "class1" / "wrong.png")
    found, suite = made(tmp_path / "out", images=photos)
    assert "25 rows are exact copies in 12 groups: each group is in one split" in found.notes
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
        (unlabelled, "no labelled images or sounds to train an extractor on"),
        (lambda p: {"images": pictures(p / "few", 30)}, "are too few: the splits would hold"),
        (lambda p: {"images": p / "nowhere"}, "no folder and no zip of images at"),
        (bad_csv("a,b\n1,2\n3,x\n"), "bad.csv, line 3, column 'b': 'x' is no finite number"),
        (bad_csv("1,2\n3,nan\n"), "bad.csv, line 2, column 2: 'nan' is no finite number"),
        (bad_csv("1,2\n3\n"), "bad.csv, line 2: 1 columns, expected 2"),
        (bad_csv("a,b\n"), "bad.csv has no rows of numbers"),
        (bad_npz(z=IMAGES), "bad.npz has no array 'x' (it holds z): name it x"),
        (
            bad_npz(x=IMAGES / 2),
            "x holds float64 in 0..0, so 0..1 it seems: convert with to_uint8(x, 0, 1)",
        ),
        (
            bad_npz(x=IMAGES, y=np.ones(3)),
            "y is float64, expected int64 labels or texts: save y.astype(numpy.int64)",
        ),
        (
            lambda p: {},
            "give exactly one of --images DIR, --npz FILE, --csv FILE, --text FILE, --audio DIR "
            "and --batches PLACE",
        ),
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
    text = path.read_text().replace('extractor = "standardised"', f'extractor = "{extractor}"')
    path.write_text(text)
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
    with pytest.raises(UsageError, match="loader 'ones': did you mean 'tones'"):
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


# Versions of what reads the files.


def test_the_version_of_the_reader_is_in_the_task_hash_of_new_suites_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {**readers.READERS, "csv": readers.READERS["csv"] + 1}
    table = table_of(tmp_path / "a")
    _, before = made(tmp_path / "a", csv=table)
    monkeypatch.setattr(readers, "READERS", newer)
    _, after = made(tmp_path / "b", csv=table)
    assert load_suite(str(tmp_path / "a" / "mine.toml")).task_hash == before.task_hash
    assert after.document["dataset"]["reader"] == newer["csv"]
    assert after.task_hash != before.task_hash


@pytest.mark.parametrize("loader", ["csv", "toy"])
def test_a_reader_that_is_not_here_is_named(loader: str, tmp_path: Path) -> None:
    _, suite = made(tmp_path / "out", csv=table_of(tmp_path / "out"))
    dataset = {**suite.dataset, "loader": loader, "reader": 99}
    with pytest.raises(UsageError, match=r"asks for reader 99 of loader 'csv'|has no versions"):
        load_split(dataset, suite.space, "train")


# Copies.


def write_csv(path: Path, x: np.ndarray, head: str = "") -> Path:
    np.savetxt(path, x, delimiter=",", header=head, comments="", fmt="%.9g")
    return path


def discrete(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(k, n, p=p) for k, p in ((2, [0.7, 0.3]), (3, [0.5, 0.3, 0.2]))], 1)


def test_a_split_of_discrete_rows_is_a_random_sample(tmp_path: Path) -> None:
    x = discrete(6000)
    found, suite = made(tmp_path / "out", csv=write_csv(tmp_path / "d.csv", x, "a,b"))
    assert suite.document["dataset"]["split"]["copies"] == "apart"
    for name, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        rows = splits(suite)[name].x
        off = np.sqrt(share * (1 - share) / len(x))
        assert abs(len(rows) / len(x) - share) < 5 * off
        for a in range(2):
            for b in range(3):
                inside = ((x == (a, b)).all(1)).mean()
                got = ((rows == (a, b)).all(1)).mean()
                assert abs(got - inside) < 5 * np.sqrt(inside / len(rows))
    assert "6000 rows are exact copies in 6 groups" in " ".join(found.notes)
    told = "100.0% of the test rows equal a training row"
    assert told in " ".join(found.notes)
    assert told in suite.document["suite"]["description"]


def test_a_row_that_is_added_to_discrete_rows_moves_no_other(tmp_path: Path) -> None:
    x = discrete(2000)
    more = np.insert(x, 700, [[1, 2]], axis=0)
    _, before = made(tmp_path / "a", csv=write_csv(tmp_path / "a.csv", x, "a,b"))
    _, after = made(tmp_path / "b", csv=write_csv(tmp_path / "b.csv", more, "a,b"))
    counted = [
        {name: np.unique(part.x, axis=0, return_counts=True)[1] for name, part in splits(s).items()}
        for s in (before, after)
    ]
    changed = [(counted[1][name] - counted[0][name]).tolist() for name in counted[0]]
    assert sorted(map(sum, changed)) == [0, 0, 1]
    assert {v for row in changed for v in row} == {0, 1}


def test_an_old_suite_keeps_its_splits(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 40, (2000, 2))
    _, suite = made(tmp_path / "out", csv=write_csv(tmp_path / "d.csv", x, "a,b"))
    dataset = suite.dataset
    del dataset["reader"]
    dataset["split"] = {k: v for k, v in dataset["split"].items() if k != "copies"}
    parts = {n: load_split(dataset, suite.space, n).x for n in ("train", "valid", "test")}  # type: ignore[arg-type]
    found = [{row.tobytes() for row in part} for part in parts.values()]
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    dataset["split"]["copies"] = "scattered"
    with pytest.raises(UsageError, match='copies is \'scattered\': write "together" or "apart"'):
        load_split(dataset, suite.space, "train")


def test_an_old_suite_whose_csv_leaves_doubt_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 3))
    table = write_csv(tmp_path / "d.csv", x, "0,1,2")
    _, suite = made(tmp_path / "out", csv=table, layout=Layout(header=True))
    assert len(splits(suite)["train"].x) + len(splits(suite)["test"].x) > 250
    dataset = {k: v for k, v in suite.dataset.items() if k not in ("reader", "options")}
    with pytest.raises(DataError, match=r"made for reader 1 .* counts up.*make the suite anew"):
        load_split(dataset, suite.space, "train")


def test_so_many_copies_of_a_picture_that_they_would_skew_splits_are_taken_apart(
    tmp_path: Path, quick: None
) -> None:
    photos = pictures(tmp_path / "photos", 400)
    for i in range(40):
        shutil.copy(photos / "class0" / "0000.png", photos / "class0" / f"blank-{i}.png")
    found, suite = made(tmp_path / "out", images=photos)
    assert suite.document["dataset"]["split"]["copies"] == "apart"
    assert "41 rows are exact copies in 1 group (the largest has 41): splits take them apart" in (
        " ".join(found.notes)
    )
    parts = splits(suite)
    first = np.asarray(Image.open(photos / "class0" / "0000.png"))
    assert 20 < (parts["train"].x == first).all((1, 2, 3)).sum() < 41


# One scale for all columns.


def test_points_are_compared_with_every_column_to_one_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(0, 1e4, 2000), rng.normal(5, 1e-3, 2000), np.full(2000, 7.1)], 1)
    np.savez(tmp_path / "x.npz", x=x)
    found, suite = made(tmp_path / "out", npz=tmp_path / "x.npz")
    assert suite.extractor == "standardised"
    ids = [metric.id for metric in suite.metrics]
    assert {"emd", "emd@identity"} <= set(ids)
    extractor = load_extractor(suite.extractor, suite.space, suite.extractors)
    z = extractor.extract(splits(suite)["train"].x).features
    assert_allclose(z[:, :2].mean(0), 0, atol=1e-3)
    assert_allclose(z[:, :2].std(0), 1, atol=1e-3)
    assert_array_equal(z[:, 2], 0)
    assert any("divided by 1 instead: column 3;" in note for note in found.notes)
    assert problems_of(suite) == []


def test_the_gaussian_control_keeps_every_column_s_own_scale() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([1e4 * rng.normal(size=2000), 1e-3 * rng.normal(size=2000), np.full(2000, 7.0)], 1)
    space = Space("points", (3,))
    control = Gaussian(NoParams(), space, torch.device("cpu"))
    control.fit(SimpleNamespace(x=torch.from_numpy(x.astype(np.float32)), y=None), None)  # type: ignore[arg-type]
    drawn = np.asarray(control.sample(2000, seed=0))
    assert_allclose(drawn[:, :2].std(0), x[:, :2].std(0), rtol=0.1)
    assert_array_equal(drawn[:, 2], 7.0)


def test_equal_distances_of_discrete_rows_stay_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random((2000, 8)) < 0.4, rng.integers(-7, 8, (2000, 3))])
    table = write_csv(tmp_path / "d.csv", x, ",".join("abcdefghijk"))
    _, suite = made(tmp_path / "out", csv=table)
    extractor = load_extractor(suite.extractor, suite.space, suite.extractors)
    rows = splits(suite)["test"].x
    z = extractor.extract(rows).features.astype(float)
    assert_allclose(z.std(0), 1, rtol=0.45)
    scale = [abs(z[:, c] - z[0, c]).max() / abs(rows[:, c] - rows[0, c]).max() for c in range(11)]
    assert_array_equal((z - z[0]) ** 2, (np.array(scale) * (rows - rows[0]).astype(float)) ** 2)
    assert_array_equal(np.log2(scale), np.rint(np.log2(scale)))


def test_altered_moments_are_named_and_are_in_the_suite_hash(tmp_path: Path) -> None:
    _, suite = made(tmp_path / "out", csv=table_of(tmp_path / "out"))
    path = tmp_path / "out" / "mine.toml"
    path.write_text(path.read_text().replace("spread = [", "spread = [2.0, 3.0] #"))
    altered = load_suite(str(path))
    (problem,) = problems_of(altered)
    assert "centre and spread of extractor 'standardised' were changed" in problem
    with pytest.raises(DataError, match="were changed"):
        load_extractor(altered.extractor, altered.space, altered.extractors)
    digest = problem.rsplit("'", 2)[1]
    old = suite.extractors[0]["sha256"]
    path.write_text(path.read_text().replace(old, digest))
    assert problems_of(load_suite(str(path))) == []
    assert load_suite(str(path)).suite_hash != suite.suite_hash
    assert load_suite(str(path)).task_hash == suite.task_hash


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ("centre = [0.0]\nspread = [1.0, 1.0]", "do not fit the space"),
        ("centre = [0.0, 0.0]\nspread = [1.0, 0.0]", "spreads above 0"),
        ("centre = [0.0, 0.0]", "has centre: give path and channels of a classifier, or centre"),
    ],
)
def test_moments_that_cannot_be_are_named(moments: str, message: str, tmp_path: Path) -> None:
    made(tmp_path / "out", csv=table_of(tmp_path / "out"))
    path = tmp_path / "out" / "mine.toml"
    lines = [v for v in path.read_text().splitlines() if not v.startswith(("centre", "spread"))]
    text = "\n".join(lines).replace('trained_on = "', moments + '\ntrained_on = "')
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_suite(str(path))
    assert message in str(error.value)


# What is asked of a suite.


def test_shares_and_samples_are_options(tmp_path: Path) -> None:
    table = table_of(tmp_path, 1000)
    found, suite = made(tmp_path / "a", csv=table, shares=(0.5, 0.3, 0.2), n_samples=150)
    assert abs(found.rows["train"] - 500) < 60
    assert abs(found.rows["valid"] - 300) < 60
    assert suite.n_samples == 150
    with pytest.raises(UsageError, match="900 samples: give 20 to"):
        made(tmp_path / "b", csv=table, n_samples=900)
    with pytest.raises(UsageError, match="give three that sum to 1"):
        made(tmp_path / "c", csv=table, shares=(0.5, 0.3, 0.1))


def test_no_metric_is_asked_for_that_cannot_exist(tmp_path: Path, quick: None) -> None:
    found, suite = made(tmp_path / "few", images=pictures(tmp_path / "photos", 600))
    ids = {metric.id for metric in suite.metrics}
    assert "fid" in ids
    assert "fid_infinity" not in ids, "of 60 rows none can be told at 128 features"
    assert any(note.startswith("few rows: metrics compare 6") for note in found.notes) or any(
        note.startswith("few rows: metrics compare 5") for note in found.notes
    )
    _, points = made(tmp_path / "points", csv=table_of(tmp_path / "points", 300))
    assert "fid_infinity" in {metric.id for metric in points.metrics}


@pytest.mark.parametrize("dims", [1, 2, 4, 128])
def test_fid_infinity_is_asked_for_from_the_rows_on_at_which_it_exists(dims: int) -> None:
    n = infinity_rows(dims)
    assert infinity_sizes(n, n, dims)
    with pytest.raises(MetricError):
        infinity_sizes(n - 1, n, dims)


def synthesised(place: Path) -> Path:
    """A data set as `genbench synthesize` writes it, in two splits."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"classes": np.array(["cat", "dog"])}
    for split, n in (("train", 300), ("extra", 100)):
        y = np.arange(n) % 2
        x = (rng.integers(0, 60, (n, 1, 8, 8)) + 150 * y[:, None, None, None]).astype(np.uint8)
        arrays |= {f"x_{split}": x, f"y_{split}": y}
        for i in range(n):
            path = place / "images" / split / str(y[i]) / f"{i:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[i, 0]).save(path)
    np.savez(place / "data.npz", **arrays)  # type: ignore[arg-type]
    (place / "metadata.json").write_text("{}")
    return place


def test_what_synthesize_wrote_becomes_a_suite_and_is_scored(tmp_path: Path, quick: None) -> None:
    place = synthesised(tmp_path / "set")
    found, suite = made(tmp_path / "a", npz=place / "data.npz")
    assert "splits train, extra of data.npz are read as one set" in found.notes
    assert suite.document["dataset"]["class_names"] == ["cat", "dog"]
    for part in splits(suite).values():
        assert part.y is not None
        assert_array_equal(part.x.mean((1, 2, 3)) > 100, part.y)
    _, of_images = made(tmp_path / "b", images=place)
    assert of_images.space == suite.space
    assert sum(len(part.x) for part in splits(of_images).values()) == 400
    rows = stage(place, suite, None, Store(tmp_path / "results"))
    cache = tmp_path / "results" / CACHE
    arrays = load_arrays(samples_path(cache, rows.choice.description.source))
    assert_array_equal(arrays["x"].mean((1, 2, 3)) > 100, arrays["y"])


def test_a_csv_of_samples_is_read_by_the_names_of_the_suite_s_columns(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal((0, 50), 1, size=(400, 2))
    numbered = np.column_stack([np.arange(400), x])
    table = write_csv(tmp_path / "d.csv", numbered, ",mass,radius")
    _, suite = made(tmp_path / "out", csv=table, layout=Layout(drop=("#1",)))
    assert suite.document["dataset"]["column_names"] == ["mass", "radius"]
    for name, rows, head in (
        ("same", numbered, ",mass,radius"),
        ("without", x, "mass,radius"),
        ("turned", x[:, ::-1], "radius,mass"),
        ("bare", x, ""),
    ):
        samples = write_csv(tmp_path / f"{name}.csv", rows, head)
        found = stage(samples, suite, None, Store(tmp_path / "results"))
        source = samples_path(tmp_path / "results" / CACHE, found.choice.description.source)
        assert_allclose(load_arrays(source)["x"].mean(0), (0, 50), atol=1)
    for name, head, message in (
        ("other", "mass,age", "has the columns mass, age, the suite mass, radius"),
        ("counted", "0,1", "counts up.*: give it a heading"),
    ):
        samples = write_csv(tmp_path / f"{name}.csv", x, head)
        with pytest.raises(DataError, match=message):
            stage(samples, suite, None, Store(tmp_path / "results"))


def test_samples_in_float64_are_held_against_the_suite_s_spread(tmp_path: Path) -> None:
    _, suite = made(tmp_path / "out", csv=table_of(tmp_path / "out"))
    far = np.random.default_rng(0).normal(1.7e9, 1, size=(100, 2))
    with pytest.raises(DataError, match="column 'mass': float32 rounds it by"):
        stage(far, suite, "far", Store(tmp_path / "results"))
    collapsed = np.random.default_rng(0).normal(7, 1e-9, size=(100, 2))
    assert stage(collapsed, suite, "one", Store(tmp_path / "results")).choice


def scores(suite: Suite, folder: Path, x: np.ndarray) -> dict[str, Any]:
    wanted = [m for m in suite.document["metrics"] if not m["id"].startswith("nll")]
    short = Suite({**suite.document, "metrics": wanted}, suite.profile, suite.root)
    spec = CellSpec(folder, folder / "cache", "key", short, choice(), 0, parts=("metrics",))
    return Scorer(spec, {"x": x.astype(np.float32)}, {}, None, {}, lambda what: None).score()


def test_a_constant_column_leaves_every_metric_its_value(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def draw(n: int) -> np.ndarray:
        return np.stack([rng.normal(size=n), 100 * rng.normal(size=n), np.full(n, 7.1)], 1)

    table = write_csv(tmp_path / "c.csv", draw(1000), "a,b,c")
    found, suite = made(tmp_path / "out", csv=table)
    assert any("column 'c'" in note for note in found.notes)
    values = scores(suite, tmp_path, draw(suite.n_samples))
    assert {v.status for v in values.values()} == {"ok"}, values
    assert "extractor=standardised/1:" in values["emd"].signature
    assert "extractor=identity/1" in values["emd@identity"].signature
    assert values["emd@identity"].value > 5 * values["emd"].value
    old = Suite(
        {**suite.document, "protocol": {**suite.document["protocol"], "extractor": "identity"},
         "metrics": [{"id": i} for i in ("kid", "c2st", "c_t", "fid")]},
        suite.profile, suite.root,
    )  # fmt: skip
    values = scores(old, tmp_path, draw(suite.n_samples))
    assert {v.status for v in values.values()} == {"ok"}, values
    assert "extractor=identity-standardised" in values["kid"].signature


def test_copying_is_not_told_where_real_rows_repeat(tmp_path: Path) -> None:
    _, suite = made(tmp_path / "out", csv=write_csv(tmp_path / "d.csv", discrete(2000), "a,b"))
    values = scores(suite, tmp_path, discrete(suite.n_samples, seed=1))
    for id_ in ("c_t", "authenticity"):
        assert (
            values[id_].details["note"]
            == "unreliable: 100.0% of the real test rows equal a training row"
        )
    assert "note" not in values["emd"].details
    assert training_mark([SimpleNamespace(status="ok", metrics=values, copies={})]) is None  # type: ignore[list-item]
    bare = {k: replace(v, details={}) for k, v in values.items()}
    marked = training_mark([SimpleNamespace(status="ok", metrics=bare, copies={})])  # type: ignore[list-item]
    assert marked is not None, "authenticity is near 0 here"
