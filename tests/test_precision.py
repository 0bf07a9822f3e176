"""Points in float32: a column whose spread would be rounding is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from genbench.errors import DataError
from genbench.formats.precision import as_float32, lost_at

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=2000)


@pytest.mark.parametrize(
    "column",
    [
        1.7e9 + 1000 * NORMAL,  # seconds of an hour
        1.7e9 + 86_400 * RNG.uniform(size=2000),
        52.123456 + 1e-6 * NORMAL,  # one street
        np.where(RNG.random(2000) < 0.5, 1e6, -1e6) + 1e-3 * NORMAL,  # two far groups
        1e-50 * NORMAL,
        np.array([5.0, 1e300] * 1000),
        (1.7e9 + 1000 * NORMAL).astype(np.float32),  # lost before it came here
    ],
)
def test_a_column_that_float32_loses_is_named(column: np.ndarray) -> None:
    x = np.stack([NORMAL.astype(column.dtype), column], axis=1)
    with pytest.raises(DataError, match=r"t.csv, column 'when': .* Subtract .* or leave it out"):
        as_float32(x, "t.csv", ("a", "when"))
    with pytest.raises(DataError, match=r"t\.npz, column 2: "):
        as_float32(x, "t.npz")


@pytest.mark.parametrize(
    "column",
    [
        NORMAL,
        1e6 * NORMAL,
        1000 + NORMAL,
        np.full(2000, 1.7e9 + 1),  # no spread to lose
        np.arange(2000.0) + 1e7,  # whole numbers that float32 holds
        RNG.integers(0, 5, 2000).astype(float),
        1e-30 * NORMAL,
        52 + RNG.uniform(size=2000).round(9),  # a country, given to 0.1 mm
    ],
)
def test_other_columns_pass(column: np.ndarray) -> None:
    for given in (column, column.astype(np.float32)):
        assert_array_equal(as_float32(given[:, None], "t"), column.astype(np.float32)[:, None])


def test_samples_are_held_against_the_real_rows_spread() -> None:
    collapsed = (7 + 1e-9 * NORMAL)[:, None]
    assert lost_at(collapsed, [1.0], "s.npz") is None, "a collapsed model is no lost column"
    problem = lost_at((1.7e9 + 5 * NORMAL)[:, None], [1.0], "s.npz", ("when",))
    assert problem is not None
    assert "s.npz, column 'when': float32 rounds it by " in problem
