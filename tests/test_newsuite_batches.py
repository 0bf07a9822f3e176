"""A suite from one's own batches in CIFAR's layouts; broken and mixed ones with a remedy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from genbench.data import gunzipped
from genbench.data.loading import load_split
from genbench.errors import DataError
from genbench.formats import read_batches
from genbench.generator import Space
from genbench.tasks.new import NewSuite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import Command
from tests.test_cifar import binary_rows, python_batch, tar_of, text

N = 240
NAMES = ("cats", "dogs", "fish")
META = b"\x80\x02}(" + text("label_names") + b"](" + b"".join(map(text, NAMES)) + b"eu."
Members = dict[str, bytes]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 2)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Pictures ``(n, 32, 32, 3)`` sorted by class, which is the channel that is bright."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 90, (N, 32, 32, 3), dtype=np.uint8)
    y = np.sort(np.arange(N) % 3)
    x[np.arange(N), :, :, y] += 150
    return x, y


def pickled(x: np.ndarray, y: np.ndarray) -> Members:
    half = N // 2
    return {"data_batch_1": python_batch(x[:half], y[:half]),
            "test_batch": python_batch(x[half:], y[half:]), "batches.meta": META}  # fmt: skip


def binary(x: np.ndarray, y: np.ndarray) -> Members:
    half = N // 2
    return {"data_batch_1.bin": binary_rows(x[:half], y[:half]),
            "test_batch.bin": binary_rows(x[half:], y[half:]),
            "batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n"}  # fmt: skip


def listed(name: str, values: list[bytes]) -> bytes:
    return text(name) + b"](" + b"".join(values) + b"e"


def pickled_hundred(x: np.ndarray, y: np.ndarray) -> Members:
    """CIFAR-100's layout, with coarse labels, all the same, beside the fine ones."""
    coarse = listed("coarse_labels", [b"K\x00"] * (N // 2))

    def fine(batch: bytes) -> bytes:
        return batch.replace(text("labels"), text("fine_labels"))[:-2] + coarse + b"u."

    ten = pickled(x, y)
    names = listed("coarse_label_names", [text("beings")]) + listed(
        "fine_label_names", [text(name) for name in NAMES]
    )
    return {"train": fine(ten["data_batch_1"]), "test": fine(ten["test_batch"]),
            "meta": b"\x80\x02}(" + names + b"u.", "file.txt~": b""}  # fmt: skip


def binary_hundred(x: np.ndarray, y: np.ndarray) -> Members:
    def rows(of: slice) -> bytes:
        ten = np.frombuffer(binary_rows(x[of], y[of]), np.uint8).reshape(N // 2, -1)
        return np.pad(ten, ((0, 0), (1, 0))).tobytes()

    return {"train.bin": rows(slice(N // 2)), "test.bin": rows(slice(N // 2, N)),
            "fine_label_names.txt": "\n".join(NAMES).encode() + b"\n",
            "coarse_label_names.txt": b"beings\n"}  # fmt: skip


def placed(members: Members, place: Path, how: str) -> Path:
    if how == "folder":
        place.mkdir()
        for name, content in members.items():
            (place / name).write_bytes(content)
        return place
    data = tar_of({f"mine/{name}": content for name, content in members.items()})
    path = place.with_suffix(f".{how}")
    path.write_bytes(gzip.compress(data, 1) if how == "tar.gz" else data)
    return path


def made(place: Path, out: Path) -> tuple[NewSuite, Suite]:
    out.mkdir()
    found = new_suite("mine", folder=out, batches=place, shares=(0.6, 0.2, 0.2))
    return found, load_suite(str(out / "mine.toml"))


@pytest.mark.parametrize("how", ["folder", "tar", "tar.gz"])
@pytest.mark.parametrize("layout", [pickled, binary, pickled_hundred, binary_hundred])
def test_batches_of_either_layout_become_the_same_suite(
    layout: Callable[..., Members], how: str, rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    found, suite = made(placed(layout(*rows), tmp_path / "batches", how), tmp_path / "out")
    assert suite.space == Space("image", (3, 32, 32), levels=256, classes=3)
    assert suite.document["dataset"]["class_names"] == list(NAMES)
    assert sum(found.rows.values()) == N
    assert any("2 batches are read as one set and split anew" in note for note in found.notes)
    parts = [load_split(suite.dataset, suite.space, s) for s in ("train", "valid", "test")]  # type: ignore[arg-type]
    for part in parts:
        assert_array_equal(part.x.mean((2, 3)).argmax(1), part.y)
        assert len(set(part.y[:15])) == 3, "the first rows are of all classes"
    given = sorted(x.transpose(2, 0, 1).tobytes() for x in rows[0])
    assert sorted(row.tobytes() for part in parts for row in part.x) == given
    (tmp_path / "again").mkdir()
    again = new_suite("mine", folder=tmp_path / "again", shares=(0.6, 0.2, 0.2),
                      batches=placed(pickled(*rows), tmp_path / "other", how))  # fmt: skip
    assert again.files[1].read_bytes() == found.files[1].read_bytes(), "whatever they came from"


def test_without_names_classes_are_numbers(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    members = binary(*rows)
    del members["batches.meta.txt"]
    _, suite = made(placed(members, tmp_path / "batches", "tar"), tmp_path / "out")
    assert suite.document["dataset"]["class_names"] == ["0", "1", "2"]


def cut(name: str) -> Callable[[Members], Members]:
    return lambda m: {**m, name: m[name][:-100]}


BROKEN: dict[str, tuple[Callable[..., Members], Callable[[Members], Members], str]] = {
    "pickle cut off": (pickled, cut("test_batch"), "test_batch is truncated or no pickled batch"),
    "binary cut off": (binary, cut("test_batch.bin"), "no number of rows of 3073"),
    "one image of another size": (
        pickled, lambda m: {**m, "data_batch_1": m["data_batch_1"].replace(
            b"M\x00\x0c\x86", b"M\x00\x10\x86")}, r"data_batch_1 .*shape \(120, 4096\)"),
    "both layouts": (pickled, lambda m: {**m, "data_batch_1.bin": b""}, "of both layouts"),
    "no batches": (pickled, lambda m: {"readme": b""}, "holds no batches: expected data_batch_1"),
    "a label without a name": (
        binary, lambda m: {**m, "batches.meta.txt": b"cats\ndogs\n"}, "the label 2, .* names 2"),
    "CIFAR-100's, cut off": (binary_hundred, cut("train.bin"), "no number of rows of 3074"),
    "CIFAR-100's without fine labels": (
        pickled_hundred, lambda m: {**m, "test": m["test"].replace(b"fine", b"face")},
        "test is truncated or no pickled batch"),
    "CIFAR-100's without fine names": (
        pickled_hundred, lambda m: {**m, "meta": META}, "table with fine_label_names"),
    "a name twice": (binary, lambda m: {**m, "batches.meta.txt": b"a\na\nb\n"}, "a class twice"),
    "a program": (pickled, lambda m: {**m, "batches.meta": b"cos\nsystem\n(U\x02lstR."},
                  "asks for 'os.system'.*nothing of it was run"),
    "no names": (pickled, lambda m: {**m, "batches.meta": b"\x80\x02}."}, "with label_names"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("how", ["folder", "tar.gz"])
def test_what_is_broken_is_named(
    case: str, how: str, rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    layout, broken, message = BROKEN[case]
    place = placed(broken(layout(*rows)), tmp_path / "batches", how)
    with pytest.raises(DataError, match=message):
        made(place, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("how", ["folder", "tar"])
def test_a_batch_as_large_as_cifar_100s_is_read(how: str, tmp_path: Path) -> None:
    """50,000 rows of 3,074 bytes in one file, here of one row again and again."""
    row = np.full((1, 2 + 3 * 32 * 32), 7, np.uint8)
    members = {"train.bin": row.tobytes() * 50_000}
    found = read_batches(placed(members, tmp_path / "batches", how), gunzipped)
    assert (found.x.shape, set(found.y.tolist())) == ((50_000, 3, 32, 32), {7})


@pytest.mark.parametrize("how", ["tar", "tar.gz"])
def test_an_archive_that_is_cut_off_is_named(
    how: str, rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    place = placed(pickled(*rows), tmp_path / "batches", how)
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    with pytest.raises(DataError, match=r"truncated or no tar|not valid gzip"):
        made(place, tmp_path / "out")


@pytest.mark.slow
def test_the_command_says_what_it_read(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path, run_genbench: Command
) -> None:
    place = placed(pickled(*rows), tmp_path / "batches", "tar.gz")
    done = run_genbench("new", "suite", "mine", "--batches", place, "--extractor",
                        "efficientnet-lite0", "--split", "0.6,0.2,0.2")  # fmt: skip
    assert done.code == 0, done.err
    assert "data_batch_1, test_batch" in done.err
    done = run_genbench("new", "suite", "other", "--batches", tmp_path / "nothing")
    assert done.code == 2
