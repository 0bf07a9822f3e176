"""The suite emoji: the script that makes its pictures, and the pictures that ship."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genbench.data import further_splits, load_split
from genbench.errors import DataError
from genbench.features.extractors import list_extractors, load_extractor
from genbench.suites import make_emoji
from genbench.tasks import load_suite

DATA = Path(make_emoji.__file__).parent / "data" / "emoji"
SPLITS = ("train", "valid", "test", "vendor")


def listing() -> list[dict[str, str]]:
    """What stands beside the pictures that ship, a line each."""
    return list(csv.DictReader((DATA / "emoji.csv").read_text("utf-8").splitlines()))


def coded(pixels: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    options = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def drawing(seed: int, side: int) -> np.ndarray:
    """Blocks of any colour, RGBA; half transparent in places."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    return np.kron(blocks, np.ones((side // 8, side // 8, 1), np.uint8))


def entry(number: int, code: str, category: str) -> dict[str, object]:
    return {
        "unified": code, "image": f"{code.lower()}.png", "name": f"THING {code}",
        "category": category, "sort_order": number,
    }  # fmt: skip


@pytest.fixture
def packages(tmp_path: Path) -> list[make_emoji.Package]:
    """Made-up packages of three vendors: 12 things, a mirrored one, a flag, a family, a tone."""
    codes = [f"1F4{n:02X}" for n in range(12)]
    listed = [entry(n, code, "Objects") for n, code in enumerate(codes)]
    listed.append(entry(20, "1F500", "Objects"))  # the first, mirrored
    listed.append(entry(21, "1F1E6-1F1E8", "Flags"))
    listed += [entry(30 + n, f"{p}-200D-1F4BB", "People & Body")
               for n, p in enumerate(("1F9D1", "1F468", "1F469"))]  # fmt: skip
    listed.append(entry(40, "1F3FB", "Component"))
    found = []
    for which, vendor in enumerate((make_emoji.HELD_OUT, *make_emoji.TRAINED)):
        side = 256 if vendor.name == "fluent" else 64
        with tarfile.open(tmp_path / vendor.archive, "w:gz") as archive:
            files = {} if which else {make_emoji.LIST: json.dumps(listed).encode()}
            for n, one in enumerate(listed):
                mirrored = one["unified"] == "1F500"
                seed = 1000 * which if mirrored else 1000 * which + n
                pixels = drawing(seed, side)[:, :: -1 if mirrored else 1].copy()
                stem = str(one["image"]).removesuffix(".png")
                form = "WEBP" if vendor.name == "fluent" else "PNG"
                for name in (stem, f"{stem}-1f3fb"):
                    files[vendor.pictures.format(name)] = coded(pixels, form)
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        sha256 = hashlib.sha256((tmp_path / vendor.archive).read_bytes()).hexdigest()
        found.append(make_emoji.read_package(tmp_path, vendor, sha256))
    return found


def test_the_script_makes_the_same_bytes_twice(packages) -> None:
    once, again = (make_emoji.make(packages[0], packages[1:]) for _ in range(2))
    assert make_emoji.npz(once) == make_emoji.npz(again)
    with np.load(io.BytesIO(make_emoji.npz(once)), allow_pickle=False) as arrays:
        assert arrays["x"].shape == (len(once), 3, 32, 32)
        np.testing.assert_array_equal(arrays["x"][3].transpose(1, 2, 0), once[3].picture)
        assert set(arrays["y"].tolist()) == {2, 4, 5}
    assert make_emoji.listing(once).splitlines()[1].startswith("train,")


def test_mirrored_pictures_tones_and_borrowed_flags_are_left_out(packages) -> None:
    rows = make_emoji.make(packages[0], packages[1:])
    codes = {row.concept.code for row in rows}
    assert "1F400" in codes
    assert not codes & {"1F500", "1F3FB"}
    assert all("-1f3fb" not in stem for package in packages for stem in package.pictures)
    flags = {(row.vendor) for row in rows if row.concept.code == "1F1E6-1F1E8"}
    assert "fluent" not in flags
    assert "noto" in flags


def test_a_family_stays_in_one_split_and_the_held_out_vendor_alone(packages) -> None:
    rows = make_emoji.make(packages[0], packages[1:])
    family = {row.split for row in rows if row.concept.code.endswith("1F4BB")} - {"vendor"}
    assert len(family) == 1
    assert {r.vendor for r in rows if r.split == "vendor"} == {"twemoji"}
    assert all(r.vendor != "twemoji" for r in rows if r.split != "vendor")
    tested = {r.concept for r in rows if r.split == "test"}
    assert {r.concept for r in rows if r.split == "vendor"} == tested != set()


def test_half_transparent_red_on_nothing_is_pink_and_transparent_black_is_white() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:2, :2] = (255, 0, 0, 128)
    pixels[:1, :1] = (255, 0, 0, 255)
    found = make_emoji.on_white(Image.fromarray(pixels))
    assert found[0, 0].tolist() == [255, 95, 95]  # the mean of 0 and three times 127
    assert (found.reshape(-1, 3)[1:] == 255).all()


def test_another_archive_is_refused_by_its_name(tmp_path: Path) -> None:
    vendor = make_emoji.HELD_OUT
    with pytest.raises(DataError, match=r"is not in .*: fetch it with `npm pack`"):
        make_emoji.read_package(tmp_path, vendor, vendor.sha256)
    (tmp_path / vendor.archive).write_bytes(b"another")
    with pytest.raises(DataError, match=f"{vendor.archive} has SHA-256"):
        make_emoji.read_package(tmp_path, vendor, vendor.sha256)


def test_the_listing_is_about_the_pictures_that_ship() -> None:
    suite, lines = load_suite("emoji"), listing()
    names = suite.document["dataset"]["class_names"]
    assert tuple(names) == make_emoji.CATEGORIES
    assert further_splits(suite.dataset) == ["vendor"]
    for split in SPLITS:
        mine = [line for line in lines if line["split"] == split]
        rows = load_split(suite.dataset, suite.space, split)
        assert rows.y is not None
        assert [names[y] for y in rows.y] == [line["category"] for line in mine]
        assert set(Counter(rows.y.tolist())) == set(range(9))
    with np.load(DATA / "emoji.npz", allow_pickle=False) as arrays:
        assert len(arrays["x"]) == len(lines)


def test_no_idea_is_in_two_splits_and_no_vendor_is_trained_on_that_is_held_out() -> None:
    lines = listing()
    families, codes = defaultdict(set), defaultdict(set)
    for line in lines:
        concept = make_emoji.Concept(line["concept"], "", line["name"], line["category"])
        split = "test" if line["split"] == "vendor" else line["split"]
        families[concept.family].add(split)
        codes[line["split"]].add(line["concept"])
    assert all(len(found) == 1 for found in families.values())
    assert codes["vendor"] == codes["test"]
    vendors = {(line["split"] == "vendor", line["vendor"]) for line in lines}
    assert vendors == {(True, "twemoji"), (False, "noto"), (False, "fluent")}


def test_no_picture_is_there_twice_nor_mirrored() -> None:
    suite = load_suite("emoji")
    seen: Counter[bytes] = Counter()
    for split in SPLITS:
        for picture in load_split(suite.dataset, suite.space, split).x:
            seen[min(picture.tobytes(), picture[:, :, ::-1].tobytes())] += 1
    assert max(seen.values()) == 1


@pytest.mark.slow
def test_pictures_of_two_ideas_are_farther_apart_than_the_threshold() -> None:
    suite, lines = load_suite("emoji"), listing()
    x = np.concatenate([load_split(suite.dataset, suite.space, split).x for split in SPLITS])
    apart = make_emoji.distances(x.transpose(0, 2, 3, 1))
    concept = np.array([line["concept"] for line in lines])
    assert apart[concept[:, None] != concept[None]].min() >= make_emoji.NEAR


def test_a_control_can_draw_what_the_suite_asks_for() -> None:
    for profile in ("smoke", "standard", "full"):
        suite = load_suite("emoji", profile)
        valid = load_split(suite.dataset, suite.space, "valid")
        assert suite.n_samples <= len(valid.x)
        assert "fid:vendor" in [metric.id for metric in suite.metrics]


def test_its_classifier_names_most_pictures_of_ideas_that_it_never_saw() -> None:
    """Less than a half, and its class probabilities would make no score of the suite."""
    suite = load_suite("emoji")
    extractor = load_extractor("emoji-cnn", suite.space)
    test = load_split(suite.dataset, suite.space, "test")
    found = extractor.extract(test.x)
    share = float((found.probabilities.argmax(1) == test.y).mean())
    assert share > 0.65
    assert share == pytest.approx(list_extractors()["emoji-cnn"].accuracy, abs=5e-3)
    assert found.features.shape == (len(test.x), 96)
    for profile in ("smoke", "standard", "full"):
        metrics = [metric.id for metric in load_suite("emoji", profile).metrics]
        assert "classifier_score@emoji-cnn" in metrics
