"""What a kind of data is stands in `genbench.kinds` alone; a new one needs nothing elsewhere."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genbench
from genbench import kinds
from genbench.data.split import Split
from genbench.errors import PluginError, UsageError
from genbench.generator import Space
from genbench.metrics.table import METRICS
from genbench.metrics.values import MetricValue
from genbench.plugins.finding import find
from genbench.plugins.probing import Prober
from genbench.results.controls import CONTROLS
from genbench.results.records import digest
from genbench.running.cells import SCORING_VERSION, scoring_keys
from genbench.running.cellspec import CellSpec
from genbench.running.scoring import Scorer
from genbench.system import extensions
from genbench.tasks.suite import load_suite
from genbench.testing.tiny import tiny_rows, tiny_space
from tests.conftest import TINY, Command
from tests.test_newsuite import Entry, install
from tests.test_plan import choice

PACKAGE = Path(genbench.__file__).parent
OURS = ("image", "points", "sequence", "waveform")


def asks_by_name(source: str) -> Iterator[int]:
    """The lines on which a kind is compared with a text, or looked up by its name in a table."""

    def texts(node: ast.AST) -> set[Any]:
        return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} & set(OURS)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            whole = [node.left, *node.comparators]
            named = any("kind" in ast.unparse(side).lower() for side in whole)
            if named and any(texts(side) for side in whole):
                yield node.lineno
        elif isinstance(node, ast.Match) and any(texts(case.pattern) for case in node.cases):
            yield node.lineno
        elif isinstance(node, ast.Dict):
            keys = [key for key in node.keys if key is not None and texts(key)]
            if len(keys) > 1:
                yield node.lineno


def test_nobody_outside_compares_a_kind_with_a_text() -> None:
    for file in PACKAGE.rglob("*.py"):
        if file.relative_to(PACKAGE).parts[0] != "kinds":
            assert not list(asks_by_name(file.read_text())), file


@pytest.mark.parametrize(
    "source",
    [
        "if space.kind == 'image': ...",
        "if 'points' != suite.space.kind: ...",
        "x = 1 if space['kind'] in ('image', 'points') else 2",
        "def f(kind):\n    return kind not in {'sequence'}",
        "match space.kind:\n    case 'waveform' | 'points': ...",
        "UNITS = {'image': 'bits/dim', 'points': 'nats'}",
    ],
)
def test_every_way_to_compare_is_seen(source: str) -> None:
    assert list(asks_by_name(source))


def test_kinds_are_asked_without_torch() -> None:
    code = (
        "import sys\nfrom genbench import kinds\n"
        "[kinds.of(name).described for name in kinds.names()]\n"
        "print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", OURS)
def test_tiny_rows_are_of_their_space_and_hardly_two_alike(name: str) -> None:
    space = tiny_space(name)
    rows = tiny_rows(space)
    assert space.violation(rows, len(rows)) is None
    assert len({row.numpy().tobytes() for row in rows}) > 0.9 * len(rows)
    assert bool((rows == tiny_rows(space)).all())


def test_a_kind_names_the_controls_that_make_rows_of_it(prober: Prober) -> None:
    declared = {name: prober.describe(find(name)).kinds for name in CONTROLS}
    for name in OURS:
        able = {control for control, of in declared.items() if name in of}
        assert set(kinds.of(name).controls) == able


UNITS = {
    "image": "bits/dim",
    "points": "nats",
    "sequence": "bits/character",
    "waveform": "bits/sample",
}


@pytest.mark.parametrize("name", OURS)
def test_a_likelihood_is_in_the_unit_that_stands_beside_it(name: str, tmp_path: Path) -> None:
    """Of a uniform model: one over the number of values for each part of a row, 8 of them here."""
    space = replace(tiny_space(name), levels=8 if tiny_space(name).levels else 0)
    nats = math.log(8) * space.dims
    value = scored(tmp_path, space, np.full(40, -nats))
    expected = nats if name == "points" else 3.0
    assert value.value == pytest.approx(expected)
    assert value.unit == UNITS[name] == METRICS["nll"].unit_for(name)


@pytest.mark.parametrize("name", ["image", "sequence", "waveform"])
def test_a_density_is_not_taken_for_a_probability(name: str, tmp_path: Path) -> None:
    value = scored(tmp_path, tiny_space(name), np.full(40, 5.0))
    assert (value.status, value.value) == ("undefined", None)
    assert str(value.reason).endswith(
        f"in {kinds.of(name).likelihood.quantised or 'the levels'}, in nats"
    )


def test_padding_is_no_character(tmp_path: Path) -> None:
    """Texts of 3 and of 9 characters, one bit each and one for the end, which is written."""
    space = Space("sequence", (12,), levels=5, pad=0)
    lengths = np.tile([3, 9], 20)
    rows = (np.arange(12) < lengths[:, None]).astype(np.int64)
    value = scored(tmp_path, space, -(lengths + 1) * math.log(2), rows)
    assert value.value == pytest.approx(1.0)


def test_only_likelihoods_whose_unit_changed_are_signed_by_it(tmp_path: Path) -> None:
    signed = {n: "|unit=" in scored(tmp_path, tiny_space(n), np.full(9, -1.0)).signature
              for n in OURS}  # fmt: skip
    assert signed == {"image": False, "points": False, "sequence": True, "waveform": True}


def test_records_with_the_unit_of_before_are_scored_again() -> None:
    suite = load_suite(str(TINY))
    space = {**suite.document["dataset"]["space"], "kind": "waveform"}
    dataset = {**suite.document["dataset"], "space": space}
    sound = replace(suite, document={**suite.document, "dataset": dataset})
    for asked, kept in ((suite, True), (sound, False)):
        before = {"suite": asked.part_hash("metrics"), "scoring": SCORING_VERSION}
        assert (scoring_keys(asked)["metrics"] == digest(before)) is kept


def scored(folder: Path, space: Space, log_prob: Any, rows: Any = None) -> MetricValue:
    """The NLL that these log-probabilities of reference rows make."""
    suite = load_suite(str(TINY))
    dataset = {**suite.document["dataset"], "space": space.to_json()}
    asked = [{"id": "nll", "rows": len(log_prob)}]
    suite = replace(suite, document={**suite.document, "dataset": dataset, "metrics": asked})
    about = replace(choice().description, kinds=(space.kind,), likelihood="exact")
    subject = replace(choice(), description=about)
    spec = CellSpec(folder, folder / "cache", "key", suite, subject, 0, parts=("metrics",))
    scorer = Scorer(spec, {"x": log_prob[:0]}, {"nll": log_prob}, None, {}, lambda what: None)
    real = tiny_rows(space, len(log_prob)).numpy() if rows is None else rows
    scorer._rows._splits["test"] = Split(real, None)
    return scorer.score()["nll"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry("counts", ImportError("no such thing"))], "does not import: ImportError: no such"),
        ([Entry("counts", kinds.of("points"))], "calls itself 'points': make them equal"),
        ([Entry("counts", {})], "lacks name, dtype, tiny: add it"),
        ([Entry("counts", type(kinds.of("points")))], "is of type ABCMeta: give a DataKind"),
        ([Entry("counts", kinds.of("points"))] * 2, "is announced by somewhere:counts and"),
    ],
)
def test_a_kind_of_a_package_that_is_none_is_named(
    entries: list[Entry], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *entries)
    with pytest.raises(PluginError, match=message):
        kinds.of("counts")


def test_a_kind_that_nobody_has_is_named() -> None:
    with pytest.raises(UsageError, match="kind 'imgae' is unknown: did you mean 'image'"):
        kinds.of("imgae")


def test_names_are_told_without_importing_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("spectrum", "no_such_module:IT", extensions.KINDS)
    monkeypatch.setattr(extensions.metadata, "entry_points", lambda group: [entry])
    assert kinds.built_in("spectrum") is None
    assert kinds.names()[-1] == "spectrum"


KIND = '''
"""Spectra: the power in each of d bands, never negative."""
from genbench.kinds import DataKind, LikelihoodUnit, Tiny

class Spectrum(DataKind):
    name, dtype, tiny = "spectrum", "float32", Tiny((4,))
    likelihood = LikelihoodUnit("bits/band")
    columns = True
    shown_as = "scatter"
    scored_from = ("arrays", "csv")

    def tiny_rows(self, space, n):
        import torch
        rng = torch.Generator().manual_seed(0)
        return torch.randn(n, *space.shape, generator=rng).exp()

    def outside(self, x):
        return "[0, inf)" if bool((x < 0).any()) else None

SPECTRUM = Spectrum()
'''
GENERATOR = '''
"""A log-normal of independent bands."""
from dataclasses import dataclass
import math, torch
from genbench.generator import GeneratorSpec

@dataclass(frozen=True)
class Params:
    below: float = 0.0

class Bands:
    spec = GeneratorSpec("bands", "1", "log-normal", ("spectrum",), "none", "exact", Params)

    def __init__(self, params, space, device):
        self.params, self.space, self.device = params, space, device
        self.moments = torch.zeros(2, space.dims, device=device)

    def fit(self, train, run):
        total = torch.zeros(2, self.space.dims, device=self.device)
        state = run.restore()
        total = total if state is None else state["total"]
        for x, _ in train.batches(100, seed=run.seed, start=run.served):
            total = total + torch.stack([x.log().sum(0), x.log().square().sum(0)])
            run.checkpoint(lambda total=total: {"total": total})
        mean = total[0] / run.served
        self.moments = torch.stack([mean, (total[1] / run.served - mean.square()).sqrt()])

    def sample(self, n, *, seed, labels=None):
        rng = torch.Generator(self.device).manual_seed(seed)
        noise = torch.randn(n, self.space.dims, generator=rng, device=self.device)
        return (self.moments[0] + self.moments[1] * noise).exp() - self.params.below

    def log_prob(self, x, *, seed, labels=None, draws=1):
        return torch.distributions.LogNormal(*self.moments).log_prob(x).sum(1)

    def state_dict(self):
        return {"moments": self.moments}

    def load_state_dict(self, state):
        self.moments = state["moments"]
'''
SUITE = """
schema = 1
[suite]
name = "spectra"
version = "1.0.0"
title = "Spectra"
description = "Four bands."
primary = "fid"
[dataset]
name = "spectra"
loader = "arrays"
licence = "none needed"
[dataset.space]
kind = "spectrum"
shape = [4]
[[dataset.files]]
role = "data"
path = "spectra.npz"
bytes = {bytes}
sha256 = "{sha256}"
[dataset.split]
train = {{ file = "data", rows = [0, 600] }}
valid = {{ file = "data", rows = [600, 800] }}
test = {{ file = "data", rows = [800, 1000] }}
[protocol]
n_samples = 200
seeds = [0]
reference = "test"
extractor = "identity"
[budget]
examples = 2000
[[metrics]]
id = "fid"
[[metrics]]
id = "emd"
[[metrics]]
id = "nll"
rows = 200
[controls]
names = ["heldout"]
"""


def made_up(folder: Path) -> dict[str, str]:
    """A package with a kind and a generator of it, and a suite of that kind; the environment."""
    site = folder / "site"
    info = site / "spectra-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spectra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[genbench.kinds]\nspectrum = spectra_kind:SPECTRUM\n"
        "[genbench.generators]\nbands = spectra_model:Bands\n"
    )
    (site / "spectra_kind.py").write_text(KIND)
    (site / "spectra_model.py").write_text(GENERATOR)
    rng = np.random.default_rng(0)
    np.savez(folder / "spectra.npz", x=np.exp(rng.normal(size=(1000, 4))).astype(np.float32))
    data = (folder / "spectra.npz").read_bytes()
    text = SUITE.format(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / "spectra.toml").write_text(text)
    rows = np.exp(rng.normal(size=(200, 4)))
    for name, shift in (("theirs", 0.0), ("below", 5.0)):
        np.savetxt(folder / f"{name}.csv", rows - shift, delimiter=",", fmt="%.6f")
    return {"PYTHONPATH": str(site)}


@pytest.mark.slow
def test_a_made_up_kind_goes_from_a_suite_to_a_report(
    tmp_path: Path, run_genbench: Command
) -> None:
    env = made_up(tmp_path)

    def ok(*args: object) -> str:
        done = run_genbench(*args, env=env)
        assert done.code == 0, done.out + done.err
        return done.out

    ok("suite", "check", "spectra.toml")
    ok("run", "--suite", "spectra.toml", "-g", "bands", "--json")
    ok("score", "theirs.csv", "--suite", "spectra.toml", "--no-controls", "--no-report")
    report = run_genbench("report", "results", "-o", "site-report")  # which needs no package
    assert report.code == 0, report.err
    records = [json.loads(f.read_text()) for f in (tmp_path / "results").rglob("record.json")]
    found = {r["cell"]["generator"]["name"]: r for r in records}
    assert set(found) == {"bands", "heldout", "theirs"}
    assert {r["status"] for r in records} == {"ok"}
    nll = found["bands"]["metrics"]["nll"]
    # The entropy of a standard log-normal is that of the normal: log2(2 pi e) / 2 bits a band.
    assert nll["unit"] == "bits/band"
    assert nll["value"] == pytest.approx(math.log2(2 * math.pi * math.e) / 2, abs=0.15)
    assert found["theirs"]["metrics"]["fid"]["value"] < 1
    roles = {artefact["role"] for artefact in found["bands"]["artifacts"]}
    assert {"points", "real-points"} <= roles, "it is shown as the kind says"
    page = "".join(f.read_text() for f in (tmp_path / "site-report").glob("*.html"))
    assert "bits/band" in page

    refused = run_genbench("score", "below.csv", "--suite", "spectra.toml", env=env)
    assert refused.code == 2
    assert "below.csv leaves [0, inf): scale or clip it" in refused.err
    low = run_genbench("run", "--suite", "spectra.toml", "-g", "bands:below=9", env=env)
    assert low.code == 3
    assert "leaves [0, inf): scale or clip it" in low.out + low.err


@pytest.mark.slow
def test_a_generator_of_a_made_up_kind_is_checked_on_tiny_rows(
    tmp_path: Path, run_genbench: Command
) -> None:
    done = run_genbench("check", "bands", "--json", env=made_up(tmp_path))
    results = json.loads(done.out)[0]["checks"]
    assert {r["status"] for r in results} <= {"passed", "not checked"}, done.out
    assert {"samples", "log-prob", "resume"} <= {r["check"] for r in results}
    assert not {"density", "probability"} & {r["check"] for r in results}
