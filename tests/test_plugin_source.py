"""What a generator's version covers: the modules of its own that it imports, and no others."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genbench.plugins import finding as plugins
from genbench.plugins.source import Sources, sources_of
from tests.conftest import PLUGINS, Command


def written(folder: Path, **files: str) -> Path:
    """A plugin's folder; ``a__b`` stands for ``a/b.py``."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__SUB__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def plugin(folder: Path, **files: str) -> Sources:
    """The sources of ``mine.py`` in a folder."""
    written(folder, **files)
    return sources_of([(folder / "mine.py", "mine")])


def test_a_plugin_of_one_file_has_the_digest_of_that_file(tmp_path: Path) -> None:
    text = "import dataclasses\nimport torch\nfrom genbench.generator import Space\n"
    found = plugin(tmp_path, mine=text, other="x = 1")
    assert found.digest == hashlib.sha256(text.encode()).hexdigest()
    assert found.files == ("mine.py",)
    file = PLUGINS / "normal.py"
    ref = plugins.GeneratorRef("normal", "Normal", "a file", file=str(file), track_source=True)
    assert plugins.describe(ref).source == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("mine", "edited"),
    [
        ("import helper", "helper"),
        ("from helper import x", "helper"),
        ("def f():\n    import helper", "helper"),
        ("class A:\n    def f(self):\n        from helper import x", "helper"),
        ("try:\n    import helper\nexcept ImportError:\n    pass", "helper"),
        ("from . import helper", "helper"),
        ("from .helper import x", "helper"),
        ("import importlib\nh = importlib.import_module('helper')", "helper"),
        ("h = __import__('helper')", "helper"),
        ("import nets", "nets__SUB____init__"),
        ("import nets.unet", "nets__SUB____init__"),
        ("import nets.unet", "nets__SUB__unet"),
        ("from nets import unet", "nets__SUB__unet"),
        ("from nets.unet import Net", "nets__SUB__unet"),
        ("from nets import *", "nets__SUB__unet"),
        ("from nets import unet", "nets__SUB__blocks"),  # unet imports it, relatively
        ("from nets import unet", "nets__SUB__deep__SUB__leaf"),  # and this, as a package's
        ("import bare.part", "bare__SUB__part"),  # no __init__.py
        ("import first", "second"),  # first imports it
    ],
)
def test_an_edited_module_of_its_own_is_another_generator(
    mine: str, edited: str, tmp_path: Path
) -> None:
    files = {
        "mine": mine,
        "helper": "x = 1",
        "first": "import second",
        "second": "import first",  # in a circle
        "nets__SUB____init__": "y = 1",
        "nets__SUB__unet": "from .blocks import z\nfrom nets.deep import leaf\nNet = 1",
        "nets__SUB__blocks": "z = 1",
        "nets__SUB__deep__SUB____init__": "",
        "nets__SUB__deep__SUB__leaf": "from ..blocks import z",
        "bare__SUB__part": "p = 1",
    }
    before = plugin(tmp_path, **files)
    after = plugin(tmp_path, **{**files, edited: files[edited] + "\n# edited"})
    assert after.digest != before.digest
    assert edited.replace("__SUB__", "/") + ".py" in after.files
    alone = plugin(tmp_path, **{**files, "unrelated": "x = 1"})
    assert alone.digest == before.digest


def test_what_is_edited_and_not_imported_is_the_same_generator(tmp_path: Path) -> None:
    files = {"mine": "import helper", "helper": "", "nets__SUB____init__": "", "other": "x = 1"}
    before = plugin(tmp_path, **files)
    assert plugin(tmp_path, **{**files, "other": "x = 2"}).digest == before.digest


def test_the_folder_and_the_name_of_the_file_do_not_count(tmp_path: Path) -> None:
    first = plugin(tmp_path / "a", mine="import helper", helper="x = 1")
    written(tmp_path / "b", theirs="import helper", helper="x = 1")
    assert sources_of([(tmp_path / "b" / "theirs.py", "theirs")]).digest == first.digest


def test_a_package_that_chooses_its_modules_when_it_runs_counts_as_a_whole(tmp_path: Path) -> None:
    files = {
        "mine": "import nets",
        "nets__SUB____init__": "import importlib\n"
        "def net(n):\n    return importlib.import_module('nets.' + n)",
        "nets__SUB__lazy": "x = 1",
    }
    before = plugin(tmp_path, **files)
    assert "nets/lazy.py" in before.files
    assert plugin(tmp_path, **{**files, "nets__SUB__lazy": "x = 2"}).digest != before.digest


def test_what_cannot_be_seen_is_said(tmp_path: Path) -> None:
    text = "import importlib\nimport numpy\nnet = importlib.import_module(input())\nexec(input())"
    found = plugin(tmp_path, mine=text)
    assert found.left_out == (
        "files that it reads when it runs",
        "installed packages: numpy",
        "what is run by a computed name (mine.py, line 3)",
        "what is run by a computed name (mine.py, line 4)",
    )


def test_modules_of_pythons_path_count_unless_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "lib", elsewhere_of_mine="x = 1")
    written(tmp_path / "lib" / "site-packages", installed_of_mine="x = 1")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.syspath_prepend(tmp_path / "lib" / "site-packages")
    importlib.invalidate_caches()
    found = plugin(tmp_path, mine="import elsewhere_of_mine, installed_of_mine")
    assert found.files == ("mine.py", "elsewhere_of_mine.py")
    assert "installed packages: installed_of_mine" in found.left_out


CLASS = """
from dataclasses import dataclass
from genbench.generator import GeneratorSpec
@dataclass(frozen=True)
class P:
    size: int = 1
class Mine:
    spec = GeneratorSpec("mine", "1", "f", ("points",), "none", None, P)
    def fit(self, train, run):
        from {helper} import x
    def sample(self, n, *, seed, labels=None): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...
"""


def test_a_module_of_an_editable_package_brings_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        my_editable__SUB____init__="from my_editable.model import Mine",
        my_editable__SUB__model=CLASS.format(helper=".parts"),
        my_editable__SUB__parts="x = 1",
        my_editable__SUB__unused="x = 1",
    )
    monkeypatch.syspath_prepend(tmp_path)
    ref = plugins.GeneratorRef("mine", "Mine", "e 1", module="my_editable", track_source=True)
    before = plugins.describe(ref)
    assert before.covers == (
        "my_editable/model.py", "my_editable/__init__.py", "my_editable/parts.py",
    )  # fmt: skip
    (tmp_path / "my_editable" / "parts.py").write_text("x = 2")
    assert plugins.describe(ref).source != before.source
    (tmp_path / "my_editable" / "unused.py").write_text("x = 2")
    (tmp_path / "my_editable" / "parts.py").write_text("x = 1")
    assert plugins.describe(ref).source == before.source


def test_a_class_that_a_plugin_file_imports_is_followed_from_both(tmp_path: Path) -> None:
    written(tmp_path, mine="from model_of_mine import Mine")
    written(tmp_path, model_of_mine=CLASS.format(helper="helper"), helper="x = 1")
    file = str(tmp_path / "mine.py")
    ref = plugins.GeneratorRef("mine", "Mine", "f", file=file, track_source=True)
    try:
        assert set(plugins.describe(ref).covers) == {"mine.py", "model_of_mine.py", "helper.py"}
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["model_of_mine"]


def test_a_baseline_is_its_file_and_those_beside_it_that_it_imports(tmp_path: Path) -> None:
    package = tmp_path / "genbench" / "baselines"
    head = "from genbench.generator import Space\n"
    written(
        package,
        alone=head,
        mine=f"{head}from genbench.baselines.mine_image import Net\n",
        mine_image="def later():\n    from genbench.baselines import mine_parts, mine\n",
        mine_parts="",
        other="",
    )

    def sources(name: str) -> Sources:
        return sources_of([(package / f"{name}.py", f"genbench.baselines.{name}")])

    data = (package / "alone.py").read_bytes()
    assert sources("alone").digest == hashlib.sha256(data).hexdigest()
    before = sources("mine")
    assert before.files == ("mine.py", "mine_image.py", "mine_parts.py")
    (package / "other.py").write_text("x = 1")
    assert sources("mine") == before
    (package / "mine_parts.py").write_text("x = 1")
    assert sources("mine").digest != before.digest


IMPORTED = """
import os, sys
from dataclasses import replace
import torch._dynamo  # once for all of them
from genbench.plugins import finding as plugins
for name in sys.argv[1:]:
    if os.fork() == 0:
        covers = plugins.describe(replace(plugins.find(name), track_source=True)).covers
        ours = [m.split(".")[-1] for m in sys.modules if m.startswith("genbench.baselines.")]
        print(name, *sorted(covers), "|", *sorted(f"{m}.py" for m in ours), flush=True)
        os._exit(0)
    os.wait()
"""


def test_every_file_that_a_baseline_imports_is_covered() -> None:
    names = ["gan", "vae", "flow", "dna", "realnvp", "wgan-gp", "vqvae", "noise"]
    words = [sys.executable, "-c", IMPORTED, *names]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == names, done.stderr
    for name, files in lines:
        covered, imported = files.split(" | ")
        assert covered == imported, name


def cells(run: Any) -> list[dict[str, Any]]:
    return [line for line in run.lines if line["generator"] == "mine"]


@pytest.mark.slow
def test_an_edited_helper_runs_again_and_show_tells_what_is_covered(
    run_genbench: Command, tmp_path: Path
) -> None:
    text = (PLUGINS / "normal.py").read_text().replace('name="normal"', 'name="mine"')
    text = text.replace("def fit(self", "def fit(self", 1) + "\nimport helper\n"
    written(tmp_path / "sub", mine=text, helper="x = 1\n")
    shown = run_genbench("show", "sub/mine.py", "--json")
    assert shown.code == 0, shown.err
    body = json.loads(shown.out)
    assert body["version covers"] == "mine.py, helper.py"
    assert "installed packages: torch" in body["it leaves out"]
    words = ("run", "--suite", str(PLUGINS.parent / "tiny.toml"), "--plugin", "sub/mine.py",
             "--no-controls", "--no-report", "--json")  # fmt: skip
    first = run_genbench(*words)
    assert len(cells(first)) == 1, first.err
    assert cells(run_genbench(*words)) == [], "nothing was edited: nothing runs"
    (tmp_path / "sub" / "helper.py").write_text("x = 2\n")
    again = run_genbench(*words)
    assert len(cells(again)) == 1, again.err
