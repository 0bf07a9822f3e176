"""Checks that every metric makes of its input: one typed error that names the input and the row.

Status of the errors: ``failed`` where the input is broken (NaN, wrong shape), ``undefined`` where
the number does not exist for it (too few rows), ``not_applicable`` where something is not at hand.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genbench.errors import MetricError

Rows: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.int64]
Float64s: TypeAlias = NDArray[np.float64]

_LARGEST = 1e70  # products of two covariances take the fourth power


def as_array(name: str, x: Any) -> NDArray[Any]:
    """A NumPy array of `x`: array, tensor on any device, or nested sequence. `name` is for errors.

    Half precision becomes float32 (tensors of bfloat16 have no NumPy form).
    """
    if hasattr(x, "detach"):  # a torch tensor, without importing torch
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":
            x = x.float()
        x = x.numpy()
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise _failed(f"{name} is ragged: give rows of equal length") from error
    if array.dtype.kind not in "biuf":
        raise _failed(f"{name} has dtype {array.dtype}: give real numbers")
    return array


def as_rows(name: str, x: Any, *, at_least: int = 1) -> Rows:
    """Finite rows ``(n, d)`` in float32, or float64 if they came so (or as wide integers).

    Raises
    ------
    MetricError
        If the rank is not 2, there are fewer than `at_least` rows or no columns, or a value is NaN
        or infinite (the message names the first such row).
    """
    array = as_array(name, x)
    if array.ndim != 2:
        raise _failed(f"{name} has shape {array.shape}: give rows of features, (n, d)")
    if array.shape[1] == 0:
        raise _failed(f"{name} has shape {array.shape}: it has no feature dimensions")
    require_rows(name, len(array), at_least)
    if array.dtype.kind != "f":
        return array.astype(np.float32 if array.dtype.itemsize <= 2 else np.float64)
    # Half precision, the other byte order and long doubles become what everything is made of.
    wide = array.dtype.itemsize > 4
    rows: Rows = array.astype(np.float64 if wide else np.float32, copy=False)
    require_finite(name, rows)
    return rows


def as_pair(real: Any, fake: Any, *, at_least: int = 1) -> tuple[Rows, Rows]:
    """`real` and `fake` as `as_rows` gives them, of equal dimension and common dtype."""
    real, fake = as_rows("real", real, at_least=at_least), as_rows("fake", fake, at_least=at_least)
    require_same_dimension("real", real, "fake", fake)
    dtype = np.result_type(real.dtype, fake.dtype)
    return real.astype(dtype, copy=False), fake.astype(dtype, copy=False)


def as_sets(**sets: tuple[Any, int]) -> tuple[Rows, ...]:
    """Sets of rows ``(n, d)`` of equal dimension, each given with the least rows that it needs."""
    rows = {name: as_rows(name, x, at_least=least) for name, (x, least) in sets.items()}
    (first, reference), *others = rows.items()
    for name, x in others:
        require_same_dimension(first, reference, name, x)
    return tuple(rows.values())


def as_values(name: str, x: Any, *, at_least: int = 1) -> Float64s:
    """Finite float64 values ``(n,)``, one per row."""
    array = as_array(name, x)
    if array.ndim != 1:
        raise _failed(f"{name} has shape {array.shape}: give one value per row, (n,)")
    require_rows(name, len(array), at_least)
    values = array.astype(np.float64)
    require_finite(name, values)
    return values


def as_labels(name: str, y: Any, *, n: int, classes: int | None = None) -> Labels:
    """Labels ``(n,)`` as int64 in ``0 .. classes - 1``."""
    array = as_array(name, y)
    if array.shape != (n,):
        raise _failed(f"{name} has shape {array.shape}: give one label per row, ({n},)")
    labels = array.astype(np.int64)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise _failed(f"{name} holds fractions or NaN: give whole numbers")
    outside = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(outside.argmax())
        expected = "0 or more" if classes is None else f"0..{classes - 1}"
        raise _failed(f"{name} is {labels[row]} in row {row}: expected {expected}")
    return labels


def as_probabilities(name: str, p: Any, *, at_least: int = 1) -> Float64s:
    """Class probabilities ``(n, classes)`` as float64; each row sums to 1 within 1e-3."""
    rows = as_rows(name, p, at_least=at_least).astype(np.float64)
    wrong = (rows.min(axis=1) < 0) | (np.abs(rows.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        row = int(wrong.argmax())
        raise _failed(
            f"{name} is no probability distribution in row {row} (sum {rows[row].sum():.4g}, "
            f"lowest {rows[row].min():.4g}): apply softmax to logits first"
        )
    return rows


def require_finite(name: str, rows: NDArray[Any]) -> None:
    """Raise with the first offending row if a value is NaN or infinite."""
    # One reduction on the fast path: a sum is finite unless something in it is not (or overflows).
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):
            return
    bad = ~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise _failed(
            f"{name} holds NaN or infinity in {int(bad.sum())} of {len(rows)} rows "
            f"(first: row {row}): drop or repair them before scoring"
        )


def require_rows(name: str, n: int, at_least: int) -> None:
    """Raise ``undefined`` if there are fewer than `at_least` rows."""
    if n < at_least:
        raise MetricError(f"{name} has {n} rows: at least {at_least} are needed")


def require_same_dimension(name_a: str, a: Rows, name_b: str, b: Rows) -> None:
    """Raise unless both have as many columns."""
    if a.shape[1] != b.shape[1]:
        raise _failed(
            f"{name_a} has {a.shape[1]} dimensions and {name_b} has {b.shape[1]}: "
            "compute both with the same extractor"
        )


def require_at_least(name: str, value: int, least: int) -> None:
    """Raise unless the parameter `name` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise _failed(f"{name} is {value!r}: give a whole number of at least {least}")


def require_moderate(rows: Rows) -> float:
    """The largest absolute value; raise where its powers would leave float64's range."""
    largest = max(abs(float(rows.min())), abs(float(rows.max())))
    if largest > _LARGEST:
        raise _failed(f"features reach {largest:.3g}: scale them below {_LARGEST:g}")
    return largest


def missing(name: str, needed_for: str) -> MetricError:
    """The ``not_applicable`` error for an input that was not given."""
    return MetricError(f"{needed_for} needs {name}: none given", status="not_applicable")


def _failed(message: str) -> MetricError:
    return MetricError(message, status="failed")
