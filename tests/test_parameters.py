"""A parameter that was renamed, or added later, leaves the cells of a generator what they were."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from genbench.errors import PluginError, UsageError
from genbench.generator import GeneratorSpec
from genbench.plugins import finding as plugins
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.contract import make_generator
from genbench.plugins.finding import GeneratorRef
from genbench.plugins.inline import choice_of
from genbench.plugins.parameters import by_field, complete, declared
from genbench.plugins.probing import Prober
from genbench.plugins.selection import choose
from genbench.running.cells import cell_folder, cell_key
from genbench.tasks.suite import load_suite
from tests.conftest import PLUGINS, ROOT, TINY, Command

FORMER = (PLUGINS / "normal.py").read_text()
BATCH = "    batch: int = 100\n"
RENAMED = '    batch_size: int = field(default=100, metadata={"key": "batch"})\n'
SHIFT = '    shift: float = field(default=0.0, metadata={"added": True})\n'
POINTS = load_suite(str(TINY)).space


def written(path: Path, fields: str = RENAMED + SHIFT) -> Path:
    """The plugin ``normal`` with other fields in the place of ``batch``."""
    assert FORMER.count(BATCH) == 1
    text = FORMER.replace(BATCH, fields).replace("import dataclass\n", "import dataclass, field\n")
    path.write_text(text.replace("self.params.batch,", "self.params.batch_size,"))
    return path


def described(path: Path) -> tuple[GeneratorRef, plugins.Description]:
    """As an installed generator is: known by its version, not by its source."""
    ref = GeneratorRef("normal", "Normal", "normal 1.0", file=str(path))
    return ref, plugins.describe(ref)


def choice(path: Path, **given: str) -> GeneratorChoice:
    ref, description = described(path)
    passed = description.parse(given)
    return GeneratorChoice(ref, description, description.complete(passed), passed)


def key(found: GeneratorChoice) -> tuple[str, Path]:
    suite = load_suite(str(TINY))
    return cell_key(suite, found, 0), cell_folder(suite, found, 0)


@pytest.mark.parametrize("name", ["batch", "batch_size"])
def test_a_renamed_parameter_keeps_its_cells_by_either_name(tmp_path: Path, name: str) -> None:
    former, now = PLUGINS / "normal.py", written(tmp_path / "now.py")
    assert key(choice(now)) == key(choice(former))
    set_now, set_before = choice(now, **{name: "7"}), choice(former, batch="7")
    assert key(set_now) == key(set_before) != key(choice(now))
    assert set_now.params == set_before.params == {"scale": 1.0, "batch": 7}
    assert set_now.params_passed == {"batch": 7}


def test_the_generator_gets_its_parameters_by_their_fields(tmp_path: Path) -> None:
    found = choice(written(tmp_path / "now.py"), batch="7", shift="2")
    made = make_generator(found.ref, found.params, POINTS, torch.device("cpu"))
    assert (made.params.scale, made.params.batch_size, made.params.shift) == (1.0, 7, 2.0)


def test_a_parameter_added_later_counts_away_from_its_default(tmp_path: Path) -> None:
    path = written(tmp_path / "now.py")
    at_default = choice(path, shift="0.0")
    assert key(at_default) == key(choice(PLUGINS / "normal.py"))
    assert at_default.params_passed == {"shift": 0.0}
    moved = choice(path, shift="2")
    assert moved.params == {"scale": 1.0, "batch": 100, "shift": 2.0}
    assert key(moved) != key(at_default)


def test_an_added_list_is_at_its_default_as_a_tuple_too(tmp_path: Path) -> None:
    widths = '    widths: tuple[int, ...] = field(default=(1, 2), metadata={"added": True})\n'
    _, description = described(written(tmp_path / "now.py", RENAMED + widths))
    assert "widths" not in description.complete({"widths": (1, 2)})
    assert description.complete({"widths": (1, 3)})["widths"] == (1, 3)


def test_one_parameter_under_two_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="normal: batch and batch_size are one parameter"):
        choice(written(tmp_path / "now.py"), batch="7", batch_size="7")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (RENAMED + BATCH, "'batch_size' and 'batch' are both called 'batch'"),
        (RENAMED + RENAMED.replace("_size", "es"), "are both called 'batch'"),
        (RENAMED.replace('"batch"', '"a=b"'), "has the key 'a=b', which cannot be set"),
    ],
)
def test_names_that_could_mean_two_are_refused(tmp_path: Path, fields: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        described(written(tmp_path / "now.py", fields))


def test_the_example_of_the_page_means_what_the_page_says() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    code, *_ = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"dataclass": dataclass, "field": field, "__name__": __name__}
    exec(code, names)
    spec = GeneratorSpec("mine", "1", "mine", ("points",), "none", None, names["Params"])
    assert complete(declared(spec), {}) == {"lr": 1e-3}
    assert by_field(spec.params, {"lr": 1e-2}) == {"learning_rate": 1e-2}


@pytest.fixture
def chosen(prober: Prober, tmp_path: Path) -> Callable[..., list[GeneratorChoice]]:
    file = str(written(tmp_path / "now.py"))
    suite = load_suite(str(TINY))

    def call(*asked: str, sweeps: tuple[str, ...] = ()) -> list[GeneratorChoice]:
        return choose(suite, asked, [file], prober, controls=False, sweeps=sweeps)

    return call


def test_a_sweep_is_the_same_spelled_either_way(chosen: Any) -> None:
    one, other = (chosen(sweeps=(f"normal:{n}=7,8",)) for n in ("batch", "batch_size"))
    assert [c.params["batch"] for c in one] == [7, 8]
    assert [key(c) for c in one] == [key(c) for c in other]
    assert len(chosen("normal:batch=7", "normal:batch_size=7")) == 1


def test_a_parameter_is_set_in_one_place_whatever_it_is_called(chosen: Any) -> None:
    for asked, swept in (
        (("normal:batch=7",), ("normal:batch_size=8,9",)),
        ((), ("normal:batch=8,9", "normal:batch_size=7")),
    ):
        with pytest.raises(UsageError, match="batch and batch_size are one parameter: keep one"):
            chosen(*asked, sweeps=swept)


def test_a_class_takes_either_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "renamed_of_a_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("renamed_of_a_test").Normal
    one, other = (choice_of((cls, {n: 7, "shift": 0.0})) for n in ("batch", "batch_size"))
    assert one.identity() == other.identity()
    assert one.params == {"scale": 1.0, "batch": 7}


@pytest.mark.slow
def test_show_says_what_a_renamed_parameter_is_called_in_records(
    run_genbench: Command, tmp_path: Path
) -> None:
    shown = run_genbench("show", written(tmp_path / "now.py"), "--json")
    assert shown.code == 0, shown.err
    assert '"batch_size": "int = 100 (batch in records)"' in shown.out
