"""Metrics of other packages: declared, found, computed, and broken in every way."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genbench.errors import PluginError, UsageError
from genbench.features.extractors import Features
from genbench.metrics.custom import CustomMetric, described, find
from genbench.metrics.evaluation import evaluate
from genbench.metrics.table import metric_info, split_id
from genbench.results.records import metric_value
from genbench.tasks.suite import load_suite
from tests.conftest import ROOT, TINY
from tests.test_docs import blocks
from tests.test_newsuite import Entry, install
from tests.test_scoring import scored

REAL = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
FAKE = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)


def gap(real: Any, fake: Any, *, power: float = 1.0) -> float:
    return float(np.abs(real.mean(0) - fake.mean(0)).mean() ** power)


def metric(function: Any = gap, **more: Any) -> CustomMetric:
    return CustomMetric("Gap", "How far the means are.", function, False, **more)


class Doubled:
    """An extractor of a package: points, twice as large."""

    name, version, sha256, identity = "doubled", "1", "", "doubled/1"

    def __init__(self, space: Any) -> None:
        pass

    def extract(self, x: Any, **how: Any) -> Features:
        return Features(2 * x, None)


class Leaving(Entry):
    """An entry point to a module that ends the program."""

    def load(self) -> Any:
        raise SystemExit(1)


def value(function: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """What a record holds for a metric with this function."""
    install(monkeypatch, Entry("gap", metric(function, **more.pop("about", {}))))
    return evaluate(REAL, FAKE, ["gap"], **more)["gap"]


def test_a_metric_of_a_package_stands_beside_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("gap", metric(unit="cm")), Entry("doubled", Doubled))
    found = scored(tmp_path, {"id": "precision"}, {"id": "gap", "power": 2}, {"id": "gap@doubled"})
    assert [v.status for v in found.values()] == ["ok"] * 3
    mine = found["gap"]
    assert mine.signature.startswith("gap|gap/1 of somewhere:gap|power=2|n=300|ref=300|extractor=")
    assert (mine.unit, mine.higher_is_better, mine.n) == ("cm", False, 300)
    assert mine.interval is None
    assert mine.details == {"no_interval": "the metric's function gives no standard error"}
    other = found["gap@doubled"]
    assert other.signature.endswith("|power=1.0|n=300|ref=300|extractor=doubled/1|reference=test")
    assert mine.value == pytest.approx((other.value / 2) ** 2, rel=1e-5)
    assert metric_value(json.loads(json.dumps(mine.to_json()))) == mine


def test_a_standard_error_becomes_a_normal_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    found = value(lambda real, fake: (2.0, 0.5), monkeypatch)
    assert (found.value, found.std_error, found.interval.method) == (2.0, 0.5, "normal")
    assert found.interval.low == pytest.approx(2 - 1.96 * 0.5, abs=1e-3)
    assert value(lambda real, fake: (2.0, 0.5), monkeypatch, intervals=False).interval is None


def test_what_a_metric_needs_comes_by_keyword_and_cannot_be_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def look(real: Any, fake: Any, *, seed: int, **more: Any) -> float:
        seen.update(real=real, fake=fake, seed=seed, **more)
        return 1.0

    given = {
        "real_labels": np.arange(60) % 2, "fake_labels": np.arange(50) % 2, "train": REAL[:7],
        "real_probabilities": np.full((60, 2), 0.5), "fake_probabilities": np.full((50, 2), 0.5),
    }  # fmt: skip
    about = {"needs": ("labels", "train", "probabilities")}
    assert value(look, monkeypatch, about=about, seed=3, **given).value == 1.0
    assert set(seen) == {"real", "fake", "seed", *given}
    assert seen.pop("seed") == 3
    for name, array in seen.items():
        assert array.dtype == (np.int64 if name.endswith("labels") else np.float32), name
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    missing = value(look, monkeypatch, about=about, seed=3)
    assert (missing.status, missing.value) == ("not_applicable", None)
    assert "labels of real rows" in missing.reason
    unnamed = value(lambda real, fake, train: 1.0, monkeypatch, about={"needs": ("train",)})
    assert "needs the training rows: none given" in unnamed.reason


def divide(real: Any, fake: Any) -> float:
    return 1 / 0


def leave(real: Any, fake: Any) -> float:
    sys.exit("I am done")


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (lambda real, fake: float("nan"), "undefined", "gap came out as nan"),
        (lambda real, fake: (float("inf"), 1.0), "undefined", "gap came out as inf"),
        (divide, "failed", "ZeroDivisionError: division by zero"),
        (leave, "failed", r"called sys.exit\(I am done\)"),
        (lambda real, fake: None, "failed", "returned NoneType 'None': return a number, or"),
        (lambda real, fake: (1.0, 2.0, 3.0), "failed", "returned tuple"),
        (lambda real, fake: (1.0, float("nan")), "failed", "standard error nan: return one that"),
        (lambda real, fake: (1.0, -1.0), "failed", "standard error -1.0: return one that"),
        (lambda real, fake: real.__setitem__(0, 1), "failed", "read-only"),
    ],
)
def test_what_goes_wrong_in_a_metric_is_a_cell_with_its_reason(
    function: Any, status: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("gap", metric(function)))
    found = scored(tmp_path, {"id": "gap"}, {"id": "fid"})
    assert (found["gap"].status, found["gap"].value) == (status, None)
    assert re.search(reason, str(found["gap"].reason))
    assert found["fid"].status == "ok"


BROKEN = {
    "does not import: ImportError: no such thing": [Entry("gap", ImportError("no such thing"))],
    "does not import: SystemExit": [Leaving("gap", None)],
    "announced by somewhere:gap and": [Entry("gap", metric()), Entry("gap", metric())],
    "is of type function: announce a genbench.metrics.CustomMetric": [Entry("gap", gap)],
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_metric_is_named_by_the_suite_and_costs_its_own_cell_only(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *BROKEN[message])
    with pytest.raises(PluginError, match=message):
        find("gap")
    with pytest.raises(UsageError, match=rf"mine\.toml, line 39: .*{message}"):
        asking(tmp_path, 'id = "gap"')
    found = scored(tmp_path, {"id": "gap"}, {"id": "fid"})
    assert (found["gap"].status, found["fid"].status) == ("failed", "ok")
    assert message in str(found["gap"].reason)


def asking(folder: Path, entry: str, primary: str = "fid") -> Any:
    """The tiny suite with another metric instead of precision."""
    text = TINY.read_text().replace('id = "precision"', entry)
    (folder / "mine.toml").write_text(text.replace('primary = "fid"', f'primary = "{primary}"'))
    return load_suite(str(folder / "mine.toml"))


def test_a_suite_checks_a_packages_metric_and_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("gap", metric()))
    suite = asking(tmp_path, 'id = "gap@doubled"\npower = 3')
    assert suite.metrics[1].parameters == {"power": 3}
    assert suite.extractors_asked == ("identity", "doubled")
    for entry, message in {
        'id = "gap"\npowr = 3': "line 40: metric 'gap' has no parameter 'powr': did you mean",
        'id = "gap"\nseed = 3': "no parameter 'seed'",
        'id = "gpa"': "line 39: unknown metric 'gpa': did you mean 'gap'",
        'id = "gap@"': "names no extractor",
    }.items():
        with pytest.raises(UsageError, match=message):
            asking(tmp_path, entry)
    with pytest.raises(UsageError, match="line 9: primary 'gap' is another package's: choose a"):
        asking(tmp_path, 'id = "gap"', primary="gap")


@pytest.mark.parametrize("name", ["fid", "pixel_fid", "pixel_gap", "Gap", "a|b"])
def test_a_name_that_hides_or_confuses_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry(name, metric()))
    with pytest.raises(PluginError, match=r"rename it|no usable name"):
        find(name)
    if name == "fid":
        assert described("fid").title == "FID"
        assert evaluate(REAL, FAKE, ["fid"])["fid"].signature.startswith("fid|frechet/1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metric(needs=("log_prob",)), "'log_prob' is not at hand: known: features"),
        (lambda: metric(needs=("train",)), "cannot be called with real, fake, train: got an unexp"),
        (lambda: metric(lambda real, fake, k: 1.0), "missing a required argument: 'k'"),
        (lambda: metric("gap"), "cannot be called with real, fake: 'gap' is not a callable"),
        (lambda: metric(lambda real, fake, k=(): 1.0), "parameter k is (): give a"),
        (lambda: metric(version="1|2"), "version '1|2' is not usable"),
        (lambda: metric(unit=3), "unit is 3"),
    ],
)
def test_a_metric_that_cannot_work_says_so_when_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(PluginError) as told:
        make()
    assert message in str(told.value)


def test_naming_a_metric_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("gap", AssertionError("was imported")))
    assert split_id("gap@doubled") == ("gap", "doubled", None)
    info = metric_info("gap")
    assert (info.title, info.higher_is_better, info.unit) == ("gap", None, None)


@pytest.mark.parametrize("check", [False, True])
def test_the_list_names_packages_and_tells_a_broken_one_in_a_line(
    check: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from genbench.cli import cli

    loaded = []

    class Watched(Entry):
        def load(self) -> Any:
            loaded.append(self.name)
            return super().load()

    install(
        monkeypatch,
        Watched("gap", metric(unit="cm", cost="n d")),
        Watched("fid", metric()),
        Watched("worse", ImportError("no such\nthing")),
    )
    words = ["list", "metrics", *(["--check"] if check else [])]
    rows = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)["metrics"]
    assert rows[0]["provider"] == "genbench"
    fid, gap_, worse = rows[-3:]
    assert "would hide genbench's own: rename it" in fid["problem"]
    assert gap_["provider"] == "somewhere:gap"
    assert (gap_["unit"], gap_["better"]) == (("cm", "lower") if check else ("-", "-"))
    assert ("problem" in worse) == check
    assert bool(loaded) == check
    text = CliRunner().invoke(cli, words).stdout
    assert len(text.splitlines()) == len(rows) + 3 + check  # title, blank, a line per broken one
    shown = json.loads(CliRunner().invoke(cli, ["show", "gap", "--json"]).stdout)
    assert (shown["provider"], shown["parameters"]) == ("somewhere:gap", {"power": 1.0})


def test_the_pages_metric_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "bring-your-own.md").read_text()
    (code,) = [code for code in blocks(page, "py") if "OFF_CENTRE" in code]
    (request,) = (b for b in blocks(page, "toml") if "[[metrics]]" in b)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    install(monkeypatch, Entry("off_centre", namespace["OFF_CENTRE"]))
    suite = asking(tmp_path, request.replace("[[metrics]]\n", ""))
    found = scored(tmp_path, {"id": "off_centre", **suite.metrics[1].parameters})["off_centre"]
    assert found.status == "ok"
    assert found.interval is not None
    assert "|power=2.0|" in found.signature
