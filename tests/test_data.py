"""Data sets: exactly the declared rows, checked files, densities that integrate to one."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from genbench.data import toy
from genbench.data.idx import parse_idx
from genbench.data.loading import load_split, sources, verify_files
from genbench.errors import DataError, UsageError
from genbench.generator import Space

IMAGES = Space("image", (1, 2, 3), levels=256, classes=3)
DIGITS = Space("image", (1, 8, 8), levels=17, classes=10)
PLANE = Space("points", (2,))
TOYS = ("8gaussians", "checkerboard", "moons")


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def entry(role: str, path: Path, content: bytes | None = None) -> dict[str, Any]:
    data = path.read_bytes()
    body = {
        "role": role,
        "path": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return (
        body if content is None else body | {"content_sha256": hashlib.sha256(content).hexdigest()}
    )


@pytest.fixture
def images() -> np.ndarray:
    return np.arange(10 * 6, dtype=np.uint8).reshape(10, 2, 3)


@pytest.fixture
def idx_set(tmp_path: Path, images: np.ndarray) -> dict[str, Any]:
    contents = {"train-images": idx_bytes(images), "train-labels": idx_bytes(np.arange(10) % 3)}
    files = []
    for role, content in contents.items():
        path = tmp_path / f"{role}.gz"
        path.write_bytes(gzip.compress(content, mtime=0))
        files.append(entry(role, path, content))
    split = {
        "train": {"file": "train", "rows": [0, 7]},
        "valid": {"file": "train", "rows": [7, 10]},
    }
    return {"name": "tiny", "loader": "idx", "root": str(tmp_path), "files": files, "split": split}


def test_idx_gives_the_declared_rows_and_no_others(idx_set, images):
    train, valid = load_split(idx_set, IMAGES, "train"), load_split(idx_set, IMAGES, "valid")
    assert_array_equal(train.x, images[:7, None])
    assert_array_equal(valid.x, images[7:, None])
    assert_array_equal(valid.y, [1, 2, 0])
    assert valid.y.dtype == np.int64
    assert valid.x.base is None, "a view would keep the other split's rows in memory"


def test_idx_reads_files_that_are_not_compressed(idx_set, images, tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(idx_bytes(images))
    idx_set["files"][0] = entry("train-images", path)
    assert_array_equal(load_split(idx_set, IMAGES, "train").x, images[:7, None])


def test_the_same_content_compressed_otherwise_is_the_same_data(idx_set, images, tmp_path):
    path = tmp_path / "train-images.gz"
    path.write_bytes(gzip.compress(idx_bytes(images), compresslevel=1, mtime=1))
    assert all(check.ok for check in verify_files(idx_set))
    assert_array_equal(load_split(idx_set, IMAGES, "train").x, images[:7, None])


def test_an_altered_file_is_refused_with_both_checksums(idx_set, tmp_path):
    path = tmp_path / "train-images.gz"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(bytes(data))
    found = hashlib.sha256(bytes(data)).hexdigest()
    with pytest.raises(
        DataError, match=rf"train-images\.gz.*{found}.*{idx_set['files'][0]['sha256']}"
    ):
        load_split(idx_set, IMAGES, "train")
    first, second = verify_files(idx_set)
    assert (first.ok, second.ok) == (False, True)
    assert "restore" in first.problem
    assert first.sha256 == found


def test_a_missing_file_is_named(idx_set, tmp_path):
    (tmp_path / "train-labels.gz").unlink()
    with pytest.raises(DataError, match=r"cannot read data file .*train-labels\.gz"):
        load_split(idx_set, IMAGES, "train")
    assert not verify_files(idx_set)[1].ok


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b", "a\\b"])
def test_paths_stay_inside_the_suite_folder(idx_set, path):
    idx_set["files"][0]["path"] = path
    with pytest.raises(UsageError, match="stay inside"):
        load_split(idx_set, IMAGES, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with bytes none"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x00", "expected an idx file"),
        (idx_bytes(np.zeros((4, 2, 3)))[:-1], "truncated or padded"),
        (idx_bytes(np.zeros((4, 2, 3))) + b"x", "truncated or padded"),
    ],
)
def test_idx_headers_are_checked(content, message):
    with pytest.raises(DataError, match=message):
        parse_idx(content, "some-file")


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([7, 11], DataError, "rows 7 to 11 .* it has 10"),
        ([7, 7], UsageError, "FIRST, LAST"),
        ([-1, 7], UsageError, "FIRST, LAST"),
        ("all", UsageError, "FIRST, LAST"),
    ],
)
def test_row_ranges_are_checked(idx_set, rows, error, message):
    idx_set["split"]["valid"]["rows"] = rows
    with pytest.raises(error, match=message):
        load_split(idx_set, IMAGES, "valid")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space("image", (1, 3, 2), 256, 3), r"shape \(1, 2, 3\).*\(1, 3, 2\)"),
        (Space("image", (1, 2, 3), 32, 3), "levels 0..31"),
        (Space("image", (1, 2, 3), 256, 2), "in 0..2, expected .* in 0..1"),
        (Space("points", (1, 2, 3)), "float32"),
    ],
)
def test_rows_that_are_not_of_the_space_are_refused(idx_set, space, message):
    with pytest.raises(DataError, match=message):
        load_split(idx_set, space, "train")


def test_unknown_splits_and_loaders_are_usage_errors(idx_set):
    with pytest.raises(UsageError, match=r"no split 'test'.*train, valid"):
        load_split(idx_set, IMAGES, "test")
    with pytest.raises(UsageError, match="did you mean 'idx'"):
        load_split({**idx_set, "loader": "idxx"}, IMAGES, "train")


@pytest.fixture
def npz_set(tmp_path: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    path = tmp_path / "rows.npz"
    np.savez(path, x=random.normal(size=(9, 2)).astype(np.float32))
    split = {"train": {"file": "all", "rows": [0, 6]}, "test": {"file": "all", "rows": [6, 9]}}
    files = [entry("all", path)]
    return {
        "name": "mine",
        "loader": "arrays",
        "root": str(tmp_path),
        "files": files,
        "split": split,
    }


def test_arrays_come_from_npz(npz_set, tmp_path):
    stored = np.load(tmp_path / "rows.npz")["x"]
    assert_array_equal(load_split(npz_set, PLANE, "test").x, stored[6:])
    assert load_split(npz_set, PLANE, "train").y is None


def test_pickled_arrays_are_refused(npz_set, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.array([{"a": 1}], dtype=object))
    npz_set["files"] = [entry("all", tmp_path / "rows.npz")]
    with pytest.raises(DataError, match="not a plain npz"):
        load_split(npz_set, PLANE, "train")


def test_rows_with_nan_are_refused(npz_set, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.full((9, 2), np.nan, np.float32))
    npz_set["files"] = [entry("all", tmp_path / "rows.npz")]
    with pytest.raises(DataError, match="NaN"):
        load_split(npz_set, PLANE, "train")


def digits_set(**changes: Any) -> dict[str, Any]:
    split = {"seed": 0, "train": 1000, "valid": 397, "test": 400}
    return {"name": "digits", "loader": "sklearn-digits", "root": "/", "split": split} | changes


def test_digits_splits_are_disjoint_stratified_and_complete():
    from sklearn.datasets import load_digits

    parts = [load_split(digits_set(), DIGITS, name) for name in ("train", "valid", "test")]
    rows = np.concatenate([part.x for part in parts]).reshape(1797, -1)
    labels = np.concatenate([part.y for part in parts])
    given = load_digits()
    ours = np.concatenate([rows, labels[:, None]], 1)
    theirs = np.concatenate([given.data, given.target[:, None]], 1).astype(np.int64)
    assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    share = np.bincount(given.target) / 1797
    for part, n in zip(parts, (1000, 397, 400), strict=True):
        assert len(part.x) == n
        assert np.abs(np.bincount(part.y) - n * share).max() <= 2


def test_digits_of_another_release_are_refused():
    with pytest.raises(DataError, match="other data"):
        load_split(digits_set(content_sha256="0" * 64), DIGITS, "train")
    assert not verify_files(digits_set(content_sha256="0" * 64))[0].ok
    assert verify_files(digits_set())[0].ok


def test_digits_splits_must_fit():
    split = {"seed": 0, "train": 1000, "valid": 400, "test": 400}
    with pytest.raises(UsageError, match="1000 \\+ 400 \\+ 400"):
        load_split(digits_set(split=split), DIGITS, "train")


def toy_set(name: str) -> dict[str, Any]:
    split = {"train": {"n": 500, "seed": 1}, "test": {"n": 300, "seed": 2}}
    return {"name": name, "loader": "toy", "root": "/", "split": split}


@pytest.mark.parametrize("name", TOYS)
def test_toy_splits_are_reproducible_and_share_no_point(name):
    train, test = (load_split(toy_set(name), PLANE, split) for split in ("train", "test"))
    assert_array_equal(train.x, load_split(toy_set(name), PLANE, "train").x)
    assert (len(train.x), len(test.x)) == (500, 300)
    assert not set(map(tuple, train.x)) & set(map(tuple, test.x))
    assert verify_files(toy_set(name)) == []


def test_two_toy_splits_with_one_seed_are_refused():
    table = toy_set("moons")
    table["split"]["test"]["seed"] = 1
    with pytest.raises(UsageError, match="share rows"):
        load_split(table, PLANE, "test")
    with pytest.raises(UsageError, match="did you mean 'moons'"):
        load_split(toy_set("moon"), PLANE, "train")


def grid(cells: int, half: float) -> tuple[np.ndarray, float]:
    edge = (np.arange(cells) + 0.5) / cells * 2 * half - half
    return np.stack(np.meshgrid(edge, edge), -1).reshape(-1, 2), (2 * half / cells) ** 2


@pytest.mark.parametrize("name", TOYS)
def test_log_density_integrates_to_one_and_to_the_entropy(name):
    points, area = grid(192, 6.0 if name != "checkerboard" else 4.0)
    log_density = toy.log_density(name, points)
    density = np.exp(log_density) * area
    assert_allclose(density.sum(), 1.0, rtol=1e-7)
    inside = density > 0
    assert_allclose(-(density[inside] * log_density[inside]).sum(), toy.entropy(name), atol=2e-4)


@pytest.mark.parametrize("name", TOYS)
def test_samples_follow_the_density(name):
    """Monte Carlo entropy, and the chi-square of counts in cells against the density's integral."""
    n = 40_000
    x = toy.sample(name, n, seed=5)
    nll = -toy.log_density(name, x)
    assert abs(nll.mean() - toy.entropy(name)) < 4 * nll.std() / np.sqrt(n) + 1e-4
    points, area = grid(160, 8.0)
    cell = np.floor((points + 8) / 2).astype(int) @ [8, 1]
    expected = n * area * np.bincount(cell, np.exp(toy.log_density(name, points)), 64)
    counts = np.bincount(np.floor((x + 8) / 2).astype(int) @ [8, 1], minlength=64)
    used = expected > 20
    chi2 = ((counts - expected)[used] ** 2 / expected[used]).sum()
    assert chi2 < used.sum() + 5 * np.sqrt(2 * used.sum())


def test_moons_quadrature_agrees_with_a_fine_riemann_sum():
    x = toy.sample("moons", 50, seed=3).astype(np.float64)
    angle = (np.arange(200_000) + 0.5) * np.pi / 200_000
    upper = np.stack([2 * np.cos(angle) - 1, 2 * np.sin(angle) - 0.2])
    lower = np.stack([1 - 2 * np.cos(angle), 0.8 - 2 * np.sin(angle)])
    for point, found in zip(x, toy.log_density("moons", x), strict=True):
        kernels = [
            np.exp(-((point[:, None] - arc) ** 2).sum(0) / 0.08) / (0.08 * np.pi)
            for arc in (upper, lower)
        ]
        assert_allclose(np.exp(found), np.mean(kernels), rtol=1e-8)


def test_checkerboard_points_lie_on_their_squares_in_float32():
    x = toy.sample("checkerboard", 200_000, seed=0)
    assert np.isfinite(toy.log_density("checkerboard", x)).all()


def test_the_sources_of_a_data_set_are_its_files_and_not_the_folder_they_lie_in(
    tmp_path: Path,
) -> None:
    """They are hidden from generators, whose own code may lie beside them."""
    table = {"name": "t", "loader": "csv", "root": str(tmp_path / "suites"), "folder": "../mine",
             "files": [{"path": "rows.csv", "role": "rows", "sha256": ""}]}  # fmt: skip
    found = {path.resolve() for path in sources(table)}
    assert {tmp_path / "mine" / "rows.csv", tmp_path / "suites" / "rows.csv"} <= found
    assert not found & {tmp_path, tmp_path / "mine", tmp_path / "suites"}
