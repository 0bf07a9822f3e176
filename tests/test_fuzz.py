"""Whatever a file or a command line holds, what comes out is a result or one of our own errors.

Each test is boxed by its number of examples; none may take more memory than its input allows.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save as safetensors_of

from genbench.cli import cli
from genbench.errors import DataError, GenbenchError, PluginError, StoreError, UsageError
from genbench.formats import BadSound, SoundFitting, hear, sound_head, wav_bytes
from genbench.formats.arrayfiles import open_arrays
from genbench.formats.imagepixels import IMAGE_FILES, decode
from genbench.formats.mediafiles import BadFile, open_files
from genbench.generator import Space
from genbench.report.images import ArtefactError, cloud, grid_picture
from genbench.report.writing import Entry, TaskResults
from genbench.results.records import Record, digest
from genbench.results.store import read_record
from genbench.system.files import write_json
from genbench.system.npzfile import read_npz
from genbench.tasks.suite import load_suite
from tests import report_fixtures as fixtures
from tests.conftest import TINY
from tests.test_records import make_record

BOXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# What JSON and TOML can hold at worst: no number of ours, half a character, a whole tree.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([10**400, -1, 1 << 63, float("inf"), "\ud800", "\x00", "x" * 10_000, "../..",
                     "<script>", "1e999"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of dicts and lists, the root left out."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*here, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*here, key))


def planted(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of `body` with `value` at `path`; None there deletes."""
    body = copy.deepcopy(body)
    node = body
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return body


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with a few replaced, or cut off, or something else altogether."""
    places = st.lists(
        st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=8
    )
    return st.one_of(
        places.map(lambda changes: _replaced(data, changes)),
        st.integers(0, len(data) - 1).map(lambda end: data[:end]),
        st.binary(max_size=200),
        st.binary(max_size=40).map(lambda tail: data[:60] + tail + data[60:]),
    )


def _replaced(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    array = bytearray(data)
    for place, value in changes:
        array[place] = value
    return bytes(array)


# -- suites ------------------------------------------------------------------------------------

TEXT = TINY.read_text()
LINES = TEXT.splitlines()


def check_suite(path: Path) -> None:
    """Read a suite and everything that the harness asks of it."""
    try:
        suite = load_suite(str(path))
    except UsageError:
        return
    folder = suite.folder_name
    assert folder.isprintable()
    assert len(folder) < 200
    assert "/" not in folder
    assert suite.describe()["hash"] == suite.suite_hash
    for name in ("space", "dataset", "n_samples", "sample_chunk", "seeds", "metrics", "controls"):
        getattr(suite, name)


@BOXED
@given(where=st.integers(0, len(LINES) - 1), value=st.data())
def test_any_value_in_a_suite_is_used_or_refused(
    tmp_path: Path, where: int, value: st.DataObject
) -> None:
    key, equals, _ = LINES[where].partition("=")
    new = value.draw(
        st.one_of(
            st.sampled_from(["-1", "0", "1e999", "nan", "[]", "[[]]", "{}", '""', "true", '"../.."',
                             "1979-05-27", "9" * 5000, "[1, 'a']", "{ a = 1 }",
                             '"' + "x" * 9999 + '"']),
            st.text(max_size=20),
        )
    )  # fmt: skip
    lines = [*LINES]
    lines[where] = f"{key}={new}" if equals else new
    (tmp_path / "s.toml").write_text("\n".join(lines), "utf-8", "replace")
    check_suite(tmp_path / "s.toml")


@BOXED
@given(data=damaged(TEXT.encode()))
def test_a_damaged_suite_is_used_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.toml").write_bytes(data)
    check_suite(tmp_path / "s.toml")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["[" * 20_000, "a." * 20_000 + "b = 1", "a = " + "[" * 5000 + "]" * 5000,
     "\n".join(f"k{i} = {i}" for i in range(60_000)), TEXT + "\n" * 2_000_000,
     TEXT.replace('version = "1.0.0"', 'version = "../../../tmp/x"'),
     TEXT + '\n[profiles."../x"]\n'],
    ids=["open", "dotted", "nested", "keys", "large", "version", "profile"],
)  # fmt: skip
def test_a_suite_made_to_hurt_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError, match=r"s\.toml"):
        load_suite(str(tmp_path / "s.toml"))


# -- records -----------------------------------------------------------------------------------

RECORD = json.loads(
    json.dumps(
        make_record(
            timing={"fit_s": 1.5, "fit_core_s": 1.4, "sample_s": 0.5, "metrics_s": 2.0},
            resources={"peak_rss_bytes": 1000, "n_sampled": 10, "parameters": 5},
            curves={"loss": {"examples": [1, 2, 3], "value": [0.5, None, 0.25]}},
            environment={"python": "3.11", "threads": 2, "packages": {"torch": "2"}},
            source={"argv": ["genbench"], "git_commit": None},
            error={"phase": "fit", "type": "E", "message": "m", "traceback": "t", "log_tail": "l"},
            times={"started": "2026-01-01T00:00:00+00:00", "wall_s": 3.0},
        ).to_json()
    )
)
PLACES = sorted(paths(RECORD), key=str)


def signed(body: Any) -> Any:
    """With a digest that holds, as a stranger with our source would write it."""
    body.pop("digest", None)
    try:
        return {**body, "digest": digest(body)}
    except (ValueError, RecursionError):
        return body


@settings(BOXED, max_examples=150)
@given(path=st.sampled_from(PLACES), value=TREES)
@example(path=("metrics", "fid", "interval", "level"), value=0)  # once divided by the quantile of 0
@example(path=("metrics", "fid", "interval", "level"), value=2)
def test_any_value_in_a_record_is_used_or_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    body = signed(planted(RECORD, path, value))
    (tmp_path / "record.json").write_text(json.dumps(body))
    try:
        found = read_record(tmp_path / "record.json")
    except StoreError:
        return
    assert Record.from_json(json.loads(json.dumps(found.to_json()))) == found
    show(tmp_path, found)


def show(folder: Path, record: Record) -> None:
    """Everything that reads a record once it has been accepted."""
    from genbench.report.writing import build_report
    from genbench.results import archive

    suite = fixtures.suite(task=record.cell["suite"]["task"])
    build_report([TaskResults(suite, [Entry(record, folder)])], folder / "site")
    assert list(archive._lines(record))


@BOXED
@given(data=damaged(json.dumps(RECORD).encode()))
def test_a_damaged_record_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "record.json").write_bytes(data)
    try:
        found = read_record(tmp_path / "record.json")
    except StoreError:
        return
    assert found == Record.from_json(RECORD), (
        "only what changes nothing passes: blanks between tokens"
    )


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, '{"schema": "genbench.record/1", "x": 1e999}',
     '{"schema": "genbench.record/1", "x": "\\ud800"}', "\ufeff{}", "NaN"],
)  # fmt: skip
def test_json_made_to_hurt_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(StoreError):
        read_record(tmp_path / "record.json")


def test_a_record_of_a_million_metrics_is_refused_in_bounded_time(tmp_path: Path) -> None:
    for count, told in ((1_000, None), (1_001, "1,001 metrics"), (300_000, "more than 100,000")):
        metrics = {f"m{i}": {"status": "undefined"} for i in range(count)}
        (tmp_path / "record.json").write_text(json.dumps(signed({**RECORD, "metrics": metrics})))
        start = time.process_time()
        if told is None:
            assert len(read_record(tmp_path / "record.json").metrics) == count
        else:
            with pytest.raises(StoreError, match=told):
                read_record(tmp_path / "record.json")
        assert time.process_time() - start < 2
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(StoreError, match="larger than"):
        read_record(tmp_path / "large.json")


# -- arrays, weights and pictures --------------------------------------------------------------


def npz(compress: bool = True) -> bytes:
    buffer = io.BytesIO()
    write: Callable[..., None] = np.savez_compressed if compress else np.savez
    write(buffer, x=np.arange(20, dtype=np.float32).reshape(10, 2), y=np.arange(10))
    return buffer.getvalue()


@settings(BOXED, max_examples=200)
@given(data=st.one_of(damaged(npz()), damaged(npz(compress=False))))
def test_a_damaged_npz_is_read_or_refused(data: bytes) -> None:
    try:
        found = read_npz(io.BytesIO(data), "it")
    except DataError:
        pass
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


def npy(order: Literal["C", "F"]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(np.arange(20.0).reshape(10, 2), order=order))
    return buffer.getvalue()


ARRAY_FILES = st.one_of(
    st.tuples(st.just("x.npz"), st.one_of(damaged(npz()), damaged(npz(compress=False)))),
    st.tuples(st.just("x.npy"), st.one_of(damaged(npy("C")), damaged(npy("F")))),
    st.tuples(
        st.just("x.safetensors"),
        damaged(safetensors_of({"x": np.zeros((10, 2), np.float32), "y": np.arange(10)})),
    ),
)


@pytest.mark.filterwarnings("ignore")  # numpy's, on headers that Python 2 may have written
@settings(BOXED, max_examples=300)
@given(file=ARRAY_FILES)
def test_a_damaged_file_of_arrays_is_read_or_refused(
    tmp_path: Path, file: tuple[str, bytes]
) -> None:
    path = tmp_path / file[0]
    path.write_bytes(file[1])
    try:
        with open_arrays(path) as arrays:
            for array in arrays.values():
                assert array.all().shape == array.shape
    except DataError:
        pass


def test_a_fault_of_who_reads_arrays_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy("C"))
    with pytest.raises(KeyError, match="y"), open_arrays(tmp_path / "x.npy") as arrays:
        arrays["y"]


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_pt_file_is_read_or_refused(tmp_path: Path, zipped: bool) -> None:
    """In one process of its own, since it needs torch."""
    code = f"""
import pathlib, random, torch
from genbench.formats.arrayfiles import open_arrays
from genbench.errors import DataError
place = pathlib.Path({str(tmp_path)!r})
body = {{"x": torch.zeros(10, 2), "y": torch.arange(10)}}
torch.save(body, place / "a.pt", _use_new_zipfile_serialization={zipped})
data, rng, refused = (place / "a.pt").read_bytes(), random.Random(0), 0
for _ in range(300):
    bad = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        bad[rng.randrange(len(bad))] = rng.randrange(256)
    (place / "b.pt").write_bytes(bytes(bad[: rng.choice([len(bad), rng.randrange(len(bad))])]))
    try:
        with open_arrays(place / "b.pt") as arrays:
            for array in arrays.values():
                array.all()
    except DataError:
        refused += 1
print(refused)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_a_zip_bomb_is_refused_unread() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * (64 << 20))
    with pytest.raises(DataError, match="unpacks to 67108864 bytes, over 1000000"):
        read_npz(buffer, "it", max_bytes=1_000_000)


def test_a_header_that_promises_terabytes_is_refused() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(DataError, match="cannot read it as an npz"):
        read_npz(buffer, "it")


def test_pickled_arrays_are_refused_unread() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([print], dtype=object))
    with pytest.raises(DataError, match="without pickle"):
        read_npz(buffer, "it")


def stored(folder: Path, name: str, role: str, data: bytes) -> Entry:
    """An entry whose artefact holds these bytes, with a digest that holds."""
    (folder / name).write_bytes(data)
    artifact = fixtures._artifact(folder, role, name)
    cell = fixtures.cell_of("g", "gan", 0)
    return Entry(fixtures.record("01A", cell, artifacts=(artifact,)), folder)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


@settings(BOXED, max_examples=200)
@given(data=damaged(png()))
def test_a_damaged_png_is_shown_or_left_out(tmp_path: Path, data: bytes) -> None:
    entry = stored(tmp_path, "grid.png", "grid", data)
    try:
        picture = grid_picture(entry, "grid")
    except ArtefactError:
        return
    assert picture.width * picture.height <= 4_000_000


def zip_of_images(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """With its own folder as a member, which some archivers write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("./", b"")
        for name in ("a/0.png", "b/1.png", "notes.txt"):
            archive.writestr(name, png())
    return buffer.getvalue()


@settings(BOXED, max_examples=300)
@given(data=st.one_of(damaged(zip_of_images()), damaged(zip_of_images(zipfile.ZIP_STORED))))
def test_a_damaged_zip_of_images_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    try:
        with open_files(tmp_path / "x.zip", IMAGE_FILES) as files:
            for name in files.listing.names:
                with contextlib.suppress(BadFile):
                    image = decode(files.read(name), Space("image", (1, 8, 8), levels=256))
                    assert image.shape == (1, 8, 8)
    except DataError:
        pass


def test_a_zip_that_holds_its_own_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of_images())
    with open_files(tmp_path / "x.zip", IMAGE_FILES) as files:
        assert files.listing.names == ("a/0.png", "b/1.png")


SOUND = (0.3 * np.sin(np.arange(400) / 5)).astype(np.float32)


def coded(name: str, kind: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, SOUND, 8000, format=name, subtype=kind)
    return buffer.getvalue()


@settings(BOXED, max_examples=200)
@given(
    data=st.one_of(
        damaged(wav_bytes(SOUND, 8000)), damaged(coded("WAV", "FLOAT")),
        damaged(coded("FLAC", "PCM_16")), damaged(coded("OGG", "VORBIS")),
    )
)  # fmt: skip
def test_a_damaged_sound_is_heard_or_refused(data: bytes) -> None:
    fitting = SoundFitting(resample=True, mono=True, length=400)
    try:
        sound_head(data)
        heard = hear(data, Space("waveform", (400,), rate=8000), fitting)
    except BadSound:
        return
    assert heard.shape == (400,)
    assert np.abs(heard).max() <= 1


@BOXED
@given(data=damaged(npz()))
def test_a_damaged_cloud_is_shown_or_left_out(tmp_path: Path, data: bytes) -> None:
    entry = stored(tmp_path, "points.npz", "points", data)
    try:
        assert cloud(entry, "points").shape[1] == 2
    except ArtefactError:
        return


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    import torch

    from genbench.system import tensorfile

    tensorfile.save(tmp_path / "a", {"w": torch.arange(6.0), "s": [1, "x", None]})
    data, rng, refused = (tmp_path / "a").read_bytes(), random.Random(0), 0
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        end = rng.choice([len(bad), rng.randrange(len(bad))])
        (tmp_path / "b").write_bytes(bytes(bad[:end]))
        try:
            tensorfile.load(tmp_path / "b")
        except StoreError:
            refused += 1
    assert refused > 200


# -- the command line --------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(
        ["--suite", "digits", "mnist", "--profile", "smoke", "-g", "vae", "vae:latent=x", "vae:",
         ":", "=", "--seeds", "0,1", "--results", "results", "-j", "0", "--json", "--dry-run", "-o",
         "out", ".", "", "--", "-", "--plugin", "x.py", "x.py:", "--tolerance", "fid=5%",
         "fid=", "--into", "--baseline", "--candidate", "verify", "merge", "gc", "export", "check",
         "fid", "schema", "record.json", "s.toml", "--name", "\u202e", "x" * 5000, "--strict"]
    ),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12),
)  # fmt: skip
COMMANDS = ("run", "list", "show", "score", "report", "compare", "gate", "status", "results",
            "results verify", "results merge", "results export", "suite check")  # fmt: skip


@settings(BOXED, max_examples=150)
@given(command=st.sampled_from(COMMANDS), words=st.lists(WORDS, max_size=6))
def test_any_command_line_is_obeyed_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: list[str]
) -> None:
    def refuse(*args: Any) -> Any:
        raise PluginError("no generator is started here")

    monkeypatch.setattr("genbench.system.forking.ForkServerClient._started", refuse)
    monkeypatch.setattr("genbench.plugins.external.stage", refuse)
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "record.json", RECORD)
    (tmp_path / "s.toml").write_text(TEXT)
    done = CliRunner().invoke(cli, [*command.split(), *words], standalone_mode=False)
    typed = (GenbenchError, click.ClickException, click.exceptions.Exit, click.Abort)
    assert done.exception is None or isinstance(done.exception, typed), done.exc_info
