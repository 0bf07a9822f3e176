"""A whole shelf, made up: thirteen generators and five controls in twenty-five columns."""

from __future__ import annotations

from pathlib import Path

from genbench.metrics.table import METRICS, plain_name
from genbench.metrics.values import Interval, MetricValue
from genbench.results.entries import Entry, TaskResults
from tests import report_fixtures as fixtures

ELSEWHERE = "edge-energy"  # a metric of another package
METRIC_IDS = (
    *(
        name
        for name, info in METRICS.items()
        if "image" in info.kinds and not info.on_pixels and info.group != "inside"
    ),
    "fid@inception-v3-compat", ELSEWHERE,
)  # fmt: skip

# Name, family, kind of likelihood, share of the way from noise to real data, core seconds of a fit.
GENERATORS: tuple[tuple[str, str, str | None, float, float], ...] = (
    ("gan", "gan", None, 0.97, 181.0), ("vae", "vae", "lower-bound", 0.84, 204.0),
    ("flow", "flow", "dequantized", 0.88, 261.0), ("dna", "denoising", None, 0.91, 170.0),
    ("dcgan", "gan", None, 0.83, 147.0), ("wgan-gp", "gan", None, 0.62, 320.0),
    ("autoencoder", "autoencoder", None, 0.7, 96.0),
    ("vqvae", "vae", "lower-bound", 0.78, 244.0),
    ("pixelcnn", "autoregressive", "exact", 0.86, 590.0),
    ("realnvp", "flow", "dequantized", 0.55, 570.0), ("ddpm", "diffusion", None, 0.93, 402.0),
    ("flow-matching", "diffusion", None, 0.9, 335.0),
    ("kde", "kernel density", "exact", 0.8, 3.2),
)  # fmt: skip
CONTROLS = (("heldout", 1.0), ("train-copy", 1.0), ("gaussian", 0.6), ("noise", 0.0),
            ("mode-dropped", 0.8))  # fmt: skip
# The metrics that real data does not lead, with real data's value and noise's; others run 1 to 0.
_ENDS = {
    "fid": (3.2, 3864.0), "fid_infinity": (2.1, 3850.0), "fid_per_class": (14.1, 4011.0),
    "fid@inception-v3-compat": (1.1, 412.0), "kid": (0.0002, 6.8), "emd": (9.1, 61.0),
    "sliced_wasserstein": (0.09, 7.7), "classifier_score": (9.76, 1.0), "vendi": (14.2, 1.1),
    "nll": (1.0, 8.0), "nll_tight": (0.98, 8.0), "c2st": (0.5, 1.0), "c_t": (0.4, 90.0),
    "augmentation_gain": (3.1, -12.0), ELSEWHERE: (0.01, 2.0),
}  # fmt: skip


def shelf_task(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> TaskResults:
    """The shelf at some seeds; wgan-gp lacks the last of several."""
    planned = [(*row, seed) for row in GENERATORS for seed in seeds
               if len(seeds) == 1 or (row[0], seed) != ("wgan-gp", seeds[-1])]  # fmt: skip
    entries = [_entry(folder, *cell) for cell in planned]
    entries += [_entry(folder, name, "control", None, share, 0.1, seeds[0])
                for name, share in CONTROLS]  # fmt: skip
    body = fixtures.suite(metrics=[{"id": name} for name in METRIC_IDS])
    return TaskResults(body, entries)


def _entry(
    folder: Path, name: str, family: str, likelihood: str | None, share: float, fit_s: float,
    seed: int,
) -> Entry:  # fmt: skip
    home = folder / name / str(seed)
    home.mkdir(parents=True)
    cell = fixtures.cell_of(
        name, family, seed, likelihood=likelihood, params={"lr": 1e-3, "width": 16}
    )
    cell["generator"] |= {"summary": f"Samples by {name}, as {family} models do.",
                          "labels": "given"}  # fmt: skip
    return Entry(
        fixtures.record(
            f"01{name}{seed}",
            cell,
            metrics={key: _value(key, name, likelihood, share, seed) for key in METRIC_IDS},
            curves=fixtures.curves("vae", seed) if likelihood else {},
            timing={"fit_s": 1.6 * fit_s, "fit_core_s": fit_s, "sample_s": 2.0,
                    "sample_core_s": 20 * (1.1 - share)},
            resources={"peak_rss_bytes": int(4e8 + fit_s * 1e6), "n_sampled": 10000,
                       "parameters": 0 if family == "control" else int(fit_s * 3000)},
            artifacts=tuple(fixtures.grids(home, name, seed)),
        ),
        home,
    )  # fmt: skip


def _value(key: str, name: str, likelihood: str | None, share: float, seed: int) -> MetricValue:
    base = plain_name(key)
    info = METRICS.get(base)
    if info is not None and info.source == "likelihood" and likelihood is None:
        return MetricValue("not_applicable", reason=f"{name} has no likelihood")
    best, worst = _ENDS.get(key, (0.97, 0.0))
    wobble = 0.02 * ((seed * 7919 + len(name) * 31 + len(key)) % 11 / 5 - 1)
    value = (best + (worst - best) * (1 - share) ** 3) * (1 + wobble)
    error = abs(value) * 0.006
    return MetricValue(
        "ok",
        value=value,
        interval=Interval(value - 2 * error, value + 2 * error, 0.95, "block-jackknife"),
        std_error=error,
        unit=None if info is None else info.unit,
        higher_is_better=False if info is None else info.higher_is_better,
        signature=f"{key}/1;features=mnist-cnn@1:9f2c;n=10000;reference=test",
        n=10000,
    )
