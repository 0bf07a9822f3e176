"""`genbench selftest`: every claim holds here, and every claim can fail."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import UsageError
from genbench.metrics.table import METRICS as TABLE
from genbench.testing.selftest import as_json, claims, run_selftest

METRICS = tuple(dict.fromkeys(metric for metric, _ in claims()))


@pytest.mark.slow
def test_every_claim_holds() -> None:
    wrong = [(v.claim.sentence, v.found, v.reason) for v in run_selftest() if not v.ok]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_a_sabotaged_metric_turns_all_its_rows_red(metric: str) -> None:
    verdicts = run_selftest([metric], sabotage=metric)
    assert verdicts
    assert [v.claim.sentence for v in verdicts if v.ok] == []


def test_sabotage_leaves_the_other_metrics_green() -> None:
    verdicts = run_selftest(["nll", "vendi"], sabotage="vendi")
    assert {v.metric: v.ok for v in verdicts} == {"vendi": False, "nll": True}


def test_every_metric_that_a_run_computes_has_a_claim() -> None:
    assert {id_ for id_, info in TABLE.items() if not info.on_pixels} == set(METRICS)


def test_unknown_metrics_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"'recal'.*did you mean 'recall'"):
        run_selftest(["recal"])
    with pytest.raises(UsageError, match="no claim is about 'fud'"):
        run_selftest(sabotage="fud")


def test_json_has_no_infinities() -> None:
    rows = as_json(run_selftest(["c_t"]))
    text = json.dumps(rows, allow_nan=False)
    assert json.loads(text)[1]["low"] is None


def test_the_command_prints_a_table_and_exits_6_when_red() -> None:
    green = CliRunner().invoke(cli, ["selftest", "nll"], standalone_mode=False)
    assert green.return_value == 0
    assert "all 2 claims hold" in green.output
    red = CliRunner().invoke(cli, ["selftest", "nll", "--sabotage", "nll"], standalone_mode=False)
    assert red.return_value == 6
    assert "RED nll" in red.output
    assert "sabotaged on purpose" in red.output
