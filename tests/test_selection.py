"""Sweeps: every value runs once, two make a grid, and what cannot be meant is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genbench.errors import UsageError
from genbench.plugins.probing import Prober
from genbench.plugins.selection import choose
from genbench.tasks.suite import load_suite
from tests.conftest import PLUGINS, TINY

FILE = str(PLUGINS / "normal.py")
Chosen = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def chosen(prober: Prober) -> Chosen:
    """What the user's words choose: the parameters that each row was given, its name with them."""
    suite = load_suite(str(TINY))

    def call(*sweeps: str, asked: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        found = choose(suite, asked, [FILE], prober, controls=False, sweeps=sweeps)
        return [{"": choice.name, **choice.params_passed} for choice in found]

    return call


def test_a_sweep_runs_every_value(chosen: Chosen) -> None:
    assert [c["scale"] for c in chosen("normal:scale=0.5,1,2e0")] == [0.5, 1.0, 2.0]


def test_two_sweeps_of_one_generator_are_a_grid(chosen: Chosen) -> None:
    found = chosen("normal:scale=1,2", "normal:batch=10,20,30")
    assert len(found) == 6
    assert {(c["scale"], c["batch"]) for c in found} == {
        (s, b) for s in (1.0, 2.0) for b in (10, 20, 30)
    }


def test_a_sweep_multiplies_what_g_asks_for_and_leaves_the_rest(chosen: Chosen) -> None:
    found = chosen("normal:scale=1,2", asked=("vae:latent=4", "normal:batch=10"))
    assert found == [
        {"": "vae", "latent": 4},
        {"": "normal", "batch": 10, "scale": 1.0},
        {"": "normal", "batch": 10, "scale": 2.0},
    ]


def test_a_sweep_alone_adds_no_other_baseline(chosen: Chosen) -> None:
    assert {c[""] for c in chosen("vae:points_latent=2,4")} == {"normal", "vae"}
    assert {c[""] for c in chosen("vae:points_latent=2,4", asked=("vae",))} == {"vae"}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("normal:scle=1,2", "did you mean 'scale'"),
        ("normal:batch=8,x", "normal:batch='x' is not of type int"),
        ("nromal:batch=8", "did you mean 'normal'"),
        ("normal", "is not NAME:key=a,b,c"),
        ("normal:batch", "is not NAME:key=a,b,c"),
        ("normal:batch=8,,9", "is not NAME:key=a,b,c"),
        ("normal:batch=8,9,8", "gives a value twice"),
        ("normal:batch=8,scale=2", "names two parameters: repeat --sweep"),
        ("heldout:batch=8", "is a control"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused(chosen: Chosen, sweep: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen(sweep)


def test_one_parameter_is_set_in_one_place(chosen: Chosen) -> None:
    with pytest.raises(UsageError, match="normal:batch is set by both -g and --sweep"):
        chosen("normal:batch=8,9", asked=("normal:batch=7",))
    with pytest.raises(UsageError, match="--sweep sets normal:batch twice"):
        chosen("normal:batch=8,9", "normal:batch=10")


def test_a_parameter_given_twice_is_refused(chosen: Chosen) -> None:
    with pytest.raises(UsageError, match="'normal:batch=7,batch=8' sets 'batch' twice: keep one"):
        chosen(asked=("normal:batch=7,batch=8",))


@pytest.mark.slow
def test_a_suite_names_its_generators_and_all_and_a_family_are_asked_for_by_name(
    prober: Prober,
) -> None:
    def names(suite: str, *asked: str) -> list[str]:
        found = choose(load_suite(suite), asked, (), prober, controls=False)
        return [choice.name for choice in found]

    assert names("mnist") == ["gan", "vae", "flow", "dna"]
    shelf = names("mnist", "all")
    assert set(shelf) >= {"gan", "vae", "flow", "dna"}
    assert len(set(shelf)) == len(shelf)
    assert set(names(str(TINY))) == set(names(str(TINY), "all")), "it names none: all of its kind"
    assert "gan" in names("mnist", "family:gan")
    assert not {"vae", "flow"} & set(names("mnist", "family:gan"))
    with pytest.raises(UsageError, match="family 'gam': did you mean 'gan'"):
        names("mnist", "family:gam")


def test_two_plugin_files_of_one_name_are_refused(prober: Prober, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(Path(FILE).read_text())
    with pytest.raises(UsageError, match="two plugin classes are named 'normal'"):
        choose(load_suite(str(TINY)), (), [FILE, str(tmp_path / "other.py")], prober)


@pytest.mark.slow
def test_a_package_in_the_working_directory_does_not_stand_in_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout has a `genbench` without baselines; an installed one works there all the same."""
    for name in ("genbench", "torch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    monkeypatch.chdir(tmp_path)
    with Prober() as prober:
        names = [choice.name for choice in choose(load_suite(str(TINY)), ("gan",), [], prober)]
    assert "gan" in names
