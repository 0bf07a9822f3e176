"""Generators are listed without an import and loaded with clear errors and typed parameters."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from genbench.errors import PluginError, UsageError
from genbench.plugins import finding as plugins
from genbench.plugins.finding import GeneratorRef
from tests.conftest import PLUGINS


def ref(file: Path, attr: str, name: str) -> GeneratorRef:
    return GeneratorRef(name, attr, f"file {file.name}", file=str(file), track_source=True)


NORMAL = ref(PLUGINS / "normal.py", "Normal", "normal")


def test_the_baselines_are_installed_like_anyones() -> None:
    assert {"gan", "vae", "flow", "dna", "heldout", "noise"} <= set(plugins.installed())


def test_listing_imports_no_generator() -> None:
    code = (
        "import sys; from genbench.plugins import finding; finding.installed(); "
        "print([m for m in sys.modules if m.startswith(('genbench.baselines', 'torch', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'flow'"):
        plugins.find("flwo")


def test_two_owners_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = plugins.installed()["gan"][0]
    other = GeneratorRef("gan", "Other", "elsewhere 2.0", module="elsewhere")
    monkeypatch.setattr(plugins, "installed", lambda: {"gan": [gan, other]})
    with pytest.raises(PluginError, match=r"announced by elsewhere 2\.0 and genbench"):
        plugins.find("gan")


def test_a_description_is_plain_data_both_ways() -> None:
    found = plugins.describe(NORMAL)
    assert plugins.Description.from_json(found.to_json()) == found
    assert found.summary.startswith("A Gaussian fitted by moments")
    assert [p.name for p in found.parameters] == ["scale", "batch", "augment", "balance"]


def test_parameters_are_typed_by_the_dataclass() -> None:
    found = plugins.describe(NORMAL)
    assert found.parse({"scale": "2e-1"}) == {"scale": 0.2}
    assert found.complete({"scale": 0.2}) == {"scale": 0.2, "batch": 100}
    with pytest.raises(UsageError, match="did you mean 'batch'"):
        found.parse({"bach": "1"})
    with pytest.raises(UsageError, match="not of type int"):
        found.parse({"batch": "1.5"})
    with pytest.raises(UsageError, match="not of type float"):
        found.parse({"scale": "nan"})


def test_an_edited_file_is_another_generator(tmp_path: Path) -> None:
    copy = tmp_path / "normal.py"
    copy.write_text((PLUGINS / "normal.py").read_text())
    first = plugins.describe(ref(copy, "Normal", "normal")).source
    other = tmp_path / "edited.py"
    other.write_text(copy.read_text() + "\n# edited\n")
    assert plugins.describe(ref(other, "Normal", "normal")).source != first
    assert plugins.describe(NORMAL).source == first, "the same text is the same generator"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ValueError('boom')", "does not import: ValueError: boom"),
        ("import nothing_of_this_name", "does not import: ModuleNotFoundError"),
        ("def broken(:", "does not import: SyntaxError"),
        ("x = 1", "has no 'Mine'"),
        ("class Mine: pass", "has no `spec`"),
    ],
)
def test_a_broken_plugin_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(PluginError, match=message):
        plugins.load(ref(file, "Mine", "mine"))


SPEC = """
from dataclasses import dataclass
from genbench.generator import GeneratorSpec
@dataclass(frozen=True)
class P:
    size: int = 1
class Mine:
    spec = GeneratorSpec({name!r}, "1", "f", ("points",), "none", {likelihood!r}, {params})
    def fit(self, train, run): ...
    def sample(self, n, *, seed, labels=None): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...
"""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Mine!"}, "not usable"),
        ({"name": "other"}, "registered as 'mine'"),
        ({"params": "dict"}, "must be a dataclass"),
        ({"likelihood": "exact"}, "lacks log_prob"),
    ],
)
def test_a_spec_that_breaks_the_contract_is_refused(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SPEC.format(**{"name": "mine", "likelihood": None, "params": "P", **fields}))
    with pytest.raises(PluginError, match=message):
        plugins.load(ref(file, "Mine", "mine"))


def test_a_parameter_without_default_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = SPEC.format(name="mine", likelihood=None, params="P").replace("int = 1", "int")
    file.write_text(text)
    with pytest.raises(PluginError, match="'size' has no default"):
        plugins.describe(ref(file, "Mine", "mine"))


def test_the_entry_points_name_the_classes_own_specs() -> None:
    for name, owners in plugins.installed().items():
        if owners[0].provider.startswith("genbench "):
            assert plugins.load(owners[0]).spec.name == name
    assert metadata.version("genbench") in plugins.installed()["gan"][0].provider


@pytest.mark.parametrize(
    ("folder", "info", "url", "changes"),
    [
        ("lib/site-packages", "mine-1.dist-info", {"editable": True}, True),
        ("lib/site-packages", "mine-1.dist-info", {}, False),
        ("lib/site-packages", "mine-1.dist-info", None, False),
        ("lib/dist-packages", "mine-1.egg-info", None, False),
        ("checkout", "mine.egg-info", None, True),
        ("target", "mine-1.dist-info", None, False),
    ],
)
def test_a_package_run_from_its_sources_is_known_however_it_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    info: str,
    url: dict[str, bool] | None,
    changes: bool,
) -> None:
    """From a checkout's root its egg-info is found first, which says nothing of an installation."""
    home = tmp_path / folder / info
    home.mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: mine\nVersion: 1\n"
    (home / ("PKG-INFO" if info.endswith("egg-info") else "METADATA")).write_text(about)
    (home / "entry_points.txt").write_text("[genbench.generators]\nmine-alone = mine:Mine\n")
    if info.endswith("dist-info"):
        (home / "RECORD").write_text("")
    if url is not None:
        (home / "direct_url.json").write_text(json.dumps({"url": "file:///", "dir_info": url}))
    monkeypatch.syspath_prepend(tmp_path / folder)
    (ref,) = plugins.installed()["mine-alone"]
    assert ref.track_source is changes
