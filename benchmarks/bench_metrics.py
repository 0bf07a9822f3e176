"""Speed of `metrics.evaluate` side by side with torch-fidelity and prdc, same rows, same values.

    python -m benchmarks.bench_metrics --d 128 --n 10000
    python -m benchmarks.bench_metrics --d 24 --ties

Prints seconds, ratios, the largest relative difference of any value, and the extra memory each side
took at its peak. Every side runs once, in a process of its own, with all threads of the machine.
With `--ties`, the neighbour metrics alone, on rows whose distances tie or are small against their
extent, and how many times as long they take as on ordinary rows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]
TIMED = ("fid", "classifier_score", "kid", "precision", "recall", "density", "coverage")
TOLERANCE = 1e-3


def make_rows(n: int, d: int) -> dict[str, Any]:
    """Features with a decaying spectrum and a shared offset, as networks give; probabilities."""
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0].astype(np.float32)
    real = rng.normal(size=(n, d)).astype(np.float32) * scale @ rotation + 0.5
    fake = rng.normal(size=(n, d)).astype(np.float32) * scale * 0.97 @ rotation + 0.51
    logits = rng.normal(size=(n, 10)) * 3
    return {"real": real, "fake": fake, "logits": logits}


def hard_rows(kind: str, n: int, d: int) -> dict[str, Any]:
    """Two sets of which rounding to float32 would decide who is whose neighbour."""
    rng = np.random.default_rng(0)
    draws: dict[str, Callable[[], Any]] = {
        "ordinary": lambda: rng.normal(size=(n, d)),
        "yes or no": lambda: rng.integers(0, 2, (n, d)),
        "yes or no, a third": lambda: rng.integers(0, 2, (n, d)) / 3,
        "8 columns of yes or no, a third": lambda: rng.integers(0, 2, (n, 8)) / 3,
        "two groups at 1,000": lambda: (
            rng.normal(size=(n, d)) + np.eye(d)[0] * rng.choice([-1e3, 1e3], (n, 1))
        ),
        "half the rows 0": lambda: rng.normal(size=(n, d)) * rng.integers(0, 2, (n, 1)),
        "20 rows again and again": lambda: np.tile(rng.normal(size=(20, d)), (n // 20, 1)),
        "constant": lambda: np.full((n, d), 0.3),
    }
    if kind not in draws:
        raise ValueError(f"no rows {kind!r}: {', '.join(draws)}")
    return {name: draws[kind]().astype(np.float32) for name in ("real", "fake")}


HARD = (
    "ordinary", "yes or no", "yes or no, a third", "8 columns of yes or no, a third",
    "two groups at 1,000", "half the rows 0", "20 rows again and again", "constant",
)  # fmt: skip


def print_ties(n: int, d: int) -> None:
    """Seconds of precision, recall, density and coverage with intervals, and ratios."""
    ordinary = 0.0
    for kind in HARD:
        with tempfile.TemporaryDirectory() as folder:
            for name, array in hard_rows(kind, n, d).items():
                np.save(Path(folder) / f"{name}.npy", array)
            found = in_a_child("neighbours", folder)
        ordinary = ordinary or found["seconds"]
        ratio, memory = found["seconds"] / ordinary, found["extra_gib"]
        print(f"{kind:32s}{found['seconds']:8.2f} s {ratio:6.1f} times  +{memory:.2f} GiB")


def neighbours(rows: dict[str, Any]) -> Result:
    """Precision, recall, density and coverage."""
    from genbench.metrics.evaluation import evaluate

    found = evaluate(rows["real"], rows["fake"], TIMED[3:])
    return {name: value.value for name, value in found.items()}


def genbench(rows: dict[str, Any], intervals: bool) -> Result:
    """All seven values, and per-metric seconds."""
    from genbench.metrics.evaluation import evaluate

    p = np.exp(rows["logits"])
    p /= p.sum(axis=1, keepdims=True)
    found = evaluate(
        rows["real"], rows["fake"], TIMED, fake_probabilities=p, seed=2020, intervals=intervals
    )
    return {name: value.value for name, value in found.items()} | {
        "parts": {name: round(value.seconds or 0, 2) for name, value in found.items()}
    }


def torch_fidelity(rows: dict[str, Any]) -> Result:
    """FD, KID, P/R and IS by torch-fidelity's own functions on given features."""
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = (torch.from_numpy(rows[name]) for name in ("real", "fake"))
    parts: dict[str, float] = {}
    values: Result = {}

    def timed(name: str, make: Callable[[], Result]) -> None:
        start = time.perf_counter()
        values.update(make())
        parts[name] = round(time.perf_counter() - start, 2)

    timed(
        "fid",
        lambda: fid_statistics_to_metric(
            fid_features_to_statistics(fake), fid_features_to_statistics(real), False
        ),
    )
    timed("kid", lambda: kid_features_to_metric(fake, real, rng_seed=2020, verbose=False))
    timed("prc", lambda: prc_features_to_metric(fake, real, verbose=False))
    timed("isc", lambda: isc_features_to_metric(torch.from_numpy(rows["logits"]), rng_seed=2020))
    return {
        "fid": values["frechet_inception_distance"],
        "classifier_score": values["inception_score_mean"],
        "kid": values["kernel_inception_distance_mean"],
        "precision": values["precision"],
        "recall": values["recall"],
        "parts": parts,
    }


def prdc(rows: dict[str, Any]) -> Result:
    """Density and coverage by the prdc package."""
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(rows["real"], rows["fake"], nearest_k=5)
    return {"density": float(found["density"]), "coverage": float(found["coverage"])}


def fid_from_moments(rows: dict[str, Any]) -> Result:
    """Frechet distance of given moments, ours and torch-fidelity's."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    from genbench.metrics.moments import distance, moments

    real, fake = moments(rows["real"]), moments(rows["fake"])
    theirs = [{"mu": m.mean, "sigma": m.covariance} for m in (real, fake)]
    distance(real, fake)  # libraries loaded
    start = time.perf_counter()
    ours = distance(real, fake)
    between = time.perf_counter()
    other = fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"]
    end = time.perf_counter()
    return {"ours_s": between - start, "theirs_s": end - between, "relative": ours / other - 1}


SIDES: dict[str, Callable[[dict[str, Any]], Result]] = {
    "genbench": lambda rows: genbench(rows, intervals=False),
    "genbench with intervals": lambda rows: genbench(rows, intervals=True),
    "torch-fidelity": torch_fidelity,
    "prdc": prdc,
}
WARM_UP = 1001  # rows: KID's subset needs 1,000


def measure(side: str, folder: str) -> Result:
    """In a child process: warm up on a few rows (imports, threads), then time once."""
    run = {**SIDES, "neighbours": neighbours}.get(side, fid_from_moments)
    rows = {path.stem: np.load(path) for path in Path(folder).glob("*.npy")}
    small = {name: array[:WARM_UP, :16].copy() for name, array in rows.items()}
    run(small)
    before = peak_kib()
    start = time.perf_counter()
    found = run(rows)
    found["seconds"] = time.perf_counter() - start
    found["extra_gib"] = (peak_kib() - before) / 2**20
    return found


def peak_kib() -> int:
    """The most memory this process ever held; `getrusage` would count its parent's too."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1])


def in_a_child(side: str, folder: str) -> Result:
    """The measurement of one side, so that sides share neither memory nor warm caches."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, side, folder).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=128, help="Feature dimensions.")
    parser.add_argument("--n", type=int, default=10_000, help="Rows of each set.")
    parser.add_argument("--only-ours", action="store_true", help="Leave the peers out.")
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    parser.add_argument("--ties", action="store_true", help="Rows on which rounding decides.")
    options = parser.parse_args()
    if options.ties:
        print_ties(options.n, options.d)
        return
    sides = [side for side in SIDES if side.startswith("genbench") or not options.only_ours]
    with tempfile.TemporaryDirectory() as folder:
        for name, array in make_rows(options.n, options.d).items():
            np.save(Path(folder) / f"{name}.npy", array)
        found = {side: in_a_child(side, folder) for side in sides}
        if not options.only_ours:
            found["fid from moments"] = in_a_child("fid from moments", folder)
    if options.json:
        print(json.dumps(found))
        return
    print(f"n = {options.n}, d = {options.d}, float32, {os.cpu_count()} cores")
    for side in sides:
        one = found[side]
        print(f"{side:26s}{one['seconds']:8.2f} s  +{one['extra_gib']:.2f} GiB  {one.get('parts')}")
    if not options.only_ours:
        compare(found)


def compare(found: dict[str, Result]) -> None:
    """Ratios, and whether the values agree."""
    peers = found["torch-fidelity"]["seconds"] + found["prdc"]["seconds"]
    for side in ("genbench", "genbench with intervals"):
        print(f"{side}: {peers / found[side]['seconds']:.1f} times as fast as both peers together")
    moments = found["fid from moments"]
    ratio = moments["theirs_s"] / moments["ours_s"]
    print(
        f"FD from moments: {moments['ours_s']:.2f} s against {moments['theirs_s']:.2f} s: "
        f"{ratio:.1f} times (relative difference {moments['relative']:.1e})"
    )
    theirs = found["torch-fidelity"] | found["prdc"]
    for name in TIMED:
        ours = found["genbench"][name]
        relative = abs(ours - theirs[name]) / abs(theirs[name])
        verdict = "" if relative < TOLERANCE else "  DIFFERS"
        print(f"  {name:18s}{ours:12.6f}{theirs[name]:12.6f}{relative:10.1e}{verdict}")


if __name__ == "__main__":
    main()
