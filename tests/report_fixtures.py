"""Records as the worker writes them, made up but plausible: what the report is tested with."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genbench.metrics.table import METRICS
from genbench.metrics.values import Interval, MetricValue
from genbench.results.entries import Entry, TaskResults
from genbench.results.records import Artifact, Record, digest

TASK = digest("task")
SUITE_HASH = digest("suite")
METRIC_IDS = (
    "fid", "fid_per_class", "classifier_score", "kid", "precision", "recall", "density",
    "coverage", "emd",
    "sliced_wasserstein", "nll", "nll_tight", "tstr_accuracy", "trtr_accuracy",
)  # fmt: skip
SPREAD = {"fid": 0.06, "kid": 0.07, "classifier_score": 0.004, "nll": 0.004, "nll_tight": 0.004}

# value per metric: heldout, train-copy, gaussian, noise, mode-dropped, gan, vae, flow, dna
_VALUES: dict[str, tuple[float | None, ...]] = {
    "fid": (3.2, 2.6, 245.0, 3864.0, 61.0, 5.4, 98.0, 31.0, 21.5),
    "fid_per_class": (14.1, 13.2, 301.0, 4011.0, 260.0, 22.4, 131.0, 62.0, 48.3),
    "classifier_score": (9.76, 9.79, 8.98, 1.002, 8.9, 9.83, 9.21, 9.4, 9.41),
    "kid": (0.0002, 0.0001, 0.31, 6.8, 0.08, 0.0021, 0.12, 0.041, 0.027),
    "precision": (0.71, 0.73, 0.12, 0.0, 0.71, 0.75, 0.55, 0.61, 0.66),
    "recall": (0.72, 0.73, 0.02, 0.0, 0.63, 0.52, 0.61, 0.622, 0.59),
    "density": (1.0, 1.01, 0.09, 0.0, 0.99, 1.06, 0.62, 0.71, 0.81),
    "coverage": (0.968, 0.971, 0.11, 0.0, 0.87, 0.955, 0.61, 0.82, 0.85),
    "emd": (9.1, 9.0, 17.8, 61.0, 10.2, 9.3, 12.9, 10.8, 10.3),
    "sliced_wasserstein": (0.09, 0.08, 1.21, 7.7, 0.61, 0.13, 0.72, 0.42, 0.33),
    "nll": (None, None, None, 8.0, None, None, 1.163, 1.146, None),
    "nll_tight": (None, None, None, 8.0, None, None, 1.141, 1.139, None),
    "tstr_accuracy": (0.991, 0.991, 0.918, 0.11, 0.89, 0.981, 0.962, 0.967, 0.966),
    "trtr_accuracy": (0.991,) * 9,
}
_GENERATORS: tuple[tuple[str, str, str | None, float, int], ...] = (
    ("heldout", "control", None, 0.1, 0),
    ("train-copy", "control", None, 0.1, 0),
    ("gaussian", "control", None, 1.4, 0),
    ("noise", "control", None, 0.1, 0),
    ("mode-dropped", "control", None, 0.1, 0),
    ("gan", "gan", None, 181.0, 1_214_339),
    ("vae", "vae", "lower-bound", 192.4, 402_118),
    ("flow", "flow", "dequantized", 261.0, 655_872),
    ("dna", "denoising", None, 170.2, 511_009),
)
_SAMPLE_S = {"gan": 2.1, "vae": 3.9, "flow": 97.0, "dna": 14.2, "gaussian": 0.8}


def suite(**changes: Any) -> dict[str, Any]:
    """The resolved suite as data; `changes` replace top-level keys."""
    body: dict[str, Any] = {
        "suite": {
            "name": "mnist",
            "version": "1.0.0",
            "title": "MNIST digits",
            "description": "Class-conditional generation of 28x28 grey-level digits.",
            "primary": "fid",
        },
        "profile": "standard",
        "task": TASK,
        "hash": SUITE_HASH,
        "dataset": {
            "name": "mnist",
            "licence": "CC BY-SA 3.0",
            "credit": "Yann LeCun and Corinna Cortes, MNIST handwritten digits.",
        },
        "space": {"kind": "image", "shape": [1, 28, 28], "levels": 256, "classes": 10},
        "protocol": {"n_samples": 10000, "extractor": "mnist-cnn"},
        "budget": {"examples": 300000},
        "metrics": [{"id": name} for name in METRIC_IDS],
    }
    return body | changes


def task(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> TaskResults:
    """Four baselines and five controls, one failed cell (dna, last seed), artefacts in `folder`."""
    entries = []
    for index, (name, *_rest) in enumerate(_GENERATORS):
        for seed in seeds:
            failed = name == "dna" and seed == seeds[-1] and len(seeds) > 1
            entries.append(_entry(folder, index, seed, failed))
    return TaskResults(suite(), entries)


def points_task(folder: Path) -> TaskResults:
    """A point suite with two generators, whose artefacts are point clouds."""
    body = suite(
        suite={"name": "8gaussians", "version": "1.0.0", "title": "Eight Gaussians",
               "description": "Eight modes on a circle.", "primary": "nll"},
        task=digest("points"),
        space={"kind": "points", "shape": [2], "levels": 0, "classes": 0},
        protocol={"n_samples": 10000, "extractor": "identity"},
        metrics=[{"id": name} for name in ("nll", "emd", "sliced_wasserstein")],
    )  # fmt: skip
    entries = []
    for name, family, value, emd in (
        ("heldout", "control", 2.835, 0.11),
        ("noise", "control", 9.1, 3.0),
        ("flow", "flow", 2.91, 0.16),
        ("gan", "gan", None, 0.21),
    ):
        record_id = "01POINTS" + hashlib.sha256(name.encode()).hexdigest()[:18].upper()
        home = folder / record_id
        home.mkdir(parents=True)
        rng = np.random.default_rng(len(name))
        clouds = {"points": _ring(rng, 0.5 + 0.3 * (name == "noise")), "real-points": _ring(rng)}
        artifacts = tuple(_npz(home, role, x) for role, x in clouds.items())
        nll = (
            MetricValue("not_applicable", reason=f"{name} has no likelihood", signature="nll")
            if value is None
            else metric("nll", value, 0, unit="nats")
        )
        metrics = {"nll": nll} | {k: metric(k, emd, 0) for k in ("emd", "sliced_wasserstein")}
        cell = cell_of(name, family, 0, likelihood="dequantized" if family == "flow" else None)
        cell["suite"] |= {"name": "8gaussians", "task": digest("points")}
        entries.append(Entry(record(record_id, cell, metrics=metrics, artifacts=artifacts), home))
    return TaskResults(body, entries)


def cell_of(
    name: str,
    family: str,
    seed: int,
    *,
    likelihood: str | None = None,
    provider: str = "genbench 0.1.0",
    params: Mapping[str, Any] | None = None,
    passed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `cell` of a record."""
    return {
        "suite": {
            "name": "mnist",
            "version": "1.0.0",
            "task": TASK,
            "hash": SUITE_HASH,
            "profile": "standard",
        },
        "generator": {
            "name": name,
            "version": "1",
            "provider": provider,
            "family": family,
            "params": dict(params or {}),
            "params_passed": dict(passed or {}),
            "likelihood": likelihood,
            "reference": "An author 2020, arXiv:2001.00001",
        },
        "seed": seed,
    }


def metric(name: str, value: float, seed: int, unit: str | None = None) -> MetricValue:
    """An ok value with an interval, moved a little by the seed."""
    info = METRICS[name]
    jitter = SPREAD.get(name, 0.01) * (((seed * 7919 + int(value * 1e6) + len(name)) % 11) / 5 - 1)
    value = value * (1 + jitter)
    error = abs(value) * SPREAD.get(name, 0.01) / 2 + 1e-6
    return MetricValue(
        "ok",
        value=value,
        interval=Interval(value - 2.093 * error, value + 2.093 * error, 0.95, "block-jackknife"),
        std_error=error,
        unit=unit or info.unit,
        higher_is_better=info.higher_is_better,
        signature=f"{name}/1;features=mnist-cnn@1:9f2c;n=10000;reference=test",
        n=10000,
        seconds=1.25,
        details={
            "by_class": {str(c): value * (1 + 0.2 * math.sin(c * (1 + value))) for c in range(10)}
        }
        if name == "fid_per_class"
        else {},
    )


def record(record_id: str, cell: Mapping[str, Any], **fields: Any) -> Record:
    """An ok record with the surroundings filled in."""
    values: dict[str, Any] = {
        "status": "ok",
        "dataset": {"name": "mnist", "files": [{"path": "train.gz", "sha256": "ab" * 32}]},
        "metrics": {},
        "timing": {
            "fit_s": 10.0,
            "fit_core_s": 9.0,
            "sample_s": 1.0,
            "sample_core_s": 0.9,
            "metrics_s": 9.0,
        },
        "examples_served": 300000,
        "resources": {"peak_rss_bytes": 912_000_000, "n_sampled": 10000, "threads": 1},
        "environment": {"python": "3.11.9", "torch": "2.9.0", "cpu": "8 cores", "threads": 1},
        "source": {"git": "c932688", "argv": ["genbench", "run", "--suite", "mnist"]},
        "attempt": {"n": 1, "resumed_from": None},
        "times": {"started": "2026-01-01T00:00:00Z"},
    }
    return Record(record_id=record_id, cell_key=digest([record_id]), cell=cell, **(values | fields))


def _entry(folder: Path, index: int, seed: int, failed: bool) -> Entry:
    name, family, likelihood, fit_s, parameters = _GENERATORS[index]
    record_id = f"01J{index:02d}SEED{seed:02d}" + "0" * 15
    home = folder / name / f"seed-{seed}" / record_id
    home.mkdir(parents=True)
    cell = cell_of(name, family, seed, likelihood=likelihood)
    if failed:
        return Entry(
            record(
                record_id,
                cell,
                status="failed",
                timing={"fit_s": 12.0},
                examples_served=20480,
                error={
                    "phase": "fit",
                    "type": "ContractError",
                    "message": "dna returned samples that hold NaN in 3 of 10000 rows",
                    "traceback": "Traceback (most recent call last):\n  ...\nContractError: NaN",
                    "log_tail": "step 160  loss 0.31\nstep 161  loss nan",
                },
            ),
            home,
        )
    log = home / "log.txt"
    log.write_text(f"fit {name} with seed {seed}\nstep 100  loss 0.4\ndone\n", "utf-8")
    artifacts = [_artifact(home, "log", log.name)]
    if family != "control" or name in ("gaussian", "heldout"):
        artifacts += grids(home, name, seed)
    return Entry(
        record(
            record_id,
            cell,
            metrics={key: _value(key, name, index, seed) for key in METRIC_IDS},
            curves=curves(family, seed),
            course=course(index, seed) if family != "control" else {},
            timing={
                "fit_s": 1.1 * fit_s * (1 + 0.02 * seed),
                "fit_core_s": fit_s * (1 + 0.02 * seed),
                "sample_s": 1.1 * _SAMPLE_S.get(name, 0.2),
                "sample_core_s": _SAMPLE_S.get(name, 0.2),
                "metrics_s": 11.0,
            },
            resources={
                "peak_rss_bytes": 700_000_000 + 50_000_000 * index,
                "parameters": parameters,
                "n_sampled": 10000,
            },
            artifacts=tuple(artifacts),
        ),
        home,
    )


def course(index: int, seed: int) -> dict[str, Any]:
    """States at the fractions of the budget; a seed of the first generator loses a class."""
    points = []
    for k, examples in enumerate((18750, 37500, 75000, 150000, 300000)):
        missed = [3] if (index, seed, k) == (5, 1, 2) else []
        points.append({"examples": examples, "fid": (6 + index) * (1 + 2.0 ** (3 - k)) + seed,
                       "recall": 0.7 - 0.1 * (4 - k) - 0.01 * seed, "missed": missed,
                       "classes_hit": 10 - len(missed)})  # fmt: skip
    floor = {"fid": 8.5, "recall": 0.72, "classes_hit": 10, "missed": []}
    return {"status": "ok", "rows": 2000, "reference": "test", "classes": 10, "floor": floor,
            "points": points}  # fmt: skip


def _value(key: str, name: str, index: int, seed: int) -> MetricValue:
    value = _VALUES[key][index]
    if value is None:
        return MetricValue(
            "not_applicable",
            reason=f"{name} has no likelihood",
            higher_is_better=METRICS[key].higher_is_better,
        )
    return metric(key, value, seed)


def curves(family: str, seed: int) -> dict[str, Any]:
    names: dict[str, Callable[[float], float]] = {
        "gan": lambda t: 0.9 + 0.4 * math.sin(9 * t + seed) * (1 - t),
        "vae": lambda t: 1.16 + 1.4 * math.exp(-8 * t),
        "flow": lambda t: 1.14 + 3.0 * math.exp(-9 * t),
        "denoising": lambda t: 0.11 + 0.5 * math.exp(-7 * t),
    }
    if family not in names:
        return {}
    examples = [1500 * (i + 1) for i in range(200)]
    losses = {"gan": ("discriminator", "generator"), "vae": ("elbo", "kl", "reconstruction")}
    return {
        loss: {
            "examples": examples,
            "value": [
                None if (i == 50 and family == "gan") else names[family](i / 200) * (1 + 0.3 * j)
                for i in range(200)
            ],
        }
        for j, loss in enumerate(losses.get(family, ("loss",)))
    }


def grids(home: Path, name: str, seed: int) -> list[Artifact]:
    noise = {"gan": 0.4, "vae": 2.0, "flow": 1.6, "dna": 1.2, "gaussian": 5.0}.get(name, 0.0)
    rng = np.random.default_rng([seed, len(name)])
    digits = _digits()
    rows = [rng.choice(np.flatnonzero(digits.target == c), 10) for c in range(10)]
    real = np.stack([digits.images[r] for r in rows])  # (10, 10, 8, 8)
    fake = np.clip(real + rng.normal(0, noise, real.shape), 0, 16)
    pairs = np.stack([fake[:, 0], real[:, 0]])
    return [
        _png(home, "grid", fake),
        _png(home, "real", np.stack([digits.images[np.sort(r)] for r in rows])),
        _png(home, "neighbours", pairs),
    ]


@cache
def _digits() -> Any:
    from sklearn.datasets import load_digits  # slow to import, and few tests need the pictures

    return load_digits()


def _png(home: Path, role: str, tiles: np.ndarray) -> Artifact:
    rows, columns, height, width = tiles.shape
    sheet = tiles.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    image = Image.fromarray(np.uint8(255 - sheet * 255 / 16))
    image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST).save(
        home / f"{role}.png"
    )
    return _artifact(home, role, f"{role}.png")


def _npz(home: Path, role: str, x: np.ndarray) -> Artifact:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x.astype(np.float32))
    (home / f"{role}.npz").write_bytes(buffer.getvalue())
    return _artifact(home, role, f"{role}.npz")


def _ring(rng: np.random.Generator, spread: float = 0.5) -> np.ndarray:
    angle = rng.integers(8, size=2000) * math.pi / 4
    centre = 4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return (centre + spread * rng.normal(size=(2000, 2))) / 1.414


def _artifact(home: Path, role: str, path: str) -> Artifact:
    data = (home / path).read_bytes()
    return Artifact(role, path, hashlib.sha256(data).hexdigest(), len(data))
