"""Same seed, same machine, same thread count: the same bytes, whatever is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genbench.metrics.table import METRICS
from genbench.store import Store
from tests.conftest import Command

# Metrics that no shipped suite of this size asks for: other features, or an experiment of its own.
ELSEWHERE = {"trts_accuracy", "augmentation_gain", "robust_accuracy"}


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
def test_every_baseline_and_metric_repeats_to_the_last_bit(
    run_genbench: Command, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        words = (
            "run",
            "--suite",
            "digits",
            "--profile",
            "smoke",
            "--no-report",
            "--results",
            folder,
        )
        done = run_genbench(*words, timeout=1200)
        assert done.code == 0, done.err
    one, two = cells(tmp_path / "one"), cells(tmp_path / "two")
    assert {"gan", "vae", "flow", "dna", "heldout", "gaussian"} <= set(one)
    assert one == two
    numbers = set().union(*(ids for _, _, ids in one.values()))
    plain = {name for name in METRICS if not name.startswith("pixel_")}
    assert plain - ELSEWHERE <= numbers
