"""Rows on a card stay there, but for what the CPU makes; the numbers are those of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from genbench.metrics.authentic import authenticity
from genbench.metrics.copying import data_copying
from genbench.metrics.inception import inception_estimate
from genbench.metrics.reference_copies import near_copies
from genbench.metrics.transport import earth_movers_distance, sliced_wasserstein_estimate
from genbench.metrics.two_sample import classifier_two_sample
from genbench.metrics.uncertainty import Estimate, make_blocks
from genbench.metrics.vendi import vendi_score
from tests.pretend_card import Carded, carded, pretended

N, WIDE = 300, 70  # more dimensions than C_T keeps
BLOCKS = make_blocks(N)
Rows = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(10, WIDE))
    real, fake, train = ((rng.normal(size=(n, 10)) @ mix).astype(np.float32) for n in (250, N, 400))
    fake[:60], fake[60:90] = train[:60], real[:30] + np.float32(1e-3)
    return {"real": real, "fake": fake, "train": train, "p": rng.dirichlet(np.ones(5), N)}


def sliced(r: Rows) -> Estimate:
    return sliced_wasserstein_estimate(r["real"], r["fake"], BLOCKS, 20, 2, seed=0)


METRICS: dict[str, Callable[[Rows], Any]] = {
    "sliced": sliced,
    "vendi": lambda r: vendi_score(r["fake"]),
    "classifier score": lambda r: inception_estimate(r["p"], BLOCKS)[1],
    "authenticity": lambda r: authenticity(r["train"], r["fake"]),
    "near copies": lambda r: near_copies(r["real"], r["train"], r["fake"], seed=0),
    "emd": lambda r: earth_movers_distance(r["real"], r["fake"]),
    "c2st": lambda r: classifier_two_sample(r["real"], r["fake"], seed=0),
    "c_t": lambda r: data_copying(r["train"], r["real"], r["fake"], seed=0),
}
# SciPy's assignment and scikit-learn's classifiers and k-means run on the CPU.
ON_CPU = ("emd", "c2st", "c_t")


def numbers(found: Any) -> list[float]:
    """All numbers of a result, in order."""
    if isinstance(found, int | float):
        return [float(found)]
    parts = found if isinstance(found, tuple) else [
        getattr(found, name) for name in getattr(found, "__dataclass_fields__", ())
    ]  # fmt: skip
    return [number for part in parts for number in numbers(part)]


@pytest.mark.parametrize("name", METRICS)
def test_it_is_what_it_is_on_the_host_and_rows_stay_where_they_are(
    name: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[torch.Size] = []

    def seen(x: torch.Tensor) -> torch.Tensor:
        moved.append(x.shape)
        return torch.Tensor.cpu(x)

    monkeypatch.setattr(Carded, "cpu", seen, raising=False)
    with threadpool_limits(1):
        expected = METRICS[name](rows)
        with pretended():
            found = METRICS[name]({key: carded(x) for key, x in rows.items()})
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-6)
    # Sums of 20 blocks in 10 splits come back, and numbers of rows; rows themselves do not.
    features = [shape for shape in moved if shape[1:] in ((WIDE,), (64,))]
    assert bool(features) == (name in ON_CPU)
