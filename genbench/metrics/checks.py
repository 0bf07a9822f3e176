"""Checks that every metric makes of its input: one typed error that names the input and the row.

Status of the errors: ``failed`` where the input is broken (NaN, wrong shape), ``undefined`` where
the number does not exist for it (too few rows), ``not_applicable`` where something is not at hand.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.arrays import Array, in_float64, namespace, on_host, to_host, together

Rows: TypeAlias = Array
"""Features ``(n, d)``, float32 or float64, of either library."""
Float64s: TypeAlias = Array
"""Numbers in float64, of either library."""
Labels: TypeAlias = NDArray[np.int64]
"""One label per row, on the host: it only chooses rows."""

_LARGEST = 1e70  # products of two covariances take the fourth power


def as_array(name: str, x: Any) -> Array:
    """An array of `x`: array, tensor or nested sequence. `name` is for errors.

    Tensors stay where they are, but for those in the host's memory, which become NumPy arrays.
    Half precision becomes float32 (tensors of bfloat16 have no NumPy form).
    """
    if not on_host(x):
        x = x.detach()
        xp = namespace(x)
        if x.dtype in (xp.bfloat16, xp.float16):
            x = x.float()
        if x.device.type != "cpu":
            if x.dtype.is_complex:
                raise _failed(f"{name} has dtype {x.dtype}: give real numbers")
            return x
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
    shape = tuple(array.shape)
    if len(shape) != 2:
        raise _failed(f"{name} has shape {shape}: give rows of features, (n, d)")
    if shape[1] == 0:
        raise _failed(f"{name} has shape {shape}: it has no feature dimensions")
    require_rows(name, len(array), at_least)
    xp, bytes_ = namespace(array), array.dtype.itemsize
    if not xp.isdtype(array.dtype, "real floating"):
        return xp.astype(array, xp.float32 if bytes_ <= 2 else xp.float64)
    # Half precision, the other byte order and long doubles become what everything is made of.
    rows = xp.astype(array, xp.float64 if bytes_ > 4 else xp.float32, copy=False)
    require_finite(name, rows)
    return rows


def as_pair(real: Any, fake: Any, *, at_least: int = 1) -> tuple[Rows, Rows]:
    """`real` and `fake` as `as_sets` gives them, of common dtype."""
    real, fake = as_sets(real=(real, at_least), fake=(fake, at_least))
    xp = namespace(real)
    dtype = xp.result_type(real.dtype, fake.dtype)
    return xp.astype(real, dtype, copy=False), xp.astype(fake, dtype, copy=False)


def as_sets(**sets: tuple[Any, int]) -> tuple[Rows, ...]:
    """Sets of rows ``(n, d)`` of equal dimension, each given with the least rows that it needs.

    Where one is on a device, all go there.
    """
    rows = {name: as_rows(name, x, at_least=least) for name, (x, least) in sets.items()}
    (first, reference), *others = rows.items()
    for name, x in others:
        require_same_dimension(first, reference, name, x)
    return together(*rows.values())


def as_values(name: str, x: Any, *, at_least: int = 1) -> NDArray[np.float64]:
    """Finite float64 values ``(n,)``, one per row, on the host."""
    array = to_host(as_array(name, x))
    if array.ndim != 1:
        raise _failed(f"{name} has shape {array.shape}: give one value per row, (n,)")
    require_rows(name, len(array), at_least)
    values = array.astype(np.float64)
    require_finite(name, values)
    return values


def as_labels(name: str, y: Any, *, n: int, classes: int | None = None) -> Labels:
    """Labels ``(n,)`` as int64 in ``0 .. classes - 1``, on the host."""
    array = to_host(as_array(name, y))
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
    rows = in_float64(as_rows(name, p, at_least=at_least))
    lowest, sums = to_host(namespace(rows).min(rows, axis=1)), to_host(rows.sum(axis=1))
    wrong = (lowest < 0) | (np.abs(sums - 1) > 1e-3)
    if wrong.any():
        row = int(wrong.argmax())
        raise _failed(
            f"{name} is no probability distribution in row {row} (sum {sums[row]:.4g}, "
            f"lowest {lowest[row]:.4g}): apply softmax to logits first"
        )
    return rows


def require_finite(name: str, rows: Array) -> None:
    """Raise with the first offending row if a value is NaN or infinite."""
    # One reduction on the fast path: a sum is finite unless something in it is not (or overflows).
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(rows.sum()):
            return
    xp = namespace(rows)
    bad = to_host(~xp.isfinite(rows.reshape(len(rows), -1)).all(axis=1))
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
    xp = namespace(rows)
    largest = max(abs(float(xp.min(rows))), abs(float(xp.max(rows))))
    if largest > _LARGEST:
        raise _failed(f"features reach {largest:.3g}: scale them below {_LARGEST:g}")
    return largest


def missing(name: str, needed_for: str) -> MetricError:
    """The ``not_applicable`` error for an input that was not given."""
    return MetricError(f"{needed_for} needs {name}: none given", status="not_applicable")


def _failed(message: str) -> MetricError:
    return MetricError(message, status="failed")
