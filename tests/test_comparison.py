"""A comparison of many lines claims no more than one of one line; any two rows can be compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import UsageError
from genbench.results import comparison
from genbench.results.comparison import Line
from genbench.results.records import Record
from tests.test_gate import HERE, SUITE, results, stored
from tests.test_ranking import metric, record

ELSEWHERE = {"processor": "two"}


def row(name: str, values: dict[str, list[float]], environment: dict = HERE, **fields) -> list:
    """A row of several metrics: a value by seed for each."""
    made = []
    for seed in range(len(next(iter(values.values())))):
        metrics = {
            k: metric(v[seed], 0.01, signature=k, higher_is_better=False) for k, v in values.items()
        }
        one = record(name, seed, 1.0, **fields)
        made.append(dataclasses.replace(one, metrics=metrics, environment=environment))
    return made


def compared(a: list[Record], b: list[Record]) -> dict[str, Line]:
    return {line.metric: line for line in comparison.lines(results(a), results(b))}


def test_verdicts_are_corrected_for_the_number_of_lines() -> None:
    """One line that differs at p = 0.01 alone is no difference beside 19 that do not."""
    rng = np.random.default_rng(0)
    a, b = [1.0, 1.3, 1.1], [1.9, 2.4, 2.0]
    p = scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
    assert 0.0025 < p < 0.05
    alone = compared(row("g", {"fid": a}), row("g", {"fid": b}, ELSEWHERE))["fid"]
    assert (alone.verdict, alone.p_value) == ("worse", pytest.approx(p))
    noise = {f"m{i}": list(rng.normal(size=3)) for i in range(19)}
    other = {k: [x + rng.normal() for x in v] for k, v in noise.items()}
    many = compared(row("g", {"fid": a} | noise), row("g", {"fid": b} | other, ELSEWHERE))["fid"]
    assert many.verdict == "no difference shown"
    assert many.p_value >= p * 15


def test_equal_rows_differ_on_one_line_of_some_in_5_percent_of_comparisons_at_most() -> None:
    rng = np.random.default_rng(1)

    def board() -> list[Record]:
        return row("g", {f"m{i}": list(rng.normal(5, 1, 3)) for i in range(20)})

    wrong = sum(
        any(
            line.verdict in ("better", "worse", "differs")
            for line in compared(
                board(), [dataclasses.replace(r, environment=ELSEWHERE) for r in board()]
            ).values()
        )
        for _ in range(100)
    )
    assert wrong <= 9  # binomial(100, .05): 5, sd 2.2; without correction it is 40


def test_rows_of_one_seed_get_no_verdict_and_count_as_no_test() -> None:
    one = compared(row("g", {"fid": [1.0]}), row("g", {"fid": [9.0]}))["fid"]
    assert (one.verdict, one.tested) == ("one seed: cannot tell", False)
    same = compared(row("g", {"fid": [1.0]}), row("g", {"fid": [1.0]}))["fid"]
    assert same.verdict == "equal"
    for name, family in (("noise", "control"), ("g", "scored")):  # nothing of ours was trained
        fixed = [row(name, {"fid": [v]}, family=family) for v in (1.0, 9.0)]
        assert compared(*fixed)["fid"].verdict == "worse"


def test_the_command_says_how_it_corrected(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", row("g", {"fid": [1.0, 1.3, 1.1], "kid": [1.0, 1.1, 1.2]}))
    b = stored(tmp_path / "b", row("g", {"fid": [1.9, 2.4, 2.0]}, ELSEWHERE))
    done = CliRunner().invoke(cli, ["compare", str(a), str(b)], standalone_mode=False)
    assert done.exception is None
    assert "Holm's correction for 1 tested lines of 2" in done.output
    assert "p (Holm)" in done.output


# --- two rows of one folder --------------------------------------------------------------------

ROWS = {
    "gan": row("gan", {"fid": [1.0, 1.1, 1.2]}),
    "vae": row("vae", {"fid": [5.0, 5.1, 5.2]}),
    "vae:latent=8": row(
        "vae", {"fid": [3.0, 3.1, 3.2]}, params={"latent": 8}, params_passed={"latent": 8}
    ),
    "vae:latent=16": row(
        "vae", {"fid": [2.0, 2.1, 2.2]}, params={"latent": 16}, params_passed={"latent": 16}
    ),
    "mine@1": row("mine", {"fid": [7.0, 7.1, 7.2]}, version="1"),
    "mine@2": row("mine", {"fid": [8.0, 8.1, 8.2]}, version="2"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = []
    for index, rows in enumerate(ROWS.values()):
        made += [dataclasses.replace(r, record_id=f"{index}-{r.record_id}") for r in rows]
    return stored(tmp_path / "results", made, SUITE)


@pytest.mark.parametrize(
    ("names", "means", "verdict"),
    [
        (("gan", "vae"), (1.1, 5.1), "worse"),
        (("vae", "gan"), (5.1, 1.1), "better"),
        (("vae:latent=8", "vae:latent=16"), (3.1, 2.1), "better"),
        (("vae", "vae:latent=8"), (5.1, 3.1), "better"),
        (("mine@1", "mine@2"), (7.1, 8.1), "worse"),
        (("mine", "mine@1"), (8.1, 7.1), "better"),
        (("gan", "gan"), (1.1, 1.1), "equal"),
    ],
)
def test_two_rows_of_one_folder_are_compared(
    folder: Path, names: tuple[str, str], means: tuple[float, float], verdict: str
) -> None:
    lines = comparison.compare_rows(folder, folder, *names)
    (fid,) = [line for line in lines if line.metric == "fid"]
    assert (fid.a, fid.b) == pytest.approx(means)
    assert fid.verdict == verdict
    shown = fid.generator.split(" -> ")
    assert len(shown) == 2
    assert names[0] == names[1] or shown[0] != shown[1]
    assert fid.change is not None
    assert fid.change.basis == "seeds"
    assert fid.change.interval is not None
    assert fid.change.interval.method == "welch", "a seed of one generator is no trial of another"


def test_a_row_that_is_not_there_or_not_one_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"'gam'.*the rows are gan, mine, vae, vae:latent=16"):
        comparison.compare_rows(folder, folder, "gan", "gam")
    with pytest.raises(UsageError, match="has both 'mine@3'"):
        comparison.compare_rows(folder, folder, "mine@3", "gan")


def test_a_name_that_fits_several_rows_asks_for_parameters(tmp_path: Path) -> None:
    swept = [r for name in ("vae:latent=8", "vae:latent=16", "gan") for r in ROWS[name]]
    made = [dataclasses.replace(r, record_id=f"{i}{r.record_id}") for i, r in enumerate(swept)]
    place = stored(tmp_path, made)
    with pytest.raises(UsageError, match="name one of vae:latent=16, vae:latent=8"):
        comparison.compare_rows(place, place, "vae", "gan")


@pytest.mark.parametrize("name", ["vae:latent=8", "vae:latent=8.0", "vae:latent=08"])
def test_a_row_is_found_however_its_numbers_are_written(tmp_path: Path, name: str) -> None:
    swept = [r for row in ("vae:latent=8", "vae:latent=16", "gan") for r in ROWS[row]]
    made = [dataclasses.replace(r, record_id=f"{i}{r.record_id}") for i, r in enumerate(swept)]
    place = stored(tmp_path, made)
    assert comparison.compare_rows(place, place, name, "gan")
    with pytest.raises(UsageError, match="has both"):
        comparison.compare_rows(place, place, "vae:latent=80", "gan")


def test_rows_of_one_generator_are_told_apart_by_their_parameters(tmp_path: Path) -> None:
    swept = [r for row in ("vae:latent=8", "vae:latent=16") for r in ROWS[row]]
    made = [dataclasses.replace(r, record_id=f"{i}{r.record_id}") for i, r in enumerate(swept)]
    place = stored(tmp_path, made)
    named = {"vae:latent=8", "vae:latent=16"}
    assert {line.generator for line in comparison.compare_places(place, place)} == named


def test_the_command_wants_a_second_folder_or_two_rows(folder: Path) -> None:
    def run(*words: str):
        return CliRunner().invoke(cli, ["compare", *words], standalone_mode=False)

    alone = run(str(folder))
    assert isinstance(alone.exception, UsageError)
    assert "--rows" in str(alone.exception)
    two = run(str(folder), "--rows", "gan", "vae")
    assert two.exception is None
    assert "gan -> vae" in two.output
