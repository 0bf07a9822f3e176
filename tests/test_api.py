"""Run and score from Python: the same library function as the command line, and from a notebook."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import genbench
from genbench import api
from genbench.cli import cli
from genbench.errors import DataError, PluginError, UsageError
from genbench.plugins.inline import choice_of, source_of
from genbench.results.entries import Entry
from genbench.results.records import Record
from genbench.results.store import Store, write_record
from tests import report_fixtures as fixtures
from tests.conftest import TINY
from tests.plugins.normal import Normal


def test_importing_genbench_costs_nothing() -> None:
    code = (
        "import sys, genbench; "
        "print(sorted({'torch', 'pandas', 'numpy', 'click', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_what_it_says() -> None:
    assert genbench.run is api.run
    assert genbench.score is api.score
    assert callable(genbench.metrics.frechet_distance)
    assert set(genbench.__all__) <= set(dir(genbench))
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        genbench.runn  # noqa: B018


class _Called(Exception):
    """Says with what a library function was called."""


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        (
            ["run", "--suite", "digits", "-g", "vae", "--seeds", "1,2", "--skip", "downstream",
             "--no-controls", "--memory-limit", "10", "--no-report"],
            "run",
            {"seeds": (1, 2), "parts": ["metrics", "codes"], "controls": False,
             "memory_limit": 10 << 20, "report": False, "jobs": "auto"},
        ),
        (["run", "--suite", "digits", "--dry-run"], "plan", {"seeds": None, "fresh": False}),
        (
            ["score", ".", "--suite", "digits", "--on-bad", "skip", "--name", "mine"],
            "score",
            {"on_bad": "skip", "name": "mine", "labels": None},
        ),
    ],
)  # fmt: skip
def test_the_command_line_calls_the_same_function(
    words: list[str], name: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*args: Any, **options: Any) -> Any:
        raise _Called({"args": args, **options})

    monkeypatch.setattr(api, name, called)
    error = CliRunner().invoke(cli, words).exception
    assert isinstance(error, _Called), error
    (given,) = error.args
    assert "digits" in given["args"]
    assert {k: given[k] for k in expected} == expected


# Classes.


# The parameters are the notebook's own too: those of this file would bring along all it imports.
SPEC = """
from dataclasses import dataclass
from genbench import GeneratorSpec
@dataclass(frozen=True)
class Params:
    scale: float = 1.0
SPEC = GeneratorSpec(name="mine", version="1", family="gaussian", kinds=("points",), labels="none",
                     likelihood=None, params=Params)
"""

NET = """
FACTOR = 2.0
class Net:
    def forward(self, x):
        return x * FACTOR
class Mine:
    spec = SPEC
    def fit(self, train, run):
        self.net = Net()
    def sample(self, n, *, seed, labels=None):
        return [self.net.forward(i) for i in range(n)]
"""


def defined(text: str) -> Any:
    """The class Mine of a module that is no file, as a notebook defines it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SPEC, "<cell 1>", "exec"), names)
    exec(compile(text, "<cell 2>", "exec"), names)
    return names["Mine"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range(n)", "range(n + 1)"),
        ("x * FACTOR", "x / FACTOR"),
        ("FACTOR = 2.0", "FACTOR = 3.0"),
        ("labels=None", "labels=0"),
    ],
)
def test_edited_code_of_a_notebook_is_another_generator(old: str, new: str) -> None:
    assert old in NET
    assert source_of(defined(NET)) == source_of(defined("\n\n# a comment" + NET))
    assert source_of(defined(NET)) != source_of(defined(NET.replace(old, new)))


VALUES = """
import math
from dataclasses import dataclass
WIDTHS = [32, (16, None)]
TABLE = {"depth": [3], "acts": [math.exp]}
NAMES = {0, 8}
WIDE = list(range(20_000))
WIDE.append(WIDE)
@dataclass
class Config:
    rate: float = 0.1
CONFIG = Config(0.2)
def times(k):
    return lambda x: x * k
SCALED = times(2)
class Mine:
    spec = SPEC
    options = {"bias": None}
    other = object()
    def fit(self, train, run):
        return WIDE, WIDTHS, TABLE, NAMES, CONFIG, SCALED, math.pi
    def sample(self, n, *, seed, labels=None, at=object(), shape=(1, [2])):
        return seed in {"p", "q"}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[32, ", "[64, "),
        ("None)]", "0)]"),
        ('"depth": [3]', '"depth": [4]'),
        ('"depth":', '"width":'),
        ("math.exp", "math.log"),
        ("{0, 8}", "{0, 9}"),
        ("Config(0.2)", "Config(0.3)"),
        ("times(2)", "times(3)"),
        ('"bias": None', '"bias": False'),
        ("(1, [2])", "(1, [3])"),
        ('{"p", "q"}', '{"p", "r"}'),
        ("20_000", "20_001"),
    ],
)
def test_an_edited_value_that_code_refers_to_is_another_generator(old: str, new: str) -> None:
    assert VALUES.count(old) == 1
    assert source_of(defined(VALUES)) != source_of(defined(VALUES.replace(old, new)))


def test_a_digest_of_code_is_the_same_in_every_process() -> None:
    """Objects lie elsewhere there and sets have another order, as these have of one text."""
    other = VALUES.replace("{0, 8}", "set([8, 0])")
    assert [*{0, 8}] != [*{8, 0}]
    assert source_of(defined(VALUES)) == source_of(defined(other))


@pytest.mark.parametrize("import_", ["import parts_of_mine as p", "from parts_of_mine import f"])
def test_an_edited_module_that_a_notebook_uses_is_another_generator(
    import_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "parts_of_mine.py"
    file.write_text("def f(x):\n    return x\n")
    used = "p" if import_.endswith("p") else "f"
    text = f"{import_}\nclass Mine:\n    spec = SPEC\n    def fit(self, train, run):\n"
    cls = defined(f"{text}        self.f = {used}\n")
    monkeypatch.delitem(sys.modules, "parts_of_mine")
    before = source_of(cls)
    file.write_text("def f(x):\n    return 2 * x\n")
    assert source_of(cls) != before
    (tmp_path / "others.py").write_text("")
    file.write_text("def f(x):\n    return x\n")
    assert source_of(cls) == before


def test_a_class_of_a_file_runs_from_its_file() -> None:
    choice = choice_of((Normal, {"scale": 2.0}))
    assert not choice.ref.inline
    assert choice.ref.module == "tests.plugins.normal"
    assert choice.params == {"scale": 2.0, "batch": 100}
    assert choice.params_passed == {"scale": 2.0}


def test_a_class_that_another_process_can_find_runs_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs_of_a_test.py").write_text(
        "from genbench.adapters import function\n"
        "Theirs = function('theirs', lambda n, seed: n, kinds=('points',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("theirs_of_a_test")
    ref = choice_of(module.Theirs).ref
    assert (ref.attr, ref.file) == ("Theirs", str(tmp_path / "theirs_of_a_test.py"))

    class Local(Normal):
        pass

    assert choice_of(Local).ref.inline


@pytest.mark.slow
def test_faults_of_classes_and_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="<class 'int'> is no generator: give a name, or a class"):
        genbench.run(TINY, [int], results=tmp_path)
    with pytest.raises(UsageError, match="has no parameter 'scal': did you mean 'scale'"):
        genbench.run(TINY, [(Normal, {"scal": 1})], results=tmp_path)
    with pytest.raises(UsageError, match="'normal' models points, suite 'digits' holds image"):
        genbench.run("digits", [Normal], results=tmp_path)
    with pytest.raises(UsageError, match="on_bad is 'ignore': use 'fail' or 'skip'"):
        genbench.score("a.npz", TINY, on_bad="ignore", results=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no samples at"):
        genbench.score("a.npz", TINY, results=tmp_path)
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        genbench.run("mnst", results=tmp_path)
    other = type("Other", (Normal,), {})
    with pytest.raises(UsageError, match=r"two classes have the spec.name 'normal': rename one"):
        genbench.run(TINY, [Normal, other], results=tmp_path)


NOTEBOOK = """
import os, sys
from dataclasses import dataclass
import torch, genbench
from genbench import GeneratorSpec

@dataclass(frozen=True)
class Params:
    scale: float = 1.0

class Mine:
    spec = GeneratorSpec(name="mine", version="1", family="gaussian", kinds=("points",),
                         labels="none", likelihood=None, params=Params)
    def __init__(self, params, space, device):
        self.params = params
    def fit(self, train, run):
        self.mean, self.process = 0, os.getpid()
        for x, _ in train.batches(100, seed=run.seed):
            self.mean = self.mean + x.sum(0) / run.budget
    def sample(self, n, *, seed, labels=None):
        assert self.process == os.getpid() == HERE
        noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
        return self.mean + self.params.scale * noise
    def state_dict(self):
        return {"mean": self.mean}
    def load_state_dict(self, state):
        self.mean = state["mean"]

class Broken(Mine):
    spec = GeneratorSpec(name="broken", version="1", family="gaussian", kinds=("points",),
                         labels="none", likelihood=None, params=Params)
    def fit(self, train, run):
        raise ValueError("out of luck")

HERE = os.getpid()
torch.set_num_threads(1)
r = genbench.run(sys.argv[1], generators=[Mine, Broken], seeds=[0])
assert torch.get_num_threads() == 1
again = genbench.run(sys.argv[1], generators=[Mine], seeds=[0])
assert {c.todo for c in again.ended.cells} == {"done"}
t = r.table().set_index("generator")
assert type(t).__module__.startswith("pandas")
assert t.loc["mine", "fid"] > 0 and t.loc["mine", "fid_low"] < t.loc["mine", "fid"]
assert t.fid.dtype == float and t.loc["broken", "fid"] != t.loc["broken", "fid"]
assert r.report().is_file() and r.exit_code == 3
s = genbench.score(torch.randn(300, 2), sys.argv[1], name="normal")
assert "normal" in set(s.table().generator)
import json
print(json.dumps([rec.to_json() for rec in r.records]))
"""


@pytest.mark.slow
def test_a_notebook_runs_its_own_classes_in_its_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(TINY)],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = {r["cell"]["generator"]["name"]: r for r in json.loads(done.stdout)}
    assert set(records) == {"mine", "broken", "heldout", "noise"}
    mine = records["mine"]
    assert mine["status"] == "ok"
    assert mine["examples_served"] == 2000
    assert mine["cell"]["generator"]["provider"] == "the caller's process"
    assert len(mine["cell"]["generator"]["source"]) == 64
    assert mine["environment"]["isolation"].startswith("none: the generator ran in the caller's")
    assert "isolation" not in records["heldout"]["environment"]
    assert records["broken"]["status"] == "failed"
    assert records["broken"]["error"]["message"] == "out of luck"
    assert records["broken"]["error"]["phase"] == "fit"


TASK_FOLDER = "mnist@1.0.0-abc-standard"


def result_of(root: Path) -> api.Result:
    """What a run leaves, with the records of the report's fixtures."""
    Store(root).write_suite(TASK_FOLDER, fixtures.suite())
    for entry in fixtures.task(root / "files", (0, 1)).entries:
        write_record(root / TASK_FOLDER / entry.record.generator / f"seed-{entry.record.seed}"
                     / entry.record.record_id, entry.record)  # fmt: skip
    ended: Any = SimpleNamespace(suite=SimpleNamespace(folder_name=TASK_FOLDER))
    return api.Result(ended, Store(root), None)


def test_a_result_shows_its_table(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    lines = repr(result).splitlines()
    assert lines[0].split()[:2] == ["rank", "generator"]
    names = [line.split()[1] for line in lines[1:5]]
    assert names == ["gan", "flow", "vae", "dna"], "by the primary metric, the incomplete last"
    assert lines[-1].startswith("records: ")
    assert max(map(len, lines[:-1])) <= 110
    page = result._repr_html_()
    assert page.count("<tr>") == 1 + 9
    assert "<th>FID (mnist-cnn) ↓</th>" in page


def test_a_table_begins_with_rank_generator_and_primary_metric(tmp_path: Path) -> None:
    frame = result_of(tmp_path).table()
    assert list(frame.columns[:6]) == [
        "rank", "generator", "parameters_passed", "fid", "fid_low", "fid_high",
    ]  # fmt: skip
    assert frame["rank"].tolist() == frame["fid_rank"].tolist()
    assert frame["generator"].iloc[0] == "gan"
    assert len(set(frame.columns)) == len(frame.columns)


def test_html_of_a_result_is_escaped(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    cell = fixtures.cell_of("<script>x</script>", "gan", 0)
    evil = fixtures.record("01X", cell, metrics={"fid": fixtures.metric("fid", 1.0, 0)})
    write_record(tmp_path / TASK_FOLDER / "x~0" / "seed-0" / "01X", evil)
    assert "<script>" not in result._repr_html_()
    assert "&lt;script&gt;" in result._repr_html_()


@pytest.mark.slow
def test_scored_samples_take_published_controls_that_measure_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 2)).astype(np.float32)
    here = api.score(rows, TINY, results=tmp_path / "a", report=False)
    assert len(here.records) == 3, "where none are published, the controls are computed"
    control = {r.generator: r for r in here.records if r.generator != "samples"}

    def publish(records: Iterable[Record]) -> None:
        entries = tuple(Entry(record, published=True) for record in records)
        monkeypatch.setattr("genbench.results.publish.published_entries", lambda task: entries)

    publish(control.values())
    short = api.score(rows, TINY, results=tmp_path / "b", report=False)
    assert [r.generator for r in short.records] == ["samples"]
    assert "our published records" in " ".join(short.notes)
    frame = short.table().set_index("generator")
    assert frame.loc["heldout", "published"]
    assert frame.loc["heldout", "fid"] == control["heldout"].metrics["fid"].value
    old = {name: replace(v, signature=v.signature.replace("/1", "/0"))
           for name, v in control["noise"].metrics.items()}  # fmt: skip
    publish([control["heldout"], replace(control["noise"], metrics=old)])
    mixed = api.score(rows, TINY, results=tmp_path / "c", report=False)
    assert {r.generator for r in mixed.records} == {"samples", "noise"}
    assert any("noise: our published records measured otherwise" in note for note in mixed.notes)
    none = api.score(rows, TINY, results=tmp_path / "d", controls=False, report=False)
    assert len(none.records) == 1
