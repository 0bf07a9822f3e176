"""Marks from end to end: samples that are reference rows, and training that nobody counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genbench.data.loading import load_split
from genbench.tasks.suite import load_suite
from tests.conftest import PLUGINS, TINY, Command
from tests.test_run import records

PLUGIN = '''
"""Learns from the raw rows, is served nothing."""
from dataclasses import dataclass

import torch
from genbench.generator import GeneratorSpec


@dataclass(frozen=True)
class Params:
    """None."""


class Raw:
    spec = GeneratorSpec("raw", "1", "test", ("points",), "none", None, Params)

    def __init__(self, params, space, device):
        self.mean = torch.zeros(2)

    def fit(self, train, run):
        self.mean = train.x.mean(0)

    def sample(self, n, *, seed, labels=None):
        rng = torch.Generator().manual_seed(seed)
        return self.mean + torch.randn(n, 2, generator=rng)

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


class Frozen(Raw):
    """The same with weights that were there before, and stay."""

    spec = GeneratorSpec("frozen", "1", "test", ("points",), "none", None, Params)

    def fit(self, train, run):
        pass
'''


@pytest.mark.slow
def test_samples_that_are_reference_rows_are_marked(run_genbench: Command, tmp_path: Path) -> None:
    tiny = load_suite(str(TINY))
    test, train = (load_split(tiny.dataset, tiny.space, s).x for s in ("test", "train"))
    np.savez(tmp_path / "mixed.npz", x=np.concatenate([test[:20], train[20 : tiny.n_samples]]))
    fair = train[: tiny.n_samples] + np.float32(0.3)
    np.savez(tmp_path / "fair.npz", x=fair)
    np.savez(tmp_path / "sly.npz", x=np.concatenate([train[:30], fair[30:]]))
    for name in ("mixed", "sly", "fair"):
        done = run_genbench("score", f"{name}.npz", "--suite", TINY, "--no-report")
        assert done.code == 0, done.err
    assert "fair (scored)" in done.out
    assert "copies reference rows (mixed): rows among its samples are test" in done.out
    found = records(tmp_path / "results")
    assert found["mixed", 0].copies["test"]["exact"] == {"rows": 20, "marked": True}
    (told,) = [line for line in done.out.splitlines() if line.startswith("copies training rows (")]
    assert "mixed" in told
    assert "sly" in told
    assert "fair" not in told
    assert found["sly", 0].copies["train"]["exact"] == {"rows": 30, "marked": True}
    assert found["fair", 0].copies["train"]["exact"] == {"rows": 0, "marked": False}
    assert found["mixed", 0].copies["valid"]["exact"] == {"rows": 0, "marked": False}
    assert found["heldout", 0].copies == {}, "controls are exempt"


@pytest.mark.slow
def test_training_that_nobody_counted_is_marked(run_genbench: Command, tmp_path: Path) -> None:
    (tmp_path / "raw.py").write_text(PLUGIN)
    done = run_genbench(
        "run", "--suite", TINY, "--plugin", "raw.py:Raw", "--plugin", "raw.py:Frozen",
        "--plugin", PLUGINS / "normal.py", "--no-controls", "--no-report", "--seeds", "0",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "raw (trained on raw rows)" in done.out
    assert "frozen (" not in done.out
    found = records(tmp_path / "results")
    changed = {name: r.resources["weights_changed"] for (name, _), r in found.items()}
    assert changed == {"raw": True, "frozen": False, "normal": True}
    assert done.err.splitlines()[-1].startswith("next:    genbench run ")
    assert " --seeds 0,1,2 " in done.err.splitlines()[-1]
    assert "(one seed gives an order, three give ranks: " in done.err.splitlines()[-1]
