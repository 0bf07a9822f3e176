"""The table of metrics: complete, light to import, and helpful about unknown names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import genbench.metrics
from genbench.errors import UsageError
from genbench.metrics.entry import MetricInfo
from genbench.metrics.signatures import signature, with_defaults
from genbench.metrics.table import METRICS, plain_name, split_id

FEATURES = [info for info in METRICS.values() if info.source == "features"]
IDS = [
    "fid",
    "fid_infinity",
    "fid_per_class",
    "classifier_score",
    "kid",
    "mmd",
    "precision",
    "recall",
    "density",
    "coverage",
    "emd",
    "sliced_wasserstein",
    "nll",
    "nll_tight",
    "c2st",
    "c_t",
    "authenticity",
    "mauve",
    "vendi",
    "reconstruction_mse",
    "reconstruction_fid",
    "probe_accuracy",
    "tstr_accuracy",
    "trtr_accuracy",
    "trts_accuracy",
    "augmentation_gain",
    "robust_accuracy",
    "pixel_fid",
    "pixel_emd",
]


@pytest.mark.parametrize("metric", IDS)
def test_every_metric_of_the_design_is_described(metric: str) -> None:
    info = METRICS[metric]
    assert info.id == metric
    assert info.description.endswith(".")
    assert info.kinds
    assert info.needs
    assert info.reference


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_versioned_implementation_in_its_signature(metric: str) -> None:
    text = signature(metric, {}, 100, 90, {"extractor": "tiny/1"})
    assert text.startswith(f"{metric}|{METRICS[metric].implementation}|")
    assert text.endswith("|n=100|ref=90|extractor=tiny/1")


@pytest.mark.parametrize("info", METRICS.values(), ids=lambda info: info.id)
def test_an_entry_holds_all_that_others_ask(info: MetricInfo) -> None:
    low, high = info.bounds
    assert low < high
    assert info.implementation
    assert (info.maker == "") == (info.source != "features")
    assert info.ceiling in ("", *METRICS)
    assert not set(info.defaults) & set(info.fixed)
    assert not (info.on_pixels and info.has_pixel_twin)
    assert info.has_pixel_twin == (f"pixel_{info.id}" in METRICS)


@pytest.mark.parametrize("info", FEATURES, ids=lambda info: info.id)
def test_the_maker_that_an_entry_names_is_there(info: MetricInfo) -> None:
    assert isinstance(info.maker, str)
    assert info.load_maker().__name__ == info.maker.partition(":")[2]


def test_a_pixel_twin_differs_in_nothing_but_what_it_is_made_of() -> None:
    fid, twin = METRICS["fid"], METRICS["pixel_fid"]
    assert (twin.needs, twin.kinds) == (frozenset({"pixels"}), ("image",))
    for name in ("implementation", "defaults", "maker", "bounds", "oracle", "higher_is_better"):
        assert getattr(twin, name) == getattr(fid, name)


def test_a_signature_names_defaults_and_what_was_changed() -> None:
    assert signature("fid", {}, 10, 20, {}) == "fid|frechet/1|ddof=1|n=10|ref=20"
    changed = signature("kid@x", {"subset_size": 50}, 10, 20, {})
    assert changed == "kid|kernel/2|subset_size=50|subsets=100|n=10|ref=20"


def test_the_package_and_its_table_import_neither_torch_nor_numpy_nor_scipy() -> None:
    code = (
        "import sys, genbench.metrics, genbench.metrics.table, genbench.metrics.signatures\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow  # a process that imports scipy
def test_arrays_are_measured_without_torch() -> None:
    code = (
        "import sys, numpy as np; from genbench.metrics import evaluate\n"
        "x, y = np.random.default_rng(0).normal(size=(2, 90, 3))\n"
        "names = ['fid', 'kid', 'recall', 'coverage', 'authenticity', 'vendi']\n"
        "found = evaluate(x, y, names, train=x)\n"
        "print({v.status for v in found.values()}, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'ok'} False"


@pytest.mark.parametrize("name", genbench.metrics.__all__)
def test_everything_public_can_be_had_from_the_package(name: str) -> None:
    assert getattr(genbench.metrics, name) is not None
    assert name in dir(genbench.metrics)


def test_no_module_is_called_like_a_public_function() -> None:
    """Its import would put the module in the function's place."""
    modules = {file.stem for file in Path(genbench.metrics.__file__).parent.glob("*.py")}
    assert not modules & set(genbench.metrics.__all__)


def test_an_extractor_and_a_split_are_split_off() -> None:
    assert split_id("fid@inception-v3-compat") == ("fid", "inception-v3-compat", None)
    assert split_id("fid") == ("fid", None, None)
    assert split_id("fid:vendor") == ("fid", None, "vendor")
    assert split_id("fid@net:vendor") == ("fid", "net", "vendor")
    assert [plain_name(m) for m in ("own", "own@net", "own:a", "own@net:a")] == ["own"] * 4


def test_an_unknown_metric_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'precision'"):
        split_id("percision")
    with pytest.raises(UsageError, match="names no extractor"):
        split_id("fid@")
    with pytest.raises(UsageError, match="names no split: write fid or fid:SPLIT"):
        split_id("fid:")


def test_an_unknown_parameter_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'subset_size'"):
        with_defaults("kid", {"subset_sise": 3})


def test_likelihoods_of_points_are_in_nats() -> None:
    assert METRICS["nll"].unit_for("image") == "bits/dim"
    assert METRICS["nll"].unit_for("points") == "nats"
    assert METRICS["fid"].unit_for("points") is None
