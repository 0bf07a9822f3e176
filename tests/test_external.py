"""Samples made elsewhere: every way to bring them, and every fault named."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from safetensors.numpy import save_file

import genbench.formats.arrayfiles
import genbench.formats.mediafiles
from genbench.errors import DataError
from genbench.plugins.external import Staged, _slug, samples_path, stage
from genbench.results.store import CACHE, Store
from genbench.running.cells import _file_name
from genbench.system.npzfile import load_arrays
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import TINY, Command

MNIST = load_suite("mnist", "smoke")
POINTS = load_suite(str(TINY))
N = MNIST.n_samples


def small(n: int, base: Suite = MNIST) -> Suite:
    """MNIST that asks for `n` samples."""
    protocol = {**base.document["protocol"], "n_samples": n}
    return Suite({**base.document, "protocol": protocol}, base.profile, base.root)


def staged(samples: Any, suite: Suite, tmp_path: Path, **options: Any) -> Staged:
    return stage(samples, suite, None, Store(tmp_path / "results"), **options)


def kept(found: Staged, tmp_path: Path) -> dict[str, np.ndarray]:
    cache = tmp_path / "results" / CACHE
    return load_arrays(samples_path(cache, found.choice.description.source))


def digits(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 28, 28), dtype=np.uint8)


def write_images(folder: Path, x: np.ndarray, suffix: str = ".png", names: Any = None) -> None:
    for i, image in enumerate(x):
        path = folder / (names[i] if names else f"{i:04}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(image[0]).save(path, **options)


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def giant_png() -> bytes:
    """A PNG of a few bytes whose header claims 100,000 x 100,000 pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body
    return start + struct.pack(">I", zlib.crc32(body)) + struct.pack(">I", 9) + b"IDAT" + bytes(9)


# Arrays.


def write_npz(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez_compressed(path / "a.npz", x=x, y=y)
    return path / "a.npz"


def write_pt(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    torch.save({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, path / "a.pt")
    return path / "a.pt"


def write_safetensors(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    save_file({"x": x, "y": y}, path / "a.safetensors")
    return path / "a.safetensors"


@pytest.mark.parametrize("write", [write_npz, write_pt, write_safetensors])
def test_every_array_format_gives_the_same_seeded_subset(
    write: Callable[[Path, np.ndarray, np.ndarray], Path], tmp_path: Path
) -> None:
    x, y = digits(90), np.arange(90) % 10
    found = staged(write(tmp_path, x, y), small(40), tmp_path)
    again = kept(staged((x, y), small(40), tmp_path), tmp_path)
    rows = kept(found, tmp_path)
    assert_array_equal(rows["x"], again["x"])
    assert_array_equal(rows["y"], again["y"])
    where = [int(np.flatnonzero((x == row).all((1, 2, 3)))[0]) for row in rows["x"]]
    assert len(set(where)) == 40, "without replacement"
    assert where == sorted(where)
    assert where != list(range(40)), "not simply the first rows"
    assert_array_equal(rows["y"], y[where])
    assert found.notes == ()
    assert found.choice.description.unranked == ""
    assert "40 of 90 samples" in found.choice.description.summary


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (digits(50)[:, 0], "no channel axis"),
        (np.ascontiguousarray(digits(50).transpose(0, 2, 3, 1)), "channels last"),
        (np.asfortranarray(digits(50)), "Fortran order"),
    ],
)
def test_layouts_of_images_that_mean_the_same(x: np.ndarray, what: str, tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz"):
        if name == "a.npy":
            np.save(tmp_path / name, x)
        else:
            np.savez(tmp_path / name, x=x)
        rows = kept(staged(tmp_path / name, small(50), tmp_path), tmp_path)
        assert_array_equal(rows["x"], digits(50), err_msg=f"{name} {what}")


def test_only_the_rows_that_are_scored_are_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr(genbench.formats.arrayfiles, "CHUNK_BYTES", 1 << 16)
    np.savez(tmp_path / "a.npz", x=np.zeros((40_000, 28, 28), np.uint8))  # 31 MB
    suite = small(100)
    tracemalloc.start()
    staged(tmp_path / "a.npz", suite, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# Prints by how many MiB the memory that no file backs grew at most, looked at every 2 ms.
_WATCHED = """
import re, sys, threading
from pathlib import Path
from genbench.plugins.external import stage
from genbench.results.store import Store
from tests.test_external import small

def held():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10

place, file, warm = map(Path, sys.argv[1:])
stage(warm, small(100), None, Store(place / "warm"))
before, seen, done = held(), [], threading.Event()
def look():
    while not done.wait(0.002):
        seen.append(held())

watch = threading.Thread(target=look)
watch.start()
stage(file, small(100), None, Store(place / "results"))
done.set()
watch.join()
print(max(seen) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux about memory")
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "pt", "safetensors"])
def test_a_file_of_400_mb_is_scored_within_96(kind: str, tmp_path: Path) -> None:
    def write(name: str, n: int) -> Path:
        x = np.zeros((n, 28, 28), np.uint8)
        file = tmp_path / f"{name}.{'npz' if kind == 'compressed' else kind}"
        if kind == "pt":
            torch.save({"x": torch.from_numpy(x)}, file)
        elif kind == "safetensors":
            save_file({"x": x}, file)
        elif kind == "npy":
            np.save(file, x)
        else:
            (np.savez_compressed if kind == "compressed" else np.savez)(file, x=x)
        return file

    files = [write("large", 540_000), write("small", 200)]
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, tmp_path, *files],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 96


# Prints how many bytes Python objects took at most, and what was read; nothing else runs there.
_TRACED = """
import sys, tracemalloc
from pathlib import Path
from genbench.plugins.external import stage
from genbench.results.store import Store
from tests.test_external import small

place, images = map(Path, sys.argv[1:])
stage(images, small(50), None, Store(place / "warm"))
tracemalloc.start()
found = stage(images, small(100), None, Store(place / "results"))
print(tracemalloc.get_traced_memory()[1], found.choice.description.summary)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_are_read_one_by_one(kind: str, tmp_path: Path) -> None:
    data = png(digits(1)[0, 0])
    names = [f"{i:05}.png" for i in range(20_000)]  # 16 MB once they are decoded
    if kind == "zip":
        place = zip_of(tmp_path / "images.zip", dict.fromkeys(names, data))
    else:
        place = tmp_path / "images"
        place.mkdir()
        for name in names:
            (place / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _TRACED, tmp_path, place],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    peak, _, summary = done.stdout.partition(" ")
    assert "100 of 20,000 samples" in summary
    # Half a kilobyte a name, and a whole one for each entry of a zip's directory.
    assert int(peak) < (20_000 << (10 if kind == "zip" else 9)) + (2 << 20)


def forged_npz(path: Path) -> Path:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000, 28, 28), }"
    text = header.ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    return zip_of(path / "bad.npz", {"x.npy": data + bytes(100)})


def pickled_pt(path: Path) -> Path:
    torch.save({"x": os.getcwd}, path / "bad.pt")
    return path / "bad.pt"


def truncated_npy(path: Path) -> Path:
    np.save(path / "bad.npy", digits(50))
    data = (path / "bad.npy").read_bytes()
    (path / "bad.npy").write_bytes(data[:-9])
    return path / "bad.npy"


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        (path / name).write_bytes(data)
        return path / name

    return write


def saved(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        np.savez(path / "bad.npz", **arrays)
        return path / "bad.npz"

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (forged_npz, "claims uint8 of shape (9000000000, 28, 28)"),
        (pickled_pt, "cannot read bad.pt as arrays without pickle"),
        (truncated_npy, "it is truncated or forged"),
        (written("bad.npz", b"PK not a zip"), "cannot read bad.npz as arrays without pickle"),
        (written("bad.safetensors", b"\xff" * 40), "cannot read bad.safetensors"),
        (written("bad.tar", b""), ".tar is not read: use .npz, .npy, .pt"),
        (saved(z=digits(9)), "bad.npz has no array 'x' (it holds z): name it x"),
        (
            saved(x=digits(9) / 255),
            "array x holds float64 in 0..1, so 0..1 it seems: convert with to_uint8(x, 0, 1)",
        ),
        (saved(x=digits(9)[..., :27]), "has shape (9, 1, 28, 27), expected (9, 1, 28, 28)"),
        (saved(x=digits(1)), "bad.npz holds 1 rows of dtype uint8: at least 2 rows"),
        (saved(x=np.float32(3)), "is a single number, not rows"),
        (saved(x=digits(9), y=np.arange(8)), "y has shape (8,), x has 9 rows"),
        (
            saved(x=digits(9), y=np.arange(9) + 5),
            "labels '10', '11', '12', '13' are no class of mnist: its classes are 0, 1",
        ),
        (saved(x=digits(9), y=np.ones(9)), "array y is float64, expected int64 labels"),
    ],
)
def test_faults_of_array_files_are_named(
    write: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        staged(write(tmp_path), small(9), tmp_path)
    assert message in str(error.value)
    assert "bad." in str(error.value)


def test_fewer_samples_than_asked_are_unranked_and_said(tmp_path: Path) -> None:
    found = staged(digits(30), small(40), tmp_path)
    (note,) = found.notes
    assert note == "30 of the 40 samples that the suite asks for: scored, not ranked"
    assert found.choice.description.unranked == note


def test_labels_of_arrays_may_lie_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", digits(20))
    y = np.arange(20) % 10
    np.save(tmp_path / "y.npy", y)
    (tmp_path / "y.txt").write_text("\n".join(map(str, y)))
    for name in ("y.npy", "y.txt"):
        found = staged(tmp_path / "a.npy", small(20), tmp_path, labels=tmp_path / name)
        assert_array_equal(kept(found, tmp_path)["y"], y)
    (tmp_path / "bad.txt").write_text("1\n77\n")
    with pytest.raises(DataError, match=r"bad.txt, line 2: '77' is no class"):
        staged(tmp_path / "a.npy", small(20), tmp_path, labels=tmp_path / "bad.txt")


# Arrays that are not what they seem.


def of_colours(shape: list[int], n: int = 9) -> Suite:
    """A suite of unlabelled colour images that asks for `n` samples."""
    space = {"kind": "image", "shape": shape, "levels": 256, "classes": 0}
    dataset = {**MNIST.document["dataset"], "space": space}
    return small(n, Suite({**MNIST.document, "dataset": dataset}, MNIST.profile, MNIST.root))


def coloured(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 4, 5), dtype=np.uint8)


def test_flat_colour_images_are_refused_with_both_orders_named(tmp_path: Path) -> None:
    x = coloured(9)
    suite = of_colours([3, 4, 5])
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    for flat in (x.reshape(9, -1), last.reshape(9, -1)):
        np.savez(tmp_path / "flat.npz", x=flat)
        with pytest.raises(DataError) as error:
            staged(tmp_path / "flat.npz", suite, tmp_path)
        assert "save x.reshape(-1, 4, 5, 3) or x.reshape(-1, 3, 4, 5)" in str(error.value)
    for right in (x, last):
        assert_array_equal(kept(staged(right, suite, tmp_path), tmp_path)["x"], x)


def test_flat_grey_images_have_one_order(tmp_path: Path) -> None:
    x = digits(9)
    assert_array_equal(kept(staged(x.reshape(9, -1), small(9), tmp_path), tmp_path)["x"], x)


def test_how_axes_were_read_is_told_where_two_ways_fit(tmp_path: Path) -> None:
    found = staged(coloured(9)[:, :, :3, :3], of_colours([3, 3, 3]), tmp_path)
    assert found.notes == (
        "x of shape (9, 3, 3, 3) is read with its channels first, as (n, C, H, W)",
    )


def scaled(low: float, high: float, dtype: str = "float32") -> np.ndarray:
    return np.linspace(low, high, 9 * 784).reshape(9, 1, 28, 28).astype(dtype)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (scaled(0, 1), "holds float32 in 0..1, so 0..1 it seems: convert with to_uint8(x, 0, 1)"),
        (scaled(-1, 1, "float16"), "float16 in -1..1, so -1..1 it seems: convert with to_uint8"),
        (scaled(0, 255, "int64"), "holds int64 in 0..255: save x.astype(numpy.uint8)"),
        (np.rint(scaled(0, 255)), "holds float32 in 0..255: save x.astype(numpy.uint8)"),
        (scaled(-3, 4), "convert with to_uint8(x, LOW, HIGH), the values of black and white"),
        (scaled(0, 400, "int32"), "holds int32 in 0..400, expected 0..255: save the levels"),
        (digits(9) > 9, "holds truth values: save (x * 255).astype(numpy.uint8)"),
        (digits(9) // 128, "holds 0 and 1 only, of 0..255: images in 0..1 that were cast before"),
        (np.full((9, 1, 28, 28), np.nan), "holds NaN or infinity: leave those rows out"),
        (digits(9).astype("c8"), "array x is complex64: save numbers"),
        (np.array([[None]] * 9), "holds Python objects: save one array of numbers"),
        (np.zeros(9, [("a", "f4"), ("b", "f4")]), "has named columns: save numpy.column_stack"),
        (np.zeros((9, 784), "V2"), "is |V2, as bfloat16 is written: save x.astype(numpy.float32)"),
        (np.ma.masked_equal(digits(9), 7), "masked entries: leave out the rows that have any"),
    ],
)
def test_images_that_are_no_levels_are_told_what_they_look_like(
    x: np.ndarray, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        staged(x, small(9), tmp_path)
    assert message in str(error.value)


def test_black_images_may_be_a_model_s_own(tmp_path: Path) -> None:
    found = staged(np.zeros((9, 1, 28, 28), np.uint8), small(9), tmp_path)
    assert (kept(found, tmp_path)["x"] == 0).all()


def test_a_masked_array_without_masked_entries_is_an_array(tmp_path: Path) -> None:
    x = np.ma.array(digits(9), mask=False)
    assert_array_equal(kept(staged(x, small(9), tmp_path), tmp_path)["x"], digits(9))


def points(n: int = 400) -> np.ndarray:
    """Numbers that bfloat16 holds exactly."""
    return np.random.default_rng(0).integers(-99, 99, (n, 2)).astype(np.float32) / 4


@pytest.mark.parametrize("dtype", [">f4", ">f8", "f2", "f8", "g"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", None])
def test_floats_of_every_size_and_byte_order_are_points(
    dtype: str, suffix: str | None, tmp_path: Path
) -> None:
    x: Any = points().astype(dtype)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", x)
    elif suffix == ".npz":
        np.savez(tmp_path / "a.npz", x=x)
    given = x if suffix is None else tmp_path / f"a{suffix}"
    suite = small(400, POINTS)
    assert_array_equal(kept(staged(given, suite, tmp_path), tmp_path)["x"], points())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", None])
def test_torch_s_floats_are_points(dtype: torch.dtype, suffix: str | None, tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_tensors

    x = torch.from_numpy(points()).to(dtype)
    if suffix == ".pt":
        torch.save(x, tmp_path / "a.pt")
    elif suffix == ".safetensors":
        save_tensors({"x": x}, tmp_path / "a.safetensors")
    given = x if suffix is None else tmp_path / f"a{suffix}"
    suite = small(400, POINTS)
    assert_array_equal(kept(staged(given, suite, tmp_path), tmp_path)["x"], points())


def test_what_numpy_fills_masked_floats_with_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ma.masked_greater(points(), 20).filled())
    with pytest.raises(DataError, match=r"holds 1e20 \d+ times, as NumPy fills masked entries"):
        staged(tmp_path / "a.npz", small(400, POINTS), tmp_path)


# Image files.


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("packed", [False, True])
def test_folders_and_zips_of_images_are_read_without_loss(
    suffix: str, packed: bool, tmp_path: Path
) -> None:
    place = tmp_path / "images"
    x = digits(30)
    write_images(place, x, suffix, [f"{i % 10}/{i:02}{suffix}" for i in range(30)])
    (place / "readme.txt").write_text("mine")
    if packed:
        files = sorted(p for p in place.rglob("*") if p.is_file())
        members = {f"top/{p.relative_to(place)}": p.read_bytes() for p in files}
        place = zip_of(tmp_path / "images.zip", members)
    found = staged(place, small(30), tmp_path)
    order = np.lexsort((np.arange(30), np.arange(30) % 10))
    assert_array_equal(kept(found, tmp_path)["x"], x[order])
    assert_array_equal(kept(found, tmp_path)["y"], np.arange(30)[order] % 10)
    assert found.notes == ("1 files of other types ignored (.txt)",)


def test_jpegs_and_grey_images_saved_in_colour_are_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    write_images(folder, np.full((2, 1, 28, 28), 90, np.uint8), ".jpg")
    Image.fromarray(np.full((28, 28, 3), 90, np.uint8)).save(folder / "colour.png")
    rows = kept(staged(folder, small(3), tmp_path), tmp_path)
    assert (rows["x"] == 90).all()


def bad_folder(folder: Path) -> Path:
    """Twenty good images and one of each fault."""
    write_images(folder, digits(20))
    grey = digits(1)[0, 0]
    (folder / "empty.png").write_bytes(b"")
    (folder / "corrupt.png").write_bytes(png(grey)[:80])
    (folder / "text.jpg").write_bytes(b"<html>")
    (folder / "giant.png").write_bytes(giant_png())
    Image.fromarray(grey[:27]).save(folder / "odd.png")
    Image.fromarray(grey.astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(np.zeros((28, 28, 4), np.uint8)).save(folder / "alpha.png")
    Image.fromarray(np.arange(28 * 28 * 3).reshape(28, 28, 3).astype(np.uint8)).save(
        folder / "colour.png"
    )
    frames = [Image.fromarray(digits(1, seed)[0, 0]) for seed in (1, 2)]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    (folder / "link.png").symlink_to(folder / "0000.png")
    return folder


FAULTS = {
    "empty.png": "is empty",
    "corrupt.png": "is corrupt or no image of a type that is read",
    "text.jpg": "is corrupt or no image of a type that is read",
    "giant.png": "claims a giant size in its header",
    "odd.png": "is 28 x 27, the suite has 28 x 28",
    "deep.png": "has 16 bits or more per channel",
    "alpha.png": "has transparency (RGBA): flatten it",
    "colour.png": "is in colour, the suite is grey",
    "moving.png": "has 2 frames",
    "link.png": "is a link: put the file itself there",
}


def test_every_bad_image_is_named_with_its_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        staged(bad_folder(tmp_path / "images"), small(30), tmp_path)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("10 of 30 files of images are not images of the suite's space (1 x")
    assert lines[0].endswith("leave them out with --on-bad skip")
    for name, fault in FAULTS.items():
        assert any(line.strip().startswith(f"{name} {fault}") for line in lines), (name, lines)


def test_bad_images_may_be_skipped_and_others_take_their_place(tmp_path: Path) -> None:
    folder = bad_folder(tmp_path / "images")
    found = staged(folder, small(20), tmp_path, on_bad="skip")
    assert_array_equal(kept(found, tmp_path)["x"], digits(20))
    assert found.choice.description.unranked == ""
    whole = staged(folder, small(25), tmp_path, on_bad="skip")
    assert [n for n in whole.notes if n.startswith("skipped: odd.png is 28 x 27")]
    assert len(whole.notes) == len(FAULTS) + 2
    assert whole.notes[-1].startswith("20 of the 25 samples")


def test_levels_beyond_the_space_are_told(tmp_path: Path) -> None:
    suite = load_suite("digits")
    for i in range(2):
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match=r"grey levels up to 255, the space has 0..16"):
        staged(tmp_path, suite, tmp_path)


def bomb(path: Path) -> Path:
    members = {f"{i}.png": png(digits(1)[0, 0]) for i in range(3)}
    zip_of(path / "bad.zip", members)
    with zipfile.ZipFile(path / "bad.zip", "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(3 << 20))
    return path / "bad.zip"


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genbench.formats.mediafiles, "MOST_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"bomb.png unpacks to more than 1 MiB"):
        staged(bomb(tmp_path), small(9), tmp_path)


def encrypted(path: Path) -> Path:
    file = zip_of(path / "bad.zip", {"a.png": png(digits(1)[0, 0])})
    data = bytearray(file.read_bytes())
    data[6] |= 1  # the flag in the local header and in the directory
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(bytes(data))
    return file


def linked(path: Path) -> Path:
    info = zipfile.ZipInfo("a.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path / "bad.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    return path / "bad.zip"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: zip_of(p / "bad.zip", {"../a.png": b""}), "'../a.png', which leaves it"),
        (lambda p: zip_of(p / "bad.zip", {"/a.png": b""}), "'/a.png', which leaves it"),
        (lambda p: zip_of(p / "bad.zip", {"C:/a.png": b""}), "'C:/a.png', which leaves it"),
        (encrypted, "bad.zip is encrypted"),
        (linked, "the link 'a.png': pack what it leads to"),
        (lambda p: zip_of(p / "bad.zip", {"a.txt": b""}), "holds no images (1 other files)"),
        (written("bad.zip", b"no zip"), "cannot read bad.zip as a zip"),
        (lambda p: p / "bad", "no samples at"),
    ],
)
def test_faults_of_zips_are_named(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        staged(make(tmp_path), small(9), tmp_path)
    assert message in str(error.value)


def test_images_are_no_samples_of_points(tmp_path: Path) -> None:
    write_images(tmp_path / "images", digits(3))
    message = r"images is a folder or zip, suite 'tiny' holds points: give arrays .* or a \.csv"
    with pytest.raises(DataError, match=message):
        staged(tmp_path / "images", POINTS, tmp_path)


# Labels of image files.


def test_folders_that_are_no_classes_give_no_labels_and_say_so(tmp_path: Path) -> None:
    write_images(tmp_path / "a", digits(2), names=["one/0.png", "two/1.png"])
    found = staged(tmp_path / "a", small(2), tmp_path)
    assert found.choice.description.labels == "none"
    assert found.notes == ("no labels: folder 'two' is no class of mnist",)


def test_class_folders_beside_others_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "a", digits(2), names=["1/0.png", "12/1.png"])
    with pytest.raises(DataError, match="folder '12' beside class folders of mnist"):
        staged(tmp_path / "a", small(2), tmp_path)
    write_images(tmp_path / "b", digits(2), names=["1/0.png", "1.png"])
    with pytest.raises(DataError, match="files outside class folders beside"):
        staged(tmp_path / "b", small(2), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0000.png,3\n", "has no label for 1 files (0001.png, ...)"),
        ("0000.png,3\n0001.png,x\n", "labels.csv, line 2: 'x' is no class"),
        (
            "file,label\n\n0000.png,3\n0001.png,4\n./0000.png,7\n",
            "labels '0000.png' in line 3 and again in line 5: keep one",
        ),
        ("0000.png,3\n0001.png,4\n0000.png,3\n", "'0000.png' in line 1 and again in line 3"),
        ("../0000.png,3\n", "line 1: there is no file '../0000.png'"),
        ("0000.png\n", "is not file,label"),
    ],
)
def test_faults_of_a_label_table_are_named(text: str, message: str, tmp_path: Path) -> None:
    write_images(tmp_path / "a", digits(2))
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError) as error:
        staged(tmp_path / "a", small(2), tmp_path, labels=tmp_path / "labels.csv")
    assert message in str(error.value)
    assert "labels.csv" in str(error.value)


def test_a_label_table_labels_images(tmp_path: Path) -> None:
    write_images(tmp_path / "a", digits(2))
    (tmp_path / "labels.csv").write_text("file,label\n0001.png,4\n0000.png,3\n")
    found = staged(tmp_path / "a", small(2), tmp_path, labels=tmp_path / "labels.csv")
    assert_array_equal(kept(found, tmp_path)["y"], [3, 4])


# The whole way.


@pytest.mark.slow
def test_a_short_row_is_scored_shown_and_not_ranked(run_genbench: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "few.npy", rng.normal(size=(200, 2)))
    np.save(tmp_path / "many.npy", rng.normal(size=(900, 2)))
    done = run_genbench("score", "many.npy", "--suite", TINY, "--no-report")
    assert done.code == 0, done.err
    done = run_genbench("score", "few.npy", "--suite", TINY)
    assert done.code == 0, done.err
    assert "note:    200 of the 300 samples that the suite asks for" in done.err
    rows = [line.split() for line in done.out.splitlines() if "(scored)" in line]
    assert {row[1]: row[0] for row in rows} == {"many": "1", "few": "–"}
    (path,) = (tmp_path / "results").glob("*/few~*/seed-0/*/record.json")
    cell = json.loads(path.read_text())["cell"]["generator"]
    assert cell["unranked"].startswith("200 of the 300")
    assert cell["pretrained_on"].startswith("unknown")
    assert "scored, not ranked" in (tmp_path / "results" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My Model!", "my-model"),
        ("模型", "模型"),
        ("מודל שלי", "מודל-שלי"),
        ("میں\u200cہوں", "میں\u200cہوں"),
        ("e\u0301te\u0301", "\xe9t\xe9"),
        ("नमूना 2", "नमूना-2"),
        ("\u202egnp\u2066/../x", "gnp-x"),
        ("/../..", "samples"),
        ("x" * 500, "x" * 64),
        ("模型".encode().decode("ascii", "surrogateescape"), "模型"),
    ],
)
def test_a_name_keeps_its_script(text: str, name: str) -> None:
    assert _slug(text) == name
    assert _slug(name) == name


@pytest.mark.parametrize(("asked", "told"), [("a", False), ("[/a]", True)])
def test_a_row_that_is_not_called_as_was_asked_says_so(
    tmp_path: Path, asked: str, told: bool
) -> None:
    x = np.zeros((8, 2), np.float32)
    notes = stage(x, load_suite("moons", "smoke"), asked, Store(tmp_path)).notes
    assert any("the row is called a:" in note for note in notes) == told


def test_the_folder_of_a_name_is_ascii_and_its_own() -> None:
    names = ["模型", "模形", "été", "ete", "t", "name", "נוסח"]
    folders = {_file_name(name) for name in names}
    assert len(folders) == len(names)
    assert all(folder.isascii() and "/" not in folder for folder in folders)
    assert _file_name("my-model") == "my-model"
