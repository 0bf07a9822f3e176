"""Same seed, same machine: the same bytes, whatever is computed, on one core or on all."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from genbench.metrics.table import METRICS
from genbench.results.store import Store
from genbench.running.cells import PARTS, expected
from genbench.tasks.suite import load_suite, shipped
from tests.conftest import Command

# What each suite must give a number of; digits has too few rows for FID at infinitely many.
DIGITS = load_suite("digits", "smoke")
ASKED = {name for part in PARTS for name in expected(DIGITS, part)}
NUMBERS = {
    "digits": {n for n in ASKED & set(METRICS) if not n.startswith("pixel_")} - {"fid_infinity"},
    "8gaussians": {"fid_infinity", "emd", "nll"},
}


def cells(root: Path) -> dict[str, tuple[str, bytes, set[str]]]:
    """By generator: result digest, the samples' bytes, ids of the metrics that have a number."""
    found = {}
    for folder in Store(root).task_folders():
        for stored in Store(root).records(folder):
            with np.load(stored.folder / "samples.npz", allow_pickle=False) as file:
                samples = b"".join(file[name].tobytes() for name in sorted(file.files))
            record = stored.record
            numbers = {name for name, m in record.metrics.items() if m.status == "ok"}
            found[record.generator] = (record.to_json()["result_digest"], samples, numbers)
    return found


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("suite", sorted(NUMBERS))
def test_every_baseline_and_metric_repeats_to_the_last_bit(
    run_genbench: Command, tmp_path: Path, suite: str
) -> None:
    # Every part and schedule of a fit, which go by shares of the budget, in fewer steps of it.
    text, file = shipped()[suite].read_text(), tmp_path / f"{suite}.toml"
    few = re.sub(r"(profiles.smoke.budget]\nexamples =) \d+", r"\1 2000", text)
    assert few != text
    file.write_text(few)
    words = ["run", "--suite", file, "--profile", "smoke", "--no-report"]
    if suite != "digits":  # its controls are those of digits, and so is what a classifier is taught
        words += ["--no-controls", "--skip", "downstream"]
    for folder, jobs, threads in (("one", 1, "1"), ("two", 3, "4")):
        env = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = run_genbench(*words, "-j", jobs, "--results", folder, timeout=1200, env=env)
        assert done.code == 0, done.err
    one, two = cells(tmp_path / "one"), cells(tmp_path / "two")
    asked = {"gan", "vae", "flow", "dna"}
    assert asked | ({"heldout", "noise"} if suite == "digits" else set()) <= set(one)
    assert one == two
    numbers = set().union(*(ids for _, _, ids in one.values()))
    assert NUMBERS[suite] <= numbers
