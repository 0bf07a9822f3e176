"""Installed plugins that are broken, doubled, too new or slow are named and harm no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genbench.errors import PluginError
from genbench.plugins import finding as plugins
from genbench.plugins import probing
from genbench.plugins.probing import Prober
from tests.conftest import Command

SOUND = """
from dataclasses import dataclass
from genbench.generator import GeneratorSpec
@dataclass(frozen=True)
class Params:
    size: int = 1
class Mine:
    spec = GeneratorSpec({name!r}, "1", "f", ("points",), "none", None, Params{more})
    def fit(self, train, run): ...
    def sample(self, n, *, seed, labels=None): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...
"""


def install(site: Path, name: str, code: str, package: str | None = None) -> None:
    """Put a package that announces a generator where Python looks for packages."""
    package = package or name
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[genbench.generators]\n{name} = {package}:Mine\n")
    (site / f"{package}.py").write_text(code)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages as other people's mistakes leave them, and a sound one among them."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "sound", SOUND.format(name="sound", more=""))
    install(folder, "broken", "raise RuntimeError('no such GPU')")
    install(folder, "crashing", "import os\nos.abort()")
    install(folder, "twin", SOUND.format(name="twin", more=""), "twin_one")
    install(folder, "twin", SOUND.format(name="twin", more=""), "twin_two")
    install(folder, "future", SOUND.format(name="future", more=", contract=2"))
    install(folder, "posing", SOUND.format(name="posing", more="").replace('"f"', '"control"'))
    install(folder, "future-field", SOUND.format(name="future-field", more=", modality=3"),
            "future_field")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def with_site(site: Path) -> Iterator[Prober]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        with Prober() as started:
            yield started


PROBLEMS = {
    "broken": "does not import: RuntimeError: no such GPU",
    "crashing": "its process ended with code -6",
    "future": "is written for contract 2 and this genbench knows 1: upgrade genbench",
    "posing": "generator 'posing' of posing 1.0 calls its family 'control'",
    "future-field": "'modality': is it written for a newer genbench",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_broken_plugin_is_named_when_it_is_asked_for(
    with_site: Prober, site: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(PluginError, match=PROBLEMS[name]):
        with_site.describe(plugins.find(name))
    assert with_site.describe(plugins.find("sound")).name == "sound", "and no other suffers"


def test_two_packages_of_one_name_are_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(PluginError, match=r"announced by twin_one 1\.0 and twin_two 1\.0: uninst"):
        plugins.find("twin")


@pytest.mark.slow
def test_listing_shows_what_is_wrong_with_each(run_genbench: Command, site: Path) -> None:
    done = run_genbench("list", "generators", "--check", "--json", env={"PYTHONPATH": str(site)})
    assert done.code == 6, done.err
    rows = {row["name"]: row for row in json.loads(done.out)["generators"]}
    for name, problem in PROBLEMS.items():
        assert problem in rows[name]["problem"]
    assert "announced by twin_one 1.0 and twin_two 1.0" in rows["twin"]["problem"]
    assert not rows["sound"].get("problem")
    assert not rows["vae"].get("problem")


@pytest.mark.slow
def test_the_doctor_names_a_plugin_that_poses_as_a_control(
    run_genbench: Command, site: Path
) -> None:
    done = run_genbench("doctor", "--json", env={"PYTHONPATH": str(site)})
    assert done.code == 6, done.err
    found = {check["check"]: check for check in json.loads(done.out)}["generator posing"]
    assert not found["ok"]
    assert PROBLEMS["posing"] in found["found"]


@pytest.mark.slow
def test_a_plugin_that_imports_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "endless", "import time\ntime.sleep(600)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(probing, "PROBE_SECONDS", 2.0)
    with (
        Prober() as prober,
        pytest.raises(PluginError, match="endless: importing it took more than 2 s: move slow"),
    ):
        prober.describe(plugins.find("endless"))
