"""Image files as people have them: turned by their EXIF, linked, of every type; none is dropped."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps

from genbench.data import readers
from genbench.data.loading import load_split
from genbench.errors import DataError
from genbench.formats.imagepixels import BadImage, decode, header
from genbench.generator import Space
from genbench.tasks.new import NewSuite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.suite import Suite, load_suite
from tests.test_external import kept, small, staged, zip_of

ORIENTATION = 0x0112
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {},
    "JPEG": {"quality": 100, "subsampling": 0},
}

# EXIF 2.32, 4.6.4.A: where row 0 and column 0 of the stored image lie as it is shown. Each entry
# stores a picture so that the tag makes a viewer show the picture itself.
STORE = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def picture(colour: bool, height: int = 6, width: int = 9) -> np.ndarray:
    """Smooth, so that JPEG keeps it within a few levels, and different under every turn."""
    rows, columns = np.mgrid[:height, :width]
    grey = 10 + 12 * rows + 15 * columns
    return np.stack([grey, 250 - grey, grey // 2], 2).astype(np.uint8)[..., : 3 if colour else 1]


def stored(a: np.ndarray, orientation: int, kind: str) -> bytes:
    """A file of the picture, turned back by its tag."""
    turned = np.ascontiguousarray(STORE[orientation](a))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(turned[..., 0] if turned.shape[2] == 1 else turned)
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif, **LOSSLESS[kind])
    return buffer.getvalue()


@pytest.mark.parametrize("kind", list(LOSSLESS))
@pytest.mark.parametrize("orientation", list(STORE))
@pytest.mark.parametrize("colour", [False, True])
def test_an_image_is_read_as_a_viewer_shows_it(kind: str, orientation: int, colour: bool) -> None:
    a = picture(colour)
    data = stored(a, orientation, kind)
    space = Space("image", (a.shape[2], *a.shape[:2]), levels=256)
    x = decode(data, space)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB" if colour else "L")
        shown = np.asarray(upright).reshape(a.shape)
    assert_array_equal(x, shown.transpose(2, 0, 1))
    assert np.abs(x.astype(int) - a.transpose(2, 0, 1)).max() <= (12 if kind == "JPEG" else 0)
    assert header(data) == ((3 if colour or kind == "WEBP" else 1), *a.shape[:2])


def test_an_orientation_behind_the_pixels_of_a_png_counts() -> None:
    a = picture(False)
    data = stored(a, 6, "PNG")
    at = data.index(b"eXIf") - 4
    size = int.from_bytes(data[at : at + 4], "big") + 12
    end = data.index(b"IEND") - 4
    moved = data[:at] + data[at + size : end] + data[at : at + size] + data[end:]
    assert moved.index(b"IDAT") < moved.index(b"eXIf")
    assert header(moved) == (1, 6, 9)
    assert_array_equal(decode(moved, Space("image", (1, 6, 9), levels=256))[0], a[..., 0])


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_what_is_no_orientation_turns_nothing(orientation: int) -> None:
    a = picture(False)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.fromarray(a[..., 0]).save(buffer, "PNG", exif=exif)
    assert_array_equal(
        decode(buffer.getvalue(), Space("image", (1, 6, 9), levels=256))[0], a[..., 0]
    )


def test_a_size_is_told_as_a_viewer_shows_it() -> None:
    data = stored(picture(False, 6, 9), 6, "PNG")
    with pytest.raises(BadImage, match="is 9 x 6, the suite has 6 x 9"):
        decode(data, Space("image", (1, 9, 6), levels=256))


def folder_of(place: Path, orientation: int, kind: str = "PNG", n: int = 120) -> Path:
    rng = np.random.default_rng(0)
    for i in range(n):
        a = rng.integers(0, 60, (28, 28, 1), dtype=np.uint8) + np.uint8(90 * (i % 2))
        a[:14] //= 2
        path = place / f"class{i % 2}" / f"{i:03}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored(a, orientation, kind))
    return place


def packed(place: Path) -> Path:
    out = place.with_suffix(".zip")
    with zipfile.ZipFile(out, "w") as file:
        for path in sorted(place.rglob("*.*")):
            file.write(path, path.relative_to(place))
    return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 2)


def suite_of(images: Path, out: Path) -> tuple[NewSuite, Suite]:
    out.mkdir()
    found = new_suite("mine", folder=out, images=images, shares=(0.5, 0.25, 0.25))
    return found, load_suite(str(out / "mine.toml"))


@pytest.mark.parametrize("orientation", [6, 7])
def test_both_commands_turn_folders_and_zips(orientation: int, tmp_path: Path, quick: None) -> None:
    plain = folder_of(tmp_path / "plain", 1)
    turned = folder_of(tmp_path / "turned", orientation)
    expected = kept(staged(plain, small(100), tmp_path), tmp_path)["x"]
    for place in (turned, packed(turned)):
        assert_array_equal(kept(staged(place, small(100), tmp_path), tmp_path)["x"], expected)
    suites = [suite_of(place, tmp_path / f"of-{place.name}")[1] for place in (plain, turned)]
    for split in ("train", "valid", "test"):
        x, y = (load_split(s.dataset, s.space, split).x for s in suites)  # type: ignore[arg-type]
        assert_array_equal(x, y)


def test_suites_of_the_first_reader_keep_the_pixels_they_were_made_of(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder_of(tmp_path / "turned", 6)
    _, suite = suite_of(place, tmp_path / "out")
    assert suite.document["dataset"]["reader"] == readers.READERS["image-folder"] == 4
    old = {k: v for k, v in suite.dataset.items() if k != "reader"}
    third = {**suite.dataset, "reader": 3}
    now, then = (load_split(d, suite.space, "train").x for d in (third, old))
    assert_array_equal(np.rot90(now, 1, (2, 3)), then)


# Other types and places.


@pytest.mark.parametrize(
    "name", ["a.bmp", "a.gif", "a.tif", "a.tiff", "a.TIF", "a.jpe", "a.jfif", "a.pgm", "a.ppm"]
)
def test_other_types_are_read(name: str, tmp_path: Path) -> None:
    grey = np.arange(784, dtype=np.uint16).reshape(28, 28) % 251
    kind = {"jpe": "JPEG", "jfif": "JPEG", "tif": "TIFF", "pgm": "PPM", "ppm": "PPM"}
    suffix = name.split(".")[1].lower()
    image = Image.fromarray(np.full((28, 28), 90, np.uint8) if "j" in name else grey.astype("u1"))
    image = image.convert("RGB") if suffix == "ppm" else image
    for i in range(2):
        image.save(tmp_path / f"{i}{name}", kind.get(suffix, suffix.upper()))
    rows = kept(staged(tmp_path, small(2), tmp_path / "out"), tmp_path / "out")
    assert_array_equal(rows["x"][0, 0], np.asarray(image.convert("L")))


@pytest.mark.parametrize("name", ["a.heic", "a.avif", "a.jp2", "a.TGA", "a.svg"])
def test_types_that_are_not_read_are_named(name: str, tmp_path: Path, quick: None) -> None:
    place = folder_of(tmp_path / "images", 1)
    (place / "class0" / name).write_bytes(b"anything")
    message = rf"class0/{name} is of a type that is not read \(.*\): save it as PNG"
    with pytest.raises(DataError, match=message):
        staged(place, small(121), tmp_path)
    with pytest.raises(DataError, match=message):
        suite_of(place, tmp_path / "out")
    found = staged(place, small(120), tmp_path, on_bad="skip")
    assert found.choice.description.unranked == ""


def test_an_animation_is_named(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((28, 28), v, np.uint8)) for v in (10, 200)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a.gif has 2 frames(.|\n)*a.tif has 2 frames"):
        staged(tmp_path, small(2), tmp_path / "out")


def test_other_files_and_empty_folders_are_told_by_both(tmp_path: Path, quick: None) -> None:
    place = folder_of(tmp_path / "images", 1)
    (place / "readme.txt").write_text("")
    (place / "class0" / "list.txt").write_text("")
    (place / "class1" / "noext").write_text("")
    (place / "class7" / "deep").mkdir(parents=True)
    notes = ("3 files of other types ignored (2 .txt, 1 without a suffix)", "no images in 'class7'")
    assert set(notes) <= set(staged(place, small(20), tmp_path).notes)
    found, _ = suite_of(place, tmp_path / "out")
    assert set(notes) <= set(found.notes)


def test_linked_class_folders_are_read(tmp_path: Path, quick: None) -> None:
    place = folder_of(tmp_path / "real", 1)
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("class0", "class1"):
        (linked / name).symlink_to(place / name, target_is_directory=True)
    expected = kept(staged(place, small(100), tmp_path), tmp_path)
    assert_array_equal(kept(staged(linked, small(100), tmp_path), tmp_path)["x"], expected["x"])
    _, suite = suite_of(linked, tmp_path / "out")
    assert suite.document["dataset"]["class_names"] == ["class0", "class1"]
    rows = sum(len(load_split(suite.dataset, suite.space, s).x) for s in ("train", "valid", "test"))  # type: ignore[arg-type]
    assert rows == 120


def circle(place: Path) -> None:
    (place / "class0" / "up").symlink_to("..", target_is_directory=True)


def two_circle(place: Path) -> None:
    (place / "class0" / "other").symlink_to("../class1", target_is_directory=True)
    (place / "class1" / "other").symlink_to("../class0", target_is_directory=True)


def nowhere(place: Path) -> None:
    (place / "class2").symlink_to("gone", target_is_directory=True)


def pipe(place: Path) -> None:
    os.mkfifo(place / "class0" / "pipe.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (circle, "class0/up is a link to a folder that it lies in"),
        (two_circle, "is a link to a folder that it lies in"),
        (nowhere, "class2 is a link to nothing: mend or remove it"),
        (pipe, "class0/pipe.png is no file"),
    ],
)
def test_links_and_files_that_lead_nowhere_are_named(
    spoil: Any, message: str, tmp_path: Path
) -> None:
    place = folder_of(tmp_path / "images", 1, n=4)
    spoil(place)
    with pytest.raises(DataError, match=message):
        staged(place, small(20), tmp_path)


def test_a_zip_with_a_linked_folder_or_a_member_twice_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("7")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("3/a.png", stored(picture(False, 28, 28), 1, "PNG"))
        file.writestr(info, "../elsewhere")
    with pytest.raises(DataError, match="has the link '7': pack what it leads to"):
        staged(tmp_path / "a.zip", small(2), tmp_path)
    data = zip_of(tmp_path / "b.zip", {"a.png": b"", "b.png": b""}).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(b"b.png", b"a.png"))
    with pytest.raises(DataError, match=r"has the member 'a.png' twice"):
        staged(tmp_path / "b.zip", small(2), tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_suite_names_no_file_that_is_not_utf_8(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "images", 1)
    os.rename(place / "class1", os.fsencode(place) + b"/cl\xff")
    with pytest.raises(DataError, match=r"cl\\udcff/001.png is not named in UTF-8: rename it"):
        suite_of(place, tmp_path / "out")


def test_images_of_0_and_1_are_refused_by_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(200):
        path = tmp_path / "images" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 2, (28, 28), dtype=np.uint8)).save(path)
    for call in (
        lambda: staged(tmp_path / "images", small(20), tmp_path),
        lambda: suite_of(tmp_path / "images", tmp_path / "out"),
    ):
        with pytest.raises(DataError, match=r"holds 0 and 1 only, of 0..255: .* \(x \* 255\)"):
            call()
