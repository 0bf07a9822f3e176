"""CIFAR-10 from every layout that people have it in: one data set, or a fault by its name."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_array_equal
from PIL import Image

from genbench.cli import cli
from genbench.data import cifar, load_split, verify_files
from genbench.data.cifar_sources import find
from genbench.data.fetching import fetch
from genbench.errors import DataError, UsageError
from genbench.formats import pickled_batch
from genbench.generator import Space
from genbench.tasks.suite import load_suite
from tests.test_data_fetch import mirror

__all__ = ["mirror"]  # a fixture

ROOT = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("GENBENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
SPACE = Space("image", (3, 32, 32), levels=256, classes=10)
CLASSES = tuple(load_suite("cifar10").dataset["class_names"])
EACH = {"train": 4, "test": 2}  # pictures of a class in the miniature


@dataclass(frozen=True)
class Rows:
    """Pictures uint8 ``(n, 32, 32, 3)`` and their classes, in the order of the layout."""

    x: np.ndarray
    y: np.ndarray


Parts = dict[str, Rows]


@pytest.fixture
def parts() -> Parts:
    rng = np.random.default_rng(0)
    made = {}
    for name, each in EACH.items():
        y = rng.permutation(np.repeat(np.arange(10), each))
        made[name] = Rows(rng.integers(0, 256, (len(y), 32, 32, 3), dtype=np.uint8), y)
    return made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "home"))
    (tmp_path / "home" / "tiny").mkdir(parents=True)
    return tmp_path / "home" / "tiny"


def ordered(rows: Rows) -> tuple[list[str], list[int]]:
    """The digests by class and then by themselves, and where each picture stands in the rows."""
    digests = [hashlib.sha256(x.tobytes()).hexdigest() for x in rows.x]
    order = sorted(range(len(digests)), key=lambda i: (rows.y[i], digests[i]))
    return [digests[i] for i in order], order


@pytest.fixture
def dataset(parts: Parts, tmp_path: Path) -> dict[str, Any]:
    """A suite's ``[dataset]`` about the miniature, without the pictures."""
    files = [
        {"role": "archive", "path": "data/cifar-10-python.tar.gz", "bytes": 1, "sha256": "0" * 64,
         "urls": ["http://127.0.0.1:1/nobody"]},
    ]  # fmt: skip
    options = {}
    for name, rows in parts.items():
        digests, _ = ordered(rows)
        content = bytes.fromhex("".join(d[:8] for d in digests))
        (tmp_path / f"{name}-digests").write_bytes(content)
        files.append({"role": f"digests-{name}", "path": f"{name}-digests", "bytes": len(content),
                      "sha256": hashlib.sha256(content).hexdigest()})  # fmt: skip
        options[name] = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return {
        "name": "tiny", "loader": "cifar10", "root": str(tmp_path), "class_names": list(CLASSES),
        "options": options, "files": files,
        "split": {"train": {"file": "train", "each_class": [0, 3]},
                  "valid": {"file": "train", "each_class": [3, 4]},
                  "test": {"file": "test", "each_class": [0, 2]}},
    }  # fmt: skip


# The official layouts, written as Python 2 and the C++ tools wrote them.


def planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), 3072)


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def python_batch(x: np.ndarray, y: np.ndarray, kind: str = "u1") -> bytes:
    raw = planes(x).tobytes()
    size = struct.pack("<i", len(x))
    labels = b"".join(b"K" + bytes([label]) for label in y.tolist())
    names = b"".join(text(f"some_{i}.png") for i in range(len(x)))
    return b"".join([
        b"\x80\x02}q\x01(", text("batch_label"), text("training batch 1 of 5"),
        text("labels"), b"]q\x02(", labels, b"e", text("data"),
        b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85",
        text("b"), b"\x87Rq\x05(K\x01J", size, b"M\x00\x0c\x86cnumpy\ndtype\nq\x06",
        text(kind), b"K\x00K\x01\x87Rq\x07(K\x03", text("|"),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<i", len(raw)), raw,
        b"tb", text("filenames"), b"]q\x08(", names, b"eu.",
    ])  # fmt: skip


def binary_rows(x: np.ndarray, y: np.ndarray) -> bytes:
    return np.concatenate([y[:, None].astype(np.uint8), planes(x)], 1).tobytes()


def batches(parts: Parts, kind: str) -> dict[str, bytes]:
    write, suffix = {"py": (python_batch, ""), "bin": (binary_rows, ".bin")}[kind]
    train, test = parts["train"], parts["test"]
    fifths = np.array_split(np.arange(len(train.y)), 5)
    made = {
        f"data_batch_{i}{suffix}": write(train.x[rows], train.y[rows])
        for i, rows in enumerate(fifths, 1)
    }
    return {**made, f"test_batch{suffix}": write(test.x, test.y)}


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def archive(kind: str, suffix: str, packed: Callable[[bytes], bytes]) -> Callable[..., None]:
    def write(parts: Parts, place: Path) -> None:
        members = {f"cifar-10-batches-{kind}/{k}": v for k, v in batches(parts, kind).items()}
        name = f"cifar-10-{'python' if kind == 'py' else 'binary'}.tar{suffix}"
        (place / name).write_bytes(packed(tar_of(members)))

    return write


def squeezed(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def unpacked(kind: str, folder: str) -> Callable[..., None]:
    def write(parts: Parts, place: Path) -> None:
        (place / folder).mkdir(exist_ok=True)
        for name, content in batches(parts, kind).items():
            (place / folder / name).write_bytes(content)

    return write


def png(x: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(x, mode).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def pictures(parts: Parts, name: str) -> dict[str, bytes]:
    rows = parts[name]
    return {f"{CLASSES[y]}/{i:04}.png": png(rows.x[i]) for i, y in enumerate(rows.y)}


def zips(parts: Parts, place: Path) -> None:
    for name in parts:
        with zipfile.ZipFile(place / f"cifar10-{name}.zip", "w") as file:
            for member, content in pictures(parts, name).items():
                file.writestr(member, content)


def folders(parts: Parts, place: Path) -> None:
    for name in parts:
        for member, content in pictures(parts, name).items():
            path = place / name / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


OFFICIAL = {
    "python.tar.gz": archive("py", ".gz", squeezed),
    "python.tar": archive("py", "", bytes),
    "binary.tar.gz": archive("bin", ".gz", squeezed),
    "python unpacked": unpacked("py", "cifar-10-batches-py"),
    "binary unpacked": unpacked("bin", "cifar-10-batches-bin"),
}
LAYOUTS = {**OFFICIAL, "batches alone": unpacked("py", "."), "zips": zips, "folders": folders}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_gives_the_same_rows(layout, parts, dataset, home):
    LAYOUTS[layout](parts, home)
    digests, order = ordered(parts["train"])
    splits = {name: load_split(dataset, SPACE, name) for name in ("train", "valid", "test")}
    for name, kept in (("train", (0, 1, 2)), ("valid", (3,))):
        rows = [i for i in range(40) if i % 4 in kept]
        rows.sort(key=lambda i: bytes.fromhex(digests[i])[3::-1])
        chosen = [order[i] for i in rows]
        assert_array_equal(splits[name].x, parts["train"].x[chosen].transpose(0, 3, 1, 2))
        assert_array_equal(splits[name].y, parts["train"].y[chosen])
    assert {x.tobytes() for x in splits["test"].x} == {
        x.transpose(2, 0, 1).tobytes() for x in parts["test"].x
    }
    assert all(check.ok for check in verify_files(dataset))
    assert len(list(home.glob("prepared-*"))) == (
        0 if "unpacked" in layout or "alone" in layout else 2
    )


def test_the_handwritten_batch_is_what_python_2_pickled(parts):
    x, y = parts["test"].x, parts["test"].y
    content = python_batch(x, y)
    table = pickle.loads(content, encoding="bytes")
    assert_array_equal(table[b"data"], planes(x))
    assert table[b"labels"] == y.tolist()
    found = pickled_batch(content, "test_batch")
    assert_array_equal(found.x, x)
    assert_array_equal(found.y, y)


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("key", [str, str.encode])
def test_a_batch_pickled_anew_is_read_too(protocol, key, parts):
    table = {key("data"): planes(parts["test"].x), key("labels"): parts["test"].y.tolist()}
    found = pickled_batch(pickle.dumps(table, protocol), "test_batch")
    assert_array_equal(found.x, parts["test"].x)


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_would_run_something_is_refused_unrun(protocol, tmp_path):
    mark = tmp_path / "mark"
    content = pickle.dumps({"data": Evil(os.mkdir, (str(mark),)), "labels": []}, protocol)
    with pytest.raises(DataError, match=r"test_batch is a pickle that .* nothing of it was run"):
        pickled_batch(content, "test_batch")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no pickled batch"),
        (b"\x80\x02cos\nsystem\n.", r"asks for 'os\.system'"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n.", "asks for"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "calls what is no function"),
        (b"\x80\x02cnumpy\ndtype\nU\x02u1\x85Rcos\n", "truncated"),
        (b"\x80\x02}q\x01.", "no table of data and labels"),
        (b"\x80\x02}(U\x04dataK\x01U\x06labels]u.", "no array"),
        (b"\x80\x02}r\xff\xff\xff\xff.", "no table"),  # a place far out costs no memory
        (b"\x80\x02e.", "truncated"),
        (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}, 4), "not of unsigned bytes"),
        (pickle.dumps({"data": np.array([None]), "labels": [1]}, 4), "not of unsigned bytes"),
        (pickle.dumps({"data": np.zeros((1, 9), "u1"), "labels": [1]}, 4), r"shape \(1, 9\)"),
        (pickle.dumps({"data": np.zeros((2, 3072), "u1"), "labels": [1]}, 4), "1 labels"),
        (pickle.dumps({"data": np.zeros((1, 3072), "u1"), "labels": ["1"]}, 4), "no numbers"),
    ],
)
def test_a_pickle_of_something_else_is_named(content, message):
    with pytest.raises(DataError, match=f"test_batch.*{message}"):
        pickled_batch(content, "test_batch")


# Bad input: the fault, the picture and the remedy.


def changed(parts: Parts, name: str, row: int, x: np.ndarray) -> Parts:
    new = parts[name].x.copy()
    new[row] = x
    return {**parts, name: replace(parts[name], x=new)}


def cut(path: Path, n: int) -> None:
    path.write_bytes(path.read_bytes()[:n])


@pytest.mark.parametrize(
    ("layout", "file", "n", "message"),
    [
        ("python.tar.gz", "cifar-10-python.tar.gz", 9000, "is not valid gzip.*restore it"),
        ("python.tar", "cifar-10-python.tar", 30_000, "is truncated or no tar.*restore it"),
        ("python.tar", "cifar-10-python.tar", 512 * 50, "lacks data_batch_2|truncated.*restore"),
        ("python unpacked", "cifar-10-batches-py/data_batch_2", 500, "data_batch_2 is truncated"),
        ("binary unpacked", "cifar-10-batches-bin/data_batch_2.bin", 5000, "2.bin has 5000"),
        ("zips", "cifar10-train.zip", 9000, "cannot read cifar10-train.zip as a zip.*pack it"),
    ],
)  # fmt: skip
def test_a_truncated_file_is_named(layout, file, n, message, parts, dataset, home):
    LAYOUTS[layout](parts, home)
    cut(home / file, n)
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "train")
    checks = verify_files(dataset)
    assert [check.ok for check in checks[:2]] == [True, True], "the lists of digests"
    assert not checks[2].ok
    assert not checks[2].absent


def test_damaged_gzip_is_named(parts, dataset, home):
    OFFICIAL["python.tar.gz"](parts, home)
    path = home / "cifar-10-python.tar.gz"
    data = bytearray(path.read_bytes())
    data[4000:4100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is not valid gzip|truncated or no tar|is not the train"):
        load_split(dataset, SPACE, "train")


@pytest.mark.parametrize(
    ("layout", "named"),
    [("binary.tar.gz", "row 1 of data_batch_2"), ("python unpacked", "row 1 of data_batch_2"),
     ("zips", "{}/0009.png"), ("folders", "{}/0009.png")],
)  # fmt: skip
def test_one_wrong_picture_is_named(layout, named, parts, dataset, home):
    wrong = parts["train"].x[9].copy()
    wrong[31, 31, 2] ^= 1
    LAYOUTS[layout](changed(parts, "train", 9, wrong), home)
    name = CLASSES[parts["train"].y[9]]
    message = f"{named.format(name)}: no picture of it; missing 1 of {name}: mend it, or remove"
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "train")
    assert not list(home.glob("prepared-train*"))
    assert len(load_split(dataset, SPACE, "test").x) == 20, "the other part is whole"


def test_a_picture_of_another_class_is_named_with_both(parts, dataset, home):
    y = parts["train"].y.copy()
    y[9] = (y[9] + 1) % 10
    true, told = CLASSES[parts["train"].y[9]], CLASSES[y[9]]
    folders({**parts, "train": replace(parts["train"], y=y)}, home)
    message = rf"{told}/0009.png \({true}\): in another class than there: mend it"
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "train")


def test_a_picture_twice_and_one_too_few_are_counted(parts, dataset, home):
    folders(parts, home)
    first, last = CLASSES[parts["train"].y[0]], CLASSES[parts["train"].y[39]]
    lost = home / "train" / last / "0039.png"
    lost.unlink()
    with pytest.raises(DataError, match=f"39 pictures instead of 40; missing 1 of {last}: mend it"):
        load_split(dataset, SPACE, "train")
    (home / "train" / first / "copy.png").write_bytes(pictures(parts, "train")[f"{first}/0000.png"])
    message = rf"{first}/copy.png \(as {first}/0000.png\): there twice; missing 1 of {last}"
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "train")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (png(np.full((32, 32), 9, np.uint8)), r"0009.png \(grey\): no picture of it"),
        (png(np.full((32, 32, 4), 9, np.uint8)), r"0009.png has transparency \(RGBA\): flatten it"),
        (png(np.full((32, 32), 900, np.uint16)), "0009.png has 16 bits or more.*save 8"),
        (png(np.zeros((32, 31, 3), np.uint8)), "0009.png is 31 x 32, the suite has 32 x 32: make"),
        (b"", "0009.png is empty"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["zips", "folders"])
def test_a_bad_image_is_named_with_its_remedy(layout, bad, message, parts, dataset, home):
    LAYOUTS[layout](parts, home)
    name = f"{CLASSES[parts['train'].y[9]]}/0009.png"
    if layout == "folders":
        (home / "train" / name).write_bytes(bad)
    else:
        with zipfile.ZipFile(home / "cifar10-train.zip", "w") as file:
            for member, content in {**pictures(parts, "train"), name: bad}.items():
                file.writestr(member, content)
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "train")


def test_class_folders_that_differ_between_the_parts_are_named(parts, dataset, home):
    folders(parts, home)
    (home / "test" / "dog").rename(home / "test" / "dogs")
    assert len(load_split(dataset, SPACE, "train").x) == 30
    message = "test has images in 'dogs' and has none in dog: it must have a folder for each of"
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "test")


def test_a_missing_class_is_named(parts, dataset, home):
    folders(parts, home)
    for path in (home / "train" / "frog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="train has none in frog: it must have a folder for each"):
        load_split(dataset, SPACE, "train")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tar, info: tar.addfile(info("../evil")), r"'\.\./evil', which leaves it"),
        (lambda tar, info: tar.addfile(info("/etc/evil")), "which leaves it"),
        (lambda tar, info: tar.addfile(info("evil", type=tarfile.SYMTYPE, linkname="/x")), "link"),
        (lambda tar, info: tar.addfile(info("evil", type=tarfile.LNKTYPE, linkname="x")), "link"),
        (lambda tar, info: tar.addfile(info("evil", type=tarfile.FIFOTYPE)), "is no file"),
        (lambda tar, info: tar.addfile(info("test_batch")), "'test_batch' twice: pack it again"),
        (lambda tar, info: tar.addfile(info("big", size=1 << 40)), "bytes, over"),
    ],
)
def test_an_archive_with_other_members_is_refused(spoil, message, parts, dataset, home):
    def info(name: str, **more: Any) -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        for key, value in more.items():
            setattr(made, key, value)
        return made

    OFFICIAL["python.tar"](parts, home)
    with tarfile.open(home / "cifar-10-python.tar", "a") as tar:
        spoil(tar, info)
    with pytest.raises(DataError, match=message):
        load_split(dataset, SPACE, "test")


def test_a_linked_batch_is_refused(parts, dataset, home):
    OFFICIAL["python unpacked"](parts, home)
    path = home / "cifar-10-batches-py" / "test_batch"
    path.symlink_to(path.rename(home / "elsewhere"))
    with pytest.raises(DataError, match="test_batch is a link: put the file itself there"):
        load_split(dataset, SPACE, "test")


# Where it is looked for, and the prepared copy.


def test_absent_data_name_the_command_the_layouts_and_the_places(dataset, home):
    with pytest.raises(DataError, match="genbench data fetch tiny") as told:
        load_split(dataset, SPACE, "test")
    for word in (str(home), "/usr/share/datasets/tiny", "cifar10-test.zip", "official archive"):
        assert word in str(told.value)
    checks = verify_files(dataset)
    assert [check.absent for check in checks] == [False, False, True, True]


def test_the_folder_of_the_suite_may_hold_it(parts, dataset, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    zips(parts, mine)
    assert len(load_split({**dataset, "folder": "mine"}, SPACE, "test").x) == 20
    hidden = cifar.sources({**dataset, "folder": str(mine)})
    assert hidden == [mine / "cifar10-train.zip", mine / "cifar10-test.zip"]


def test_the_prepared_copy_is_read_and_never_believed_unchecked(parts, dataset, home, monkeypatch):
    zips(parts, home)
    expected = load_split(dataset, SPACE, "train").x
    read = []
    monkeypatch.setattr(cifar, "find", lambda *asked: read.append(asked) or find(*asked))
    assert_array_equal(load_split(dataset, SPACE, "train").x, expected)
    assert not read
    (copy,) = home.glob("prepared-train*")
    data = bytearray(copy.read_bytes())
    for wrong in (data[:-1], bytes([data[0] ^ 1]) + data[1:]):
        copy.write_bytes(wrong)
        assert_array_equal(load_split(dataset, SPACE, "train").x, expected)
        assert copy.read_bytes() == data, "it is written again"
    for path in home.glob("*.zip"):
        path.unlink()
    assert_array_equal(load_split(dataset, SPACE, "train").x, expected)
    assert [check.ok for check in verify_files(dataset)] == [True, True, True, False]


def test_a_data_home_that_takes_no_copy_is_no_fault(parts, dataset, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    zips(parts, mine)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "file"))
    assert len(load_split({**dataset, "folder": "mine"}, SPACE, "train").x) == 30


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "train", "rows": [0, 9]}, "each_class = .FIRST, LAST"),
        ({"file": "all", "each_class": [0, 9]}, "each_class = .FIRST, LAST"),
        ({"file": "train", "each_class": [2, 2]}, "each_class = .FIRST, LAST"),
        ({"file": "train", "each_class": [0, 5]}, "rows 0 to 5 of each class, train has 4"),
        (7, "each_class = .FIRST, LAST"),
    ],
)
def test_a_split_that_means_nothing_is_refused(entry, message, dataset):
    with pytest.raises(UsageError, match=message):
        load_split({**dataset, "split": {"train": entry}}, SPACE, "train")


def test_a_suite_without_identity_or_names_is_refused(dataset):
    for key in ("options", "class_names"):
        with pytest.raises(UsageError, match=rf"lacks \[dataset.*{key}.*: add it"):
            load_split({k: v for k, v in dataset.items() if k != key}, SPACE, "train")


# Fetching.


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_archive_packed_otherwise_is_fetched(suffix, parts, dataset, mirror, home):
    url, served = mirror
    archive("py", suffix, squeezed if suffix else bytes)(parts, served)
    found = fetch(dataset, mirror=url)
    assert found[0].source == f"{url}/cifar-10-python.tar{suffix}"
    assert found[0].path == home / "cifar-10-python.tar"
    assert all(check.ok for check in verify_files(dataset))
    again = fetch(dataset, mirror=url)
    assert [(f.path, f.source) for f in again] == [(home / "cifar-10-python.tar", "")]


def test_an_archive_of_other_pictures_is_refused_by_name(parts, dataset, mirror, home):
    url, served = mirror
    wrong = changed(parts, "test", 3, np.zeros((32, 32, 3), np.uint8))
    archive("py", ".gz", squeezed)(wrong, served)
    message = r"cifar-10-python.tar.gz is not the test part.*row 3 of test_batch \(grey\): no pic"
    with pytest.raises(DataError, match=message):
        fetch(dataset, mirror=url)
    assert not list(home.iterdir())


def test_nothing_is_fetched_where_another_layout_lies(parts, dataset, home):
    zips(parts, home)
    found = fetch(dataset)
    assert [(f.path.name, f.source) for f in found] == [
        ("cifar10-train.zip", ""), ("cifar10-test.zip", ""),
    ]  # fmt: skip


def test_the_commands_know_the_suite():
    listed = CliRunner().invoke(cli, ["data", "list"], catch_exceptions=False).output
    assert "none stated (Krizhevsky 2009)" in listed
    said = CliRunner().invoke(cli, ["data", "verify", "cifar10"], standalone_mode=False)
    assert said.return_value == 6
    assert "genbench data fetch cifar10" in said.output
    assert CliRunner().invoke(cli, ["suite", "check"], standalone_mode=False).return_value == 0


def test_the_suite_names_the_official_archive_and_no_picture_ships():
    dataset = load_suite("cifar10").dataset
    archive, *lists = dataset["files"]
    assert archive["urls"] == ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"]
    assert [file["bytes"] for file in lists] == [4 * 50_000, 4 * 10_000]
    shipped = ROOT / "suites" / "data" / "cifar10"
    assert sum(path.stat().st_size for path in shipped.iterdir()) == 240_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not REAL.is_dir(), reason="needs CIFAR-10 in $GENBENCH_SHARED_DATA/cifar10")
def test_all_sources_of_the_real_pictures_are_one_data_set(tmp_path, monkeypatch):
    suite = load_suite("cifar10")
    parts, expected = {}, {}
    for name in EACH:
        source = find([REAL], name, CLASSES)
        found = source.read()
        part = cifar._part(suite.dataset, name)
        expected[name] = part.in_order(found, str(source.path))
        digests, _ = ordered(Rows(found.x, found.y))
        assert_array_equal(part.prefixes.ravel(), [int(d[:8], 16) for d in digests])
        mixed = np.random.default_rng(0).permutation(len(found.y))
        parts[name] = Rows(found.x[mixed], found.y[mixed])
    for layout, write in OFFICIAL.items():
        place = tmp_path / layout
        place.mkdir()
        write(parts, place)
        for name in EACH:
            source = find([place], name, CLASSES)
            x = cifar._part(suite.dataset, name).in_order(source.read(), str(source.path))
            assert_array_equal(x, expected[name])
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "home"))
    dataset = {**suite.dataset, "folder": str(tmp_path / "binary unpacked")}
    for split, each in (("train", 4000), ("valid", 1000), ("test", 1000)):
        rows = load_split(dataset, suite.space, split)
        assert rows.x.shape == (10 * each, 3, 32, 32)
        assert_array_equal(np.bincount(rows.y), each)
        assert np.bincount(rows.y[:500], minlength=10).min() > 25, "the first rows are of all"
