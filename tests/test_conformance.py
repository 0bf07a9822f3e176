"""Every check of the contract passes what is sound and fails what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from genbench.errors import ContractError, UsageError
from genbench.plugins import finding as plugins
from genbench.plugins.finding import GeneratorRef
from genbench.plugins.probing import Prober
from genbench.testing import declaration
from genbench.testing.checking import check_all, check_generator
from genbench.testing.examination import examine
from genbench.testing.results import CheckResult
from genbench.testing.rules import RULES
from tests.conftest import PLUGINS, Command

FILE = PLUGINS / "nonconforming.py"

# Class, the check that it fails, and what its author is told.
FAILING = [
    (
        "WrongSpec",
        "spec",
        r"spec\.kinds is \('pointers',\).*spec\.labels is 'some': give 'none' or",
    ),
    ("WrongParameters", "spec", r"WrongParams is not frozen.*'depth'.*'1\.5' is not of type int"),
    ("FitRaises", "fit", r"RuntimeError: the optimiser exploded \(nonconforming\.py, line \d+\)"),
    ("FitCrashes", "fit", "killed by SIGSEGV"),
    ("FitLeaves", "fit", "ended with exit code 0"),
    ("FitHangs", "fit", "took more than 8 s"),
    ("SqueezesOne", "samples", r"shape \(1, 8, 8\), expected \(1, 1, 8, 8\)"),
    ("FewerLevels", "samples", r"expected 0\.\.16"),
    ("IgnoresSeed", "seed", "seeds 3 and 4 gave the same 128 samples"),
    ("DrawsAfresh", "seed", "twice gave different samples"),
    ("SeedsEverything", "random-state", r"fit\(\) \(torch\), sample\(\) \(numpy\.random\)"),
    ("SpoilsData", "training-data", "changed the training rows: work on copies"),
    ("Drifts", "unchanged", "sampling changed table of the state"),
    ("IgnoresLabels", "labels", "labels 0 and 2 gave the same samples"),
    ("SortsLabels", "labels", r"row i must be of class labels\[i\]"),
    ("RandomScore", "log-prob", "gave two values"),
    ("OneScore", "log-prob", r"returned \(\), expected a tensor \(7,\)"),
    ("NoNormaliser", "density", r"integrates to \d+\.\d+, expected 1 within 0\.02"),
    ("LooseBound", "density", r"integrates to \d+\.\d+, expected at most 1"),
    ("MeanOfPixels", "probability", r"exact probabilities of all images sum to \d+\.\d+"),
    ("NoBound", "probability", r"dequantized probabilities .* expected at most 1"),
    ("WideCodes", "codes", r"encode\(\) returned float64 \(32, 2\), expected float32 \(32, 2\)"),
    ("BatchCodes", "codes", r"the code of a row changes by \d+% with the other rows"),
    ("RandomCodes", "codes", "the same call gave another answer"),
    ("UnsizedDecoder", "decode", "offers decode but no latent_size"),
    ("DecoderIsNoModule", "decode", r"decode is a method, expected a torch\.nn\.Module"),
    ("DecodesHalf", "decode", r"reconstruct\(x\) returned .*shape \(16, 2\), expected \(32, 2\)"),
    ("ForgetsItsSampler", "sampler", r"after load_state_dict\(\) in a new process the answer is"),
    ("Memorises", "copies", "100% of 128 samples are training rows"),
    ("WritesFiles", "files", r"wrote model\.pt where it was started"),
    ("HalfState", "state", "in a new process the samples are others"),
    ("NotTensors", "state", r"state_dict\(\) holds table that are no tensors"),
    ("Unrepeatable", "repeat", r"a second fit with the same run\.seed gave other samples"),
    ("StartsAgain", "resume", "interrupted and resumed fit gave other samples"),
    ("SpoilsItsFit", "snapshots", "that offered a snapshot half-way gave other samples: work on"),
    ("KeepsHalf", "snapshots", r"KeyError: 'table' \(nonconforming\.py, line \d+\)"),
    ("Unstoppable", "stop", "took more than 8 s"),
    ("StaysBehind", "device", "returned a tensor on cpu, expected meta"),
    ("MixesDevices", "device", "not on the expected device meta"),
]


def ref(attr: str, file: Path = FILE) -> GeneratorRef:
    name = re.sub(r"(?<!^)([A-Z])", r"-\1", attr).lower()
    return GeneratorRef(name, attr, f"file {file.name}", file=str(file), track_source=True)


def found(prober: Prober, attr: str, check: str, seconds: float = 60) -> CheckResult:
    results = examine(ref(attr), prober, only=(check,), seconds=seconds)
    return next(r for r in results if r.check == check)


@pytest.mark.slow
@pytest.mark.parametrize(("attr", "check", "detail"), FAILING, ids=[f"{a}" for a, _, _ in FAILING])
def test_a_check_finds_what_it_is_for(prober: Prober, attr: str, check: str, detail: str) -> None:
    result = found(prober, attr, check, 8 if "took more" in detail else 60)
    assert result.status == "failed", result
    assert re.search(detail, result.detail), result.detail


def test_every_check_can_fail() -> None:
    assert {check for _, check, _ in FAILING} | {"import"} == set(RULES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attr", "kind"), [("Points", "points"), ("Images", "image"), ("Coded", "points")]
)
def test_a_sound_generator_passes(prober: Prober, attr: str, kind: str) -> None:
    results = {r.check: r for r in examine(ref(attr), prober)}
    assert not [r for r in results.values() if r.status == "failed"]
    owed = {r.id for r in RULES.values() if r.scope == "generator" or r.about(kind)}
    # What is optional and not there is not spoken of.
    assert set(results) == owed - (set() if attr == "Coded" else {"codes", "decode", "sampler"})
    reasons = {r.check: r.detail for r in results.values() if r.status == "not checked"}
    if kind == "points":
        assert reasons == {"labels": "points carry no labels"}
    else:
        assert set(reasons) == {"resume", "snapshots"}, reasons
        assert "call run.checkpoint" in reasons["resume"]


def test_what_cannot_be_checked_is_no_pass(prober: Prober) -> None:
    result = found(prober, "BigOnly", "probability")
    assert result.status == "not checked"
    assert "does not take images of shape (1, 2, 2): ValueError: the image is too" in result.detail
    result = found(prober, "Memorises", "density")
    assert result.status == "not checked"
    assert result.detail == "spec.likelihood is None: an implicit model"


def test_a_check_after_a_failed_one_is_not_made(prober: Prober) -> None:
    results = {r.check: r for r in examine(ref("FitCrashes"), prober, only=("seed", "stop"))}
    assert results["fit"].status == "failed"
    for check in ("samples", "seed", "stop"):
        assert results[check].status == "not checked"
        assert results[check].detail == "needs check 'fit' to pass", "the first cause"


IMPORTS = {
    "from pathlib import Path\nPath('cache.bin').write_text('x')": r"wrote cache\.bin",
    "import random\nrandom.seed(0)": "changed the global random state of random",
    "import nothing_of_this_name": "ModuleNotFoundError",
    "import os\nos.abort()": "killed by SIGABRT",
}


@pytest.mark.parametrize("code", IMPORTS)
def test_an_import_does_nothing_but_define(prober: Prober, tmp_path: Path, code: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)
    (result,) = [r for r in examine(ref("Mine", file), prober) if r.check == "import"]
    assert result.status == "failed"
    assert re.search(IMPORTS[code], result.detail), result.detail


def test_a_slow_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, here = tmp_path / "slow.py", tmp_path / "here"
    here.mkdir()
    file.write_text("import time\ntime.sleep(0.01)\n")
    monkeypatch.setattr(declaration, "IMPORT_SECONDS", 1e-6)
    with pytest.raises(ContractError, match=r"took 0\.\d s: move slow work from the module"):
        declaration.check_import(ref("Slow", file), here)


@pytest.mark.slow
def test_check_generator_raises_with_all_that_failed() -> None:
    from tests.plugins.nonconforming import IgnoresSeed

    with pytest.raises(ContractError, match=r"(?s)fails 1 of 5.*seed \(points\): seeds 3 and 4"):
        check_generator(IgnoresSeed, only=["seed"])


def test_check_generator_refuses_what_it_cannot_find() -> None:
    class Local:
        spec = ref("Local")

    with pytest.raises(UsageError, match="define it at the top level of a module"):
        check_generator(Local)
    with pytest.raises(UsageError, match="has no `spec`"):
        check_generator(int)
    with pytest.raises(UsageError, match="did you mean 'vae'"):
        check_generator("vea")
    with pytest.raises(UsageError, match="is a control"):
        check_generator("train-copy")
    with pytest.raises(UsageError, match="did you mean 'seed'"):
        check_generator("vae", only=["sed"])


def test_a_file_that_does_not_import_is_a_failed_check(prober: Prober, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\nos.abort()\n")
    (report,) = check_all(str(tmp_path / "mine.py"), prober)
    assert [(r.check, r.status) for r in report.results] == [("import", "failed")]


def test_a_class_that_a_file_lacks_is_named(prober: Prober) -> None:
    with pytest.raises(UsageError, match="has no generator class 'Drift': did you mean 'Drifts'"):
        check_all(f"{FILE}:Drift", prober)


@pytest.mark.slow
def test_the_command_tells_and_exits_with_6(run_genbench: Command) -> None:
    done = run_genbench("check", f"{FILE}:SqueezesOne")
    assert done.code == 6, done.err
    assert "FAILED samples (image)" in done.out
    assert "not checked: needs check 'samples' to pass" in done.out
    assert "squeezes-one: 8 passed, 1 failed, 10 not checked" in " ".join(done.out.split())


@pytest.mark.slow
def test_the_commands_json_is_json(run_genbench: Command) -> None:
    done = run_genbench("check", PLUGINS / "normal.py", "--json")
    assert done.code == 0, done.err
    (report,) = json.loads(done.out)
    assert report["generator"] == "normal"
    assert report["ok"]
    by_id = {check["check"]: check for check in report["checks"]}
    assert by_id["density"]["status"] == "passed"
    assert by_id["density"]["sentence"].endswith("a bound to at most that.")


def test_a_shape_that_is_none_is_refused(run_genbench: Command) -> None:
    for shape in ("1,x", "0,2", ""):
        done = run_genbench("check", "vae", "--shape", shape)
        assert done.code == 2
        assert "is not a shape: write 1,28,28" in done.err


IMPLICIT = {
    "log-prob (image)",
    "log-prob (points)",
    "density (points)",
    "probability (image)",
    "labels (points)",
}
IMPLICIT_TEXTS = {"log-prob (sequence)", "labels (sequence)"}
IMPLICIT_SOUNDS = {  # phases need numbers
    f"{x} (waveform)" for x in ("labels", "device", "log-prob")
}
NOT_CHECKED = {  # of each baseline, what cannot be
    "gan": IMPLICIT | IMPLICIT_TEXTS | IMPLICIT_SOUNDS,
    "vae": {"labels (points)", "labels (sequence)"} | IMPLICIT_SOUNDS,
    "flow": {"labels (points)"},
    "dna": IMPLICIT | IMPLICIT_TEXTS | IMPLICIT_SOUNDS,
    "autoencoder": IMPLICIT,
    "dcgan": {"log-prob (image)", "probability (image)"},
    "wgan-gp": IMPLICIT,
    "realnvp": {"labels (points)"},
    "pixelcnn": set(),
    "vqvae": set(),
    "lstm": {"labels (sequence)"},
    "transformer": {"labels (sequence)"},
    "autoregressive": {"labels (waveform)"},
    "wavegan": {"labels (waveform)", "log-prob (waveform)"},
    # Their fits take no batches and no time.
    "ngram": {f"{x} (sequence)" for x in ("labels", "resume", "snapshots", "stop", "device")},
    "kde": {"labels (points)"}
    | {f"{x} ({k})" for x in ("resume", "snapshots", "stop") for k in ("image", "points")},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NOT_CHECKED))
def test_every_baseline_obeys_the_contract(prober: Prober, name: str) -> None:
    results = list(examine(plugins.find(name), prober))
    assert not [r for r in results if r.status == "failed"]
    assert {r.label for r in results if r.status == "not checked"} == NOT_CHECKED[name]
