"""Suites are data: every shipped one is sound, every fault in one is named with its remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.tasks.lock import check_lock, write_lock
from genbench.tasks.suite import Suite, load_suite, profiles_of, shipped
from tests.conftest import TINY

TEXT = TINY.read_text()


def edited(tmp_path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new, 1))
    return path


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_suite_has_sound_profiles(name: str) -> None:
    assert {"smoke", "standard", "full"} <= set(profiles_of(name))
    budgets = [load_suite(name, p).budget for p in ("smoke", "standard", "full")]
    assert budgets == sorted(budgets)
    assert len(set(budgets)) == 3
    hashes = {load_suite(name, p).task_hash for p in profiles_of(name)}
    assert len(hashes) == len(profiles_of(name)), "profiles are never ranked together"
    suite = load_suite(name)
    assert suite.name == name
    assert suite.document["dataset"]["licence"]


def test_the_shipped_suites_are_locked() -> None:
    assert check_lock(next(iter(shipped().values())).parent) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_samples = 300", "n_sample = 300", r"line \d+: unknown key 'n_sample'.*'n_samples'"),
        ('primary = "fid"\n', "", r"\[suite\] lacks 'primary'"),
        ("n_samples = 300", 'n_samples = "300"', r"line \d+: 'n_samples' .* expected int"),
        ("n_samples = 300", "n_samples = 1", r"must be at least 2"),
        ("examples = 2000", "examples = 0", r"must be at least 1"),
        ('id = "precision"', 'id = "precison"', r"'precision'"),
        ('id = "precision"', 'id = "fid"', r"stands twice"),
        ('primary = "fid"', 'primary = "emd"', r"not among \[\[metrics\]\]"),
        ("seeds = [0]", "seeds = [0, 0]", r"distinct whole numbers"),
        ('reference = "test"', 'reference = "train"', r"use test or valid"),
        ('name = "tiny"', 'name = "Tiny Suite"', r"use lower case"),
        ('kind = "points"', 'kind = "point"', r"did you mean 'points'"),
        ("schema = 1", "schema = 2", r"use schema = 1"),
        ('names = ["heldout", "noise"]', 'names = ["held-out"]', r"did you mean 'heldout'"),
        ("[protocol]", "[protocol", r"not valid TOML.*line"),
        ("schema = 1", "schema = 1\ndownstream = 5", r"'downstream'.*expected dict"),
        ("rows = 300", "row = 300", r"line 43: metric 'nll' has no parameter 'row': .*'rows'"),
        (
            'id = "precision"\n\n[[metrics]]\nid = "nll"',
            'id = "precision"\nk = 3\n\n[[metrics]]\nid = "nll"\nk = 3',
            r"line 44: metric 'nll' has no parameter 'k': known: draws, rows",
        ),
        ('id = "precision"', 'id = "fid@identity"', r"line 39: .*own extractor: write 'fid'"),
        ('id = "precision"', 'id = "pixel_fid@x"', r"line 39: .*on pixels: write 'pixel_fid'"),
    ],
)
def test_a_fault_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(UsageError, match=message) as caught:
        load_suite(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_suite_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        load_suite("mnst")
    with pytest.raises(UsageError, match="no suite file at"):
        load_suite("nowhere/my.toml")


def test_an_unknown_profile_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        load_suite("mnist", "smok")


def test_a_profile_overrides_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT + "\n[profiles.big.budget]\nexamples = 9000\n")
    assert load_suite(str(path), "big").budget == 9000
    assert load_suite(str(path), "big").n_samples == 300
    assert load_suite(str(path)).budget == 2000


def test_a_profile_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT + "\n[profiles.big.budget]\nexample = 9000\n")
    with pytest.raises(UsageError, match="unknown key 'example'"):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("old", "new", "task_moves", "suite_moves"),
    [
        ("n_samples = 300", "n_samples = 301", True, True),
        ("examples = 2000", "examples = 2001", True, True),
        ("seed = 3", "seed = 4", True, True),
        ('id = "precision"', 'id = "recall"', False, True),
        ('title = "Tiny"', 'title = "Other"', False, False),
        ("seeds = [0]", "seeds = [0, 1]", False, False),
    ],
)
def test_the_hashes_move_with_what_they_cover(
    tmp_path: Path, old: str, new: str, task_moves: bool, suite_moves: bool
) -> None:
    before, after = load_suite(str(TINY)), load_suite(str(edited(tmp_path, old, new)))
    assert (before.task_hash != after.task_hash) == task_moves
    assert (before.suite_hash != after.suite_hash) == suite_moves


OWN_EXTRACTOR = """
[[extractors]]
name = "tiny-cnn"
version = "1"
path = "tiny-cnn.safetensors"
sha256 = "00"
channels = [8]
trained_on = "train"
"""


def test_a_retrained_extractor_of_the_suite_moves_what_it_scores(tmp_path: Path) -> None:
    plain = load_suite(str(TINY))
    text = TEXT + OWN_EXTRACTOR
    suites = []
    for digits in ("00", "11"):
        (tmp_path / "mine.toml").write_text(text.replace('"00"', f'"{digits}"'))
        suites.append(load_suite(str(tmp_path / "mine.toml")))
    before, after = suites
    assert before.part_hash("metrics") != after.part_hash("metrics")
    assert before.part_hash("downstream") == after.part_hash("downstream")
    assert before.task_hash == after.task_hash
    empty = Suite({**plain.document, "extractors": []}, plain.profile, plain.root)
    assert empty.part_hash("metrics") == plain.part_hash("metrics")


def test_the_lock_notices_a_moved_hash(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT)
    assert write_lock(tmp_path) == ["tiny 1.0.0"]
    assert check_lock(tmp_path) == []
    (tmp_path / "tiny.toml").write_text(TEXT.replace("examples = 2000", "examples = 2001"))
    assert "raise the version" in check_lock(tmp_path)[0]
    with pytest.raises(UsageError, match="raise its version"):
        write_lock(tmp_path)
    newer = TEXT.replace("examples = 2000", "examples = 2001").replace("1.0.0", "1.1.0")
    (tmp_path / "tiny.toml").write_text(newer)
    assert write_lock(tmp_path) == ["tiny 1.1.0"]
    assert set(json.loads((tmp_path / "suites.lock.json").read_text())["tiny"]) == {
        "1.0.0",
        "1.1.0",
    }


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    path.write_text("#" * (2 << 20))
    with pytest.raises(UsageError, match="not a suite file"):
        load_suite(str(path))


def test_the_results_folder_is_named_by_version_task_and_profile() -> None:
    suite: Suite = load_suite("mnist", "smoke")
    assert re.fullmatch(r"mnist@1\.0\.0-[0-9a-f]{8}-smoke", suite.folder_name)


def test_the_floors_margin_stands_outside_both_hashes(tmp_path: Path) -> None:
    text = shipped()["digits"].read_text()
    plain, told = tmp_path / "plain.toml", tmp_path / "told.toml"
    plain.write_text(text)
    told.write_text(text + "\n[floor]\nmargin = { fid = 2.0, precision = 0.03 }\n")
    one, two = load_suite(str(plain)), load_suite(str(told))
    assert (one.task_hash, one.suite_hash) == (two.task_hash, two.suite_hash)
    assert two.describe()["floor"] == {"margin": {"fid": 2.0, "precision": 0.03}}


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        ("0", "share above 0"),
        ("-0.1", "share above 0"),
        ("{ fidd = 1.0 }", "names 'fidd'"),
        ("{ fid = 0.0 }", "amount above 0"),
        ("{ c_t = 1.0 }", "has no direction"),
    ],
)
def test_a_margin_that_means_nothing_is_refused(tmp_path: Path, margin: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"{shipped()['digits'].read_text()}\n[floor]\nmargin = {margin}\n")
    with pytest.raises(UsageError, match=words):
        load_suite(str(file))


@pytest.mark.parametrize(
    ("id_", "wrong"),
    [
        ("fid:vendro", "is no split to compare with: did you mean 'vendor'"),
        ("fid:train", "'train' in 'fid:train' is no split to compare with: known: vendor"),
        ("fid:test", "'test' in 'fid:test' is the suite's reference: write 'fid'"),
        ("tstr_accuracy:vendor", "is not made by comparing rows: write 'tstr_accuracy'"),
        ("fid:", "names no split: write fid or fid:SPLIT"),
        ("fid@efficientnet-lite0:vendor", "is the suite's own extractor"),
    ],
)
def test_a_split_that_no_metric_can_be_held_against_is_named(
    tmp_path: Path, id_: str, wrong: str
) -> None:
    text = shipped()["emoji"].read_text()
    file = tmp_path / "mine.toml"
    file.write_text(text.replace('id = "fid:vendor"', f'id = "{id_}"', 1))
    with pytest.raises(UsageError, match=wrong):
        load_suite(str(file))


def test_a_further_split_needs_a_name(tmp_path: Path) -> None:
    text = shipped()["emoji"].read_text()
    file = tmp_path / "mine.toml"
    file.write_text(text.replace("\nvendor = {", '\n"Two words" = {', 1))
    with pytest.raises(UsageError, match="split 'Two words' has no usable name: use lower case"):
        load_suite(str(file))
