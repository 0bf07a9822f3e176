"""`genbench new generator`: a package that works as it stands."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.plugins.finding import GeneratorRef, describe
from genbench.testing.checking import check_generator
from genbench.testing.scaffold import new_generator
from tests.conftest import Command


def test_it_writes_a_package_with_one_module_that_fits(tmp_path: Path) -> None:
    files = new_generator("my-model", tmp_path)
    assert sorted(f.name for f in (tmp_path / "my-model").iterdir()) == [
        "genbench_my_model.py", "pyproject.toml", "test_genbench_my_model.py"
    ]  # fmt: skip
    assert [f for f in files if "def fit(" in f.read_text()] == [files[1]]
    project = tomllib.loads((tmp_path / "my-model" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["genbench.generators"] == {
        "my-model": "genbench_my_model:MyModel"
    }
    compile(files[2].read_text(), files[2], "exec")


@pytest.mark.parametrize(("name", "cls"), [("my-model", "MyModel"), ("3d", "Generator3d")])
def test_its_spec_has_the_name_and_kinds(tmp_path: Path, name: str, cls: str) -> None:
    _, module, _ = new_generator(name, tmp_path)
    found = describe(GeneratorRef(name, cls, "test", file=str(module)))
    assert found.name == name
    assert found.kinds == ("image", "points", "waveform")
    _, module, _ = new_generator(name, tmp_path / "texts", texts=True)
    assert describe(GeneratorRef(name, cls, "test", file=str(module))).kinds == ("sequence",)


@pytest.mark.parametrize("texts", [False, True])
def test_what_the_author_reads_is_short(tmp_path: Path, texts: bool) -> None:
    text = new_generator("mine", tmp_path, texts=texts)[1].read_text()
    (cls,) = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == "Mine"]
    body = text.splitlines()[cls.lineno - 1 : cls.end_lineno]
    code = [line for line in body if line.strip() and not re.match(r'\s*(#|""")', line)]
    assert len(code) < 70, len(code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("texts", "left_out"),
    [(False, {"labels", "log-prob", "density", "probability"}), (True, {"labels"})],
)
def test_it_passes_every_check_as_it_stands(
    tmp_path: Path, texts: bool, left_out: set[str]
) -> None:
    report = check_generator(new_generator("mine", tmp_path, texts=texts)[1])
    not_checked = {r.check for r in report.results if r.status == "not checked"}
    assert not_checked == left_out, report


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Model", "is no name for a generator: use lower case"),
        ("../mine", "is no name"),
        ("-x", "is no name"),
        ("x" * 65, "is no name"),
        ("vae", r"is taken by genbench \d"),
        ("heldout", "is taken by genbench"),
    ],
)
def test_a_bad_name_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        new_generator(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(run_genbench: Command, tmp_path: Path) -> None:
    done = run_genbench("new", "generator", "mine", "--dir", "plugins")
    assert done.code == 0, done.err
    assert "wrote plugins/mine/genbench_mine.py" in done.out
    assert "next: genbench check plugins/mine/genbench_mine.py" in done.err
    assert "pip install ./plugins/mine " in done.err
    module = tmp_path / "plugins" / "mine" / "genbench_mine.py"
    module.write_text("mine now")
    done = run_genbench("new", "generator", "mine", "--dir", "plugins")
    assert done.code == 2
    assert "plugins/mine exists: choose another name, or another place with --dir" in done.err
    assert module.read_text() == "mine now"
