"""Data that does not ship: found where it lies, fetched from a mirror, believed for its hash."""

from __future__ import annotations

import functools
import gzip
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.data import files
from genbench.data.fetching import fetch
from genbench.data.files import locate, places
from genbench.data.loading import load_split, verify_files
from genbench.errors import DataError
from genbench.tasks.suite import load_suite
from tests.test_data import IMAGES, idx_set, images

__all__ = ["idx_set", "images"]  # fixtures


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "home"))
    return tmp_path / "home" / "tiny"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


def move(idx_set: dict, name: str, to: Path) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(Path(idx_set["root"]) / name, to / name))


def test_a_file_is_found_in_the_users_data_home_packed_or_not(idx_set, own_home):
    packed = move(idx_set, "train-images.gz", own_home)
    assert locate(idx_set, idx_set["files"][0]) == packed
    assert len(load_split(idx_set, IMAGES, "train").x) == 7
    plain = own_home / "train-images"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert locate(idx_set, idx_set["files"][0]) == plain
    assert len(load_split(idx_set, IMAGES, "train").x) == 7


def test_the_file_beside_the_suite_comes_first(idx_set, own_home):
    own_home.mkdir(parents=True)
    (own_home / "train-images").write_bytes(b"another")
    assert locate(idx_set, idx_set["files"][0]).parent == Path(idx_set["root"])


def test_a_missing_file_with_addresses_names_the_command_and_the_places(idx_set, tmp_path):
    idx_set["files"][0]["urls"] = ["http://127.0.0.1:1/train-images.gz"]
    (tmp_path / "train-images.gz").unlink()
    with pytest.raises(DataError, match="genbench data fetch tiny") as told:
        load_split(idx_set, IMAGES, "train")
    assert all(str(place) in str(told.value) for place in places(idx_set))


@pytest.mark.parametrize("served", ["train-images.gz", "train-images"])
def test_a_mirror_gives_what_is_missing_and_only_that(idx_set, mirror, own_home, served):
    url, folder = mirror
    packed = move(idx_set, "train-images.gz", folder)
    if served == "train-images":
        (folder / served).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    seen = []
    found = fetch(idx_set, mirror=f"{url}/", progress=lambda *told: seen.append(told))
    assert [bool(f.source) for f in found] == [True, False]
    assert found[0].path == own_home / "train-images"
    assert found[0].source == f"{url}/{served}"
    done, total = seen[-1][1:]
    assert done == total > 0
    assert len(load_split(idx_set, IMAGES, "train").x) == 7
    assert [f.source for f in fetch(idx_set)] == ["", ""], "the second time there is nothing to do"


def test_other_content_is_refused_and_every_source_told(idx_set, mirror, own_home):
    url, folder = mirror
    move(idx_set, "train-images.gz", folder).write_bytes(gzip.compress(b"another"))
    idx_set["files"][0]["urls"] = ["http://127.0.0.1:1/nobody"]
    with pytest.raises(DataError) as told:
        fetch(idx_set, mirror=url)
    assert f"{url}/train-images: File not found" in str(told.value)
    assert f"{url}/train-images.gz: not the declared content" in str(told.value)
    assert "http://127.0.0.1:1/nobody" in str(told.value)
    assert "--mirror" in str(told.value)
    assert not own_home.exists(), "nothing is kept of a failed download"


def test_the_commands_list_and_verify_what_ships():
    listed = CliRunner().invoke(cli, ["data", "list"], catch_exceptions=False)
    assert "CC BY-SA 3.0" in listed.output
    checked = CliRunner().invoke(cli, ["data", "verify", "digits"], standalone_mode=False)
    assert checked.return_value == 0
    assert "ok  digits" in checked.output


def test_fetching_what_ships_downloads_nothing():
    done = CliRunner().invoke(cli, ["data", "fetch", "mnist"], catch_exceptions=False)
    assert done.output.count("was here") == 4


@pytest.fixture
def no_fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "places", lambda dataset: [tmp_path / "nowhere"])


def test_absent_data_are_no_fault_until_they_are_asked_for(no_fashion):
    def code(*args: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, args, standalone_mode=False, catch_exceptions=False)
        return done.return_value, done.output

    assert code("suite", "check")[0] == 0
    assert "fetch fashion-mnist" in code("suite", "check")[1]
    assert code("suite", "check", "fashion-mnist")[0] == 6
    assert code("data", "verify")[0] == 0
    assert code("data", "verify", "fashion-mnist")[0] == 6
    assert "not here" in code("data", "list")[1]


def test_the_fashion_suite_reads_debians_files():
    dataset = load_suite("fashion-mnist").dataset
    checks = verify_files(dataset)
    if any(check.absent for check in checks):
        pytest.skip("needs Debian's package dataset-fashion-mnist, or genbench data fetch")
    assert all(check.ok for check in checks)
    test = load_split(dataset, load_suite("fashion-mnist").space, "test")
    assert test.x.shape == (10_000, 1, 28, 28)
    assert set(np.bincount(test.y)) == {1000}
