"""A suite from one's own pictures: colour, other sizes, transparency; bad ones with a remedy."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from genbench.data.loading import load_split, verify_files
from genbench.errors import DataError, UsageError
from genbench.formats.imagefit import Fitting, fitting
from genbench.formats.imagepixels import BadImage, decode
from genbench.generator import Space
from genbench.tasks.new import NewSuite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import Command

N = 240
NAMES = ("cats", "dogs", "fish")
WHITE = "#ffffff"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 2)


def picture(i: int, height: int = 12, width: int = 12, mode: str = "RGB") -> Image.Image:
    """A picture like no other, whose class `i % 3` is the channel that is bright."""
    pixels = np.random.default_rng(i).integers(0, 60, (height, width, 3))
    pixels[..., i % 3] += 150
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def clear(i: int) -> Image.Image:
    """A picture whose upper half is not there."""
    image = picture(i, mode="RGBA")
    alpha = np.full((12, 12), 255, np.uint8)
    alpha[:6] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def photos(folder: Path, n: int = N, **options: Any) -> Path:
    for i in range(n):
        path = folder / NAMES[i % 3] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, **options).save(path)
    return folder


def made(place: Path, **options: Any) -> tuple[NewSuite, Suite]:
    place.mkdir(exist_ok=True)
    found = new_suite("mine", folder=place, shares=(0.6, 0.2, 0.2), **options)
    return found, load_suite(str(place / "mine.toml"))


def rows(suite: Suite) -> np.ndarray:
    parts = [load_split(suite.dataset, suite.space, s) for s in ("train", "valid", "test")]  # type: ignore[arg-type]
    return np.concatenate([part.x for part in parts])


def png(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_class_folders_of_colour_pictures_become_a_suite(tmp_path: Path, quick: None) -> None:
    found, suite = made(tmp_path / "out", images=photos(tmp_path / "photos"))
    assert suite.space == Space("image", (3, 12, 12), levels=256, classes=3)
    assert suite.document["dataset"]["class_names"] == list(NAMES)
    assert "options" not in suite.document["dataset"], "nothing is done to them"
    part = load_split(suite.dataset, suite.space, "test")
    assert_array_equal(part.x.mean((2, 3)).argmax(1), part.y)
    assert sum(found.rows.values()) == N


def test_the_first_rows_of_a_split_are_of_all_classes(tmp_path: Path, quick: None) -> None:
    """Files are listed class after class, which is how suites of earlier readers are served."""
    _, suite = made(tmp_path / "out", images=photos(tmp_path / "photos"))
    now = load_split(suite.dataset, suite.space, "train")
    before = load_split({**suite.dataset, "reader": 3}, suite.space, "train")
    assert len(set(before.y[:20])) == 1
    assert np.bincount(now.y[:30]).min() >= 5
    assert_array_equal(now.x.mean((2, 3)).argmax(1), now.y)
    assert sorted(row.tobytes() for row in now.x) == sorted(row.tobytes() for row in before.x)
    _, moved = made(tmp_path / "again", images=photos(tmp_path / "photos"))
    assert_array_equal(load_split(moved.dataset, moved.space, "train").x, now.x)


def test_a_zip_of_class_folders_is_the_folder_that_it_holds(tmp_path: Path, quick: None) -> None:
    place, packed = photos(tmp_path / "photos"), tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(place.rglob("*.png")):
            file.write(path, path.relative_to(place))
    plain, zipped = (made(tmp_path / f"of-{p.name}", images=p)[1] for p in (place, packed))
    for split in ("train", "valid", "test"):
        one, other = (load_split(s.dataset, s.space, split) for s in (plain, zipped))  # type: ignore[arg-type]
        assert_array_equal(one.x, other.x)
        assert_array_equal(one.y, other.y)
    assert plain.task_hash == zipped.task_hash
    assert all(check.ok for check in verify_files(zipped.dataset))
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot read photos.zip as a zip: .*: pack it again"):
        load_split(zipped.dataset, zipped.space, "test")
    assert not all(check.ok for check in verify_files(zipped.dataset))
    (tmp_path / "photos.rar").write_bytes(b"")
    with pytest.raises(DataError, match=r"no folder and no zip of images at .*photos\.rar"):
        made(tmp_path / "out", images=tmp_path / "photos.rar")


# Sizes.


def test_sizes_that_differ_are_counted_and_resize_makes_them_one(
    tmp_path: Path, quick: None
) -> None:
    place = photos(tmp_path / "photos")
    picture(300, 20, 10).save(place / "cats" / "tall.png")
    picture(301, 6, 6).save(place / "dogs" / "small.jpg", quality=95)
    with pytest.raises(DataError) as error:
        made(tmp_path / "out", images=place)
    text = str(error.value)
    assert "2 of 242 files of" in text
    assert "sizes differ, 240 of 12 x 12, 1 of 10 x 20, 1 of 6 x 6 " in text
    assert "cats/tall.png is 10 x 20, the suite has 12 x 12" in text
    assert "--resize 32 makes them one" in text
    assert "\n" not in text, "an error is one line"
    found, suite = made(tmp_path / "out", images=place, fitting=fitting(16))
    assert suite.space.shape == (3, 16, 16)
    assert sum(found.rows.values()) == N + 2
    (cut,) = (note for note in found.notes if "squares" in note)
    assert cut.startswith("1 of 242 images are no squares: the centre of each is kept (--fit")
    assert "242 of 242 images are enlarged to 16 x 16" in found.notes
    options = {"resize": 16, "filter": "bicubic", "fit": "crop"}
    assert suite.document["dataset"]["options"] == options
    assert (
        "cut to its centre square and resized to 16 x 16" in suite.document["suite"]["description"]
    )


def test_a_picture_is_cut_to_its_centre_and_resized_by_the_stated_filter() -> None:
    image = picture(0, 30, 50)
    space = Space("image", (3, 10, 10), levels=256)
    for fit, source in (("crop", image.crop((10, 0, 40, 30))), ("stretch", image)):
        want = source.resize((10, 10), Image.Resampling.BICUBIC)
        x = decode(png(image), space, fitting=fitting(10, fit))
        assert_array_equal(x, np.asarray(want).transpose(2, 0, 1))
    same = picture(1, 10, 10)
    x = decode(png(same), space, fitting=fitting(10))
    assert_array_equal(x, np.asarray(same).transpose(2, 0, 1), "of that size already: kept")


def test_an_image_shrinks_without_aliasing() -> None:
    """Stripes of one pixel become grey, and not the stripe that is met."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    x = decode(png(Image.fromarray(stripes)), Space("image", (3, 8, 8), 256), fitting=fitting(8))
    assert int(x.min()) > 100
    assert int(x.max()) < 155


def test_the_fitting_is_in_the_task_hash_and_in_signatures(tmp_path: Path, quick: None) -> None:
    from genbench.data import changed_by

    place = photos(tmp_path / "photos", height=20)
    suites = [
        made(tmp_path / f"out{i}", images=place, fitting=asked)[1]
        for i, asked in enumerate((fitting(8), fitting(8, "stretch"), fitting(10)))
    ]
    assert len({suite.task_hash for suite in suites}) == 3
    assert changed_by(suites[0].dataset) == "resize:8,filter:bicubic,fit:crop"
    assert changed_by({**suites[0].dataset, "options": {}}) == ""


def test_pixels_that_come_out_otherwise_are_named(tmp_path: Path, quick: None) -> None:
    """Another version of the filter would move rows between the splits' contents unseen."""
    _, suite = made(tmp_path / "out", images=photos(tmp_path / "p", height=20), fitting=fitting(8))
    other = {**suite.dataset, "options": {"resize": 8, "filter": "bicubic", "fit": "stretch"}}
    with pytest.raises(DataError, match=r"image cats/\d+.png .* comes out in other pixels"):
        load_split(other, suite.space, "train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 4, "filter": "bicubic"}, "resize is 4: give a side of 8 to 1024 pixels"),
        ({"resize": 32}, "resize, filter and fit stand together"),
        ({"resize": 32, "filter": "box"}, "filter is 'box'"),
        ({"resize": 32, "filter": "bicubic", "fit": "pad"}, "fit is 'pad': known: crop, stretch"),
        ({"background": "mauve"}, "background 'mauve' is no colour: give white, black, grey"),
        ({"size": 32}, "there is no option 'size'"),
    ],
)
def test_options_that_cannot_be_are_named(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Fitting.of(options)


def test_options_of_pictures_are_refused_for_other_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rgb are for --images: leave them out"):
        made(tmp_path, csv=tmp_path / "a.csv", fitting=fitting(32))
    with pytest.raises(UsageError, match="fit is 'crop' and nothing is resized"):
        fitting(None, "crop")


# Colour, transparency, depth.


def test_transparency_is_refused_or_laid_on_a_background(tmp_path: Path, quick: None) -> None:
    place = photos(tmp_path / "photos", mode="RGBA")
    _, opaque = made(tmp_path / "opaque", images=place)
    assert opaque.space.shape == (3, 12, 12), "alpha that lets nothing through is none"
    clear(0).save(place / "cats" / "000.png")
    with pytest.raises(DataError) as error:
        made(tmp_path / "out", images=place)
    assert "1 with transparency (cats/000.png has transparency (RGBA))" in str(error.value)
    assert "--background white lays them on white" in str(error.value)
    _, suite = made(tmp_path / "out", images=place, fitting=fitting(background="white"))
    assert suite.document["dataset"]["options"] == {"background": WHITE}
    laid = [x for x in rows(suite) if (x[:, :6] == 255).all()]
    assert len(laid) == 1
    assert_array_equal(laid[0][:, 6:], np.asarray(picture(0)).transpose(2, 0, 1)[:, 6:])


@pytest.mark.parametrize("mode", ["P", "LA", "1", "L", "RGB"])
def test_what_a_palette_or_a_grey_picture_lets_through_counts(mode: str) -> None:
    """Transparency has many forms: of an index, of a grey level, of a colour, as a channel."""
    grey = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 8, 0).repeat(16, 1))
    channels = 1 if mode in ("LA", "1", "L") else 3
    image = grey.convert(mode)
    marks = {"P": 0, "1": 0, "L": 0, "RGB": (0, 0, 0)}
    if mode == "LA":
        image.putalpha(grey)
        data = png(image)
    else:
        data = png(image, transparency=marks[mode])
    space = Space("image", (channels, 16, 16), levels=256)
    with pytest.raises(BadImage, match="has transparency"):
        decode(data, space)
    x = decode(data, space, fitting=fitting(background="#808080"))
    assert set(x[:, :8].ravel()) == {128}
    assert set(x[:, 8:].ravel()) == {255}


def test_grey_among_colour_is_counted_and_rgb_takes_it(tmp_path: Path, quick: None) -> None:
    place = photos(tmp_path / "photos")
    for i in (0, 3):
        picture(i, mode="L").save(place / "cats" / f"{i:03}.png")
    with pytest.raises(DataError) as error:
        made(tmp_path / "out", images=place)
    text = str(error.value)
    assert "2 grey among 238 in colour (cats/000.png is grey, most are in colour; cats/003" in text
    assert "--rgb takes them as RGB" in text
    skipped, _ = made(tmp_path / "skipped", images=place, skip_bad=True)
    assert sum(skipped.rows.values()) == N - 2
    found, suite = made(tmp_path / "out", images=place, rgb=True)
    assert suite.space.shape == (3, 12, 12)
    assert sum(found.rows.values()) == N
    assert "2 of 240 images are grey and taken as RGB" in found.notes


def test_colour_among_grey_is_counted_and_rgb_takes_all(tmp_path: Path, quick: None) -> None:
    place = photos(tmp_path / "photos", mode="L")
    picture(0).save(place / "cats" / "000.png")
    with pytest.raises(DataError, match=r"1 in colour among 239 grey .*--rgb takes all as RGB"):
        made(tmp_path / "out", images=place)
    _, suite = made(tmp_path / "out", images=place, rgb=True)
    assert suite.space.shape == (3, 12, 12)


def deep_png() -> bytes:
    """A PNG of 16 bits a colour, as Pillow does not write them."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    body = (b"\0" + bytes(range(72))) * 12
    head = struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(
        b"IDAT", zlib.compress(body)
    ) + chunk(b"IEND", b"")  # fmt: skip


def deep_ppm() -> bytes:
    return b"P6 12 12 65535\n" + bytes(864)


def cmyk() -> bytes:
    buffer = io.BytesIO()
    picture(0).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("deep.png", deep_png(), r"has 16 bits or more per channel \(RGB\): save 8 bits"),
        ("deep.ppm", deep_ppm(), r"has 16 bits or more per channel \(RGB\): save 8 bits"),
        ("print.jpg", cmyk(), "has colour mode CMYK: save it as grey or RGB"),
        ("torn.png", png(picture(0))[:150], "is corrupt or no image of a type that is read"),
    ],
)
def test_one_bad_picture_among_many_is_named(
    name: str, data: bytes, message: str, tmp_path: Path, quick: None
) -> None:
    place = photos(tmp_path / "photos")
    (place / "dogs" / name).write_bytes(data)
    said = rf"1 of 241 files of .* cannot be used: dogs/{name} {message}"
    with pytest.raises(DataError, match=said):
        made(tmp_path / "out", images=place)
    assert list((tmp_path / "out").iterdir()) == []
    found, _ = made(tmp_path / "out", images=place, skip_bad=True)
    assert any(note.startswith(f"skipped: dogs/{name}") for note in found.notes)


def test_earlier_readers_take_the_upper_bits_as_they_did() -> None:
    space = Space("image", (3, 12, 12), levels=256)
    x = decode(deep_png(), space, deep=True)
    assert_array_equal(x[0, 0], np.arange(0, 72, 6))


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    image = picture(0).quantize(200)
    x = decode(png(image), Space("image", (3, 12, 12), levels=256))
    assert_array_equal(x, np.asarray(image.convert("RGB")).transpose(2, 0, 1))


# Folders.


def test_class_folders_that_differ_between_splits_are_named(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    photos(place / "train")
    photos(place / "test")
    (place / "test" / "dogs").rename(place / "test" / "Dogs")
    with pytest.raises(DataError) as error:
        made(tmp_path / "out", images=place)
    text = str(error.value)
    assert (
        "the class folders of test, train differ ('Dogs' is not in train, 'dogs' is not in" in text
    )
    assert f"name them alike, or give one of them, such as {place / 'train'}" in text


@pytest.mark.slow
def test_pictures_of_64_pixels_go_all_the_way(
    run_genbench: Command, tmp_path: Path, quick: None
) -> None:
    place = photos(tmp_path / "photos", height=70, width=64)
    made(tmp_path, images=place, fitting=fitting(64))
    suite = tmp_path / "mine.toml"
    text = suite.read_text().replace("examples = 5000", "examples = 64")
    told = '"noise", "mode-dropped"]'
    assert told in text
    suite.write_text(text.replace(f'"train-copy", "gaussian", {told}', '"gaussian"]'))
    done = run_genbench("run", "--suite", "./mine.toml", "--profile", "smoke", "-g", "gan",
                        "--skip", "downstream", "--json")  # fmt: skip
    assert done.code == 0, done.err
    found = {line["generator"]: line["metrics"] for line in done.lines}
    assert found.keys() == {"gan", "gaussian", "heldout"}
    assert all(metrics["fid"]["value"] > 0 for metrics in found.values())
