"""`genbench synthesize`: what is left out and why, the same bytes twice, valid metadata."""

from __future__ import annotations

import json
from pathlib import Path

import mlcroissant
import numpy as np
import pytest
from PIL import Image

from genbench.errors import Declined, UsageError
from genbench.metrics.values import MetricValue
from genbench.results.aggregation import RowKey
from genbench.results.records import Record
from genbench.synthesis.evidence import nearest_point, require_help
from genbench.synthesis.filters import Filters, near_threshold, pixel_distance
from tests.conftest import HERE, PLUGINS, Done, genbench
from tests.report_fixtures import cell_of, record

pytestmark = pytest.mark.slow
IMAGES = HERE / "tiny-images.toml"
BASE = ("synthesize", "--suite", IMAGES, "--plugin", PLUGINS / "parrot.py")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthesis")


def smooth(home: Path, out: str, *more: object) -> Done:
    return genbench(*BASE, "-g", "smooth", "-n", 60, "-o", out, *more, cwd=home)


@pytest.fixture(scope="module")
def made(home: Path) -> Path:
    """A balanced set in two splits, from a generator that is trained on the way."""
    done = smooth(home, "one", "--balance", "classes", "--splits", "train=0.5,test=0.5")
    assert done.code == 0, done.err
    assert "60 rows of" in done.out
    return home / "one"


def test_it_writes_images_arrays_card_and_metadata(made: Path) -> None:
    assert {p.name for p in made.iterdir()} == {"README.md", "metadata.json", "data.npz", "images"}
    with np.load(made / "data.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for split in ("train", "test"):
        assert np.bincount(arrays[f"y_{split}"], minlength=10).tolist() == [3] * 10
        x = arrays[f"x_{split}"]
        assert x.dtype == np.uint8
        assert x.shape == (30, 1, 8, 8)
        for i, label in enumerate(arrays[f"y_{split}"]):
            with Image.open(made / "images" / split / str(label) / f"{i:06d}.png") as picture:
                stretched = np.round(x[i, 0] * (255 / 16))
                assert np.array_equal(np.asarray(picture), stretched)


def test_no_row_repeats_and_none_is_a_training_row(made: Path) -> None:
    from genbench.data.loading import load_split
    from genbench.tasks.suite import load_suite

    suite = load_suite(str(IMAGES))
    train = {row.tobytes() for row in load_split(suite.dataset, suite.space, "train").x}
    with np.load(made / "data.npz", allow_pickle=False) as file:
        rows = [row.tobytes() for name in ("x_train", "x_test") for row in file[name]]
    assert len(set(rows)) == 60
    assert not set(rows) & train


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant uses
def test_the_metadata_is_croissant_and_reads_the_images(made: Path) -> None:
    data = mlcroissant.Dataset(made / "metadata.json")
    assert not data.metadata.issues.errors
    found = list(data.records("examples"))
    assert len(found) == 60
    with np.load(made / "data.npz", allow_pickle=False) as file:
        labels = sorted(np.concatenate([file["y_train"], file["y_test"]]).tolist())
    assert sorted(int(r["examples/label"]) for r in found) == labels
    assert {r["examples/split"] for r in found} == {b"train", b"test"} or {
        r["examples/split"] for r in found
    } == {"train", "test"}


def test_the_card_tells_where_the_rows_come_from(made: Path) -> None:
    card = (made / "README.md").read_text()
    body = json.loads((made / "metadata.json").read_text())
    for text in (
        "60 synthetic rows", "`smooth`", "profile `standard`, seed 0", "No row is real",
        "| train | 3 | 3 |", "Exact copies of training rows", "Near copies were not looked for",
        "Not measured", "CC BY 4.0", body["version"],
    ):  # fmt: skip
        assert text in card


def test_the_same_command_gives_the_same_bytes(home: Path, made: Path) -> None:
    done = smooth(home, "two", "--balance", "classes", "--splits", "train=0.5,test=0.5")
    assert done.code == 0, done.err
    assert "training" not in done.err
    for path in sorted(made.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (home / "two" / path.relative_to(made)).read_bytes()


def test_filters_are_counted_and_told(home: Path, made: Path) -> None:
    done = smooth(home, "three", "--filter", "confidence=0.6", "--drop-near-copies")
    # Every row is a training row with a little noise: nothing else to find.
    assert done.code == 2
    assert "only 0 of 60 rows passed" in done.err
    assert "near copy of a training row" in done.err
    assert "lower --filter" in done.err
    assert not (home / "three").exists()


def test_a_copier_gives_nothing(home: Path, made: Path) -> None:
    done = genbench(*BASE, "-g", "parrot", "-n", 60, "-o", "copies", cwd=home)
    assert done.code == 2
    assert "copy of a training row" in done.err


def test_a_folder_with_other_content_is_left_alone(home: Path, made: Path) -> None:
    other = home / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    assert "holds other files" in smooth(home, "mine", "--overwrite").err
    assert (other / "thesis.txt").read_text() == "years of work"
    assert "pass --overwrite" in smooth(home, "one").err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--filter", "confidence=2"), "is not confidence=SHARE"),
        (("--filter", "beauty=0.5"), "is not confidence=SHARE"),
        (("--splits", "train=0.5"), "shares that sum to 1"),
        (("--splits", "../up=1"), "lower-case names"),
    ],
)
def test_options_out_of_range_are_refused(home: Path, options, message: str) -> None:
    done = smooth(home, "no", *options)
    assert done.code == 2
    assert message in done.err


def test_points_are_not_built(home: Path) -> None:
    done = genbench(
        "synthesize", "--suite", HERE / "tiny.toml", "--plugin", PLUGINS / "normal.py",
        "-g", "normal", "-n", 10, "-o", "points", cwd=home,
    )  # fmt: skip
    assert done.code == 2
    assert "holds points: synthesize builds data sets of images, of sounds and of texts" in done.err


def helped(*points: tuple[int, int, str]) -> Record:
    details = {
        "points": [
            {"n": n, "ratio": ratio, "arm": "real+synthetic", "verdict": verdict,
             "gain": {"mean": 0.01, "low": -0.01, "high": 0.03}}
            for n, ratio, verdict in points
        ]
    }  # fmt: skip
    value = MetricValue("ok", value=1.0, higher_is_better=True, details=details)
    return record("01J", cell_of("vae", "vae", 0), metrics={"augmentation_gain": value})


def test_the_point_nearest_to_the_asked_size_decides() -> None:
    found = helped((100, 1, "hurts"), (100, 4, "helps"), (1000, 4, "no evidence"))
    assert nearest_point(found, 90)["verdict"] == "hurts"
    assert "400 synthetic rows added to 100 real ones: +1.00" in require_help(found, 500)
    with pytest.raises(Declined, match="no evidence that rows of vae help at this size") as caught:
        require_help(found, 20_000)
    assert caught.value.exit_code == 7


def test_without_evidence_of_help_nothing_is_written(home: Path) -> None:
    done = genbench(*BASE, "-g", "own", "-n", 60, "-o", "unhelpful", "--if-helps", cwd=home)
    assert done.code == 7, done.err
    assert "no evidence that rows of own help at this size" in done.err
    assert not (home / "unhelpful").exists()


def test_of_points_as_near_every_one_must_help() -> None:
    found = helped((50, 4, "helps"), (200, 1, "no evidence"))
    with pytest.raises(Declined, match="added to 200 real ones"):
        require_help(found, 200)


def test_without_a_measured_curve_it_cannot_be_told() -> None:
    bare = record("01J", cell_of("vae", "vae", 0), metrics={})
    assert RowKey.of(bare).name == "vae"
    with pytest.raises(UsageError, match="was not measured: run the suite"):
        require_help(bare, 100)


def test_near_copies_are_found_by_the_distance_of_heldout_rows() -> None:
    random = np.random.default_rng(0)
    train, heldout = (random.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8) for n in (500, 300))
    near = near_threshold(pixel_distance(heldout, train))
    assert (pixel_distance(heldout, train) <= near).mean() == pytest.approx(0.01, abs=0.005)
    close = train[:50].copy()
    close[:, 0, 0, 0] ^= 1
    filters = Filters(train, near=near)
    by_chance = int((pixel_distance(heldout[:100], train) <= near).sum())
    kept, _ = filters.apply(np.concatenate([train[:20], close, heldout[:100], heldout[:1]]), None)
    assert filters.removed == {
        "duplicate": 1,
        "copy of a training row": 20,
        "near copy of a training row": 50 + by_chance,
        "low confidence": 0,
    }
    assert len(kept) + sum(filters.removed.values()) == filters.drawn == 171


def test_low_confidence_goes_and_unlabelled_rows_get_the_likeliest_class() -> None:
    def classify(x):
        sure = x[:, 0, 0, 0] / np.float32(255)
        return np.stack([sure, 1 - sure], 1)

    x = np.zeros((4, 1, 1, 1), np.uint8)
    x[:, 0, 0, 0] = (0, 90, 165, 255)
    filters = Filters(np.full((1, 1, 1, 1), 7, np.uint8), classify=classify, confidence=0.9)
    kept, labels = filters.apply(x, None)
    assert kept.ravel().tolist() == [0, 255]
    assert labels.tolist() == [1, 0]
    again = Filters(np.full((1, 1, 1, 1), 7, np.uint8), classify=classify, confidence=0.9)
    kept, labels = again.apply(x, np.zeros(4, np.int64))
    assert kept.ravel().tolist() == [255]
    assert again.removed["low confidence"] == 3
