"""Arrays of either library: NumPy on the host, torch tensors where they are.

A formula is written once, over the `namespace` of its arrays (the Python array API standard, by
array-api-compat). What the standard lacks, or what a library does faster in a way of its own, is
here. NumPy arrays see NumPy's own operations; torch is imported only once a tensor comes in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import array_api_compat
import array_api_compat.numpy as numpy_namespace
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from genbench.system import plain_float32

Array: TypeAlias = Any
"""A NumPy array, or a torch tensor that stays on its device. Its annotation says the rest."""


def on_host(x: Array) -> bool:
    """True for NumPy arrays and scalars, False for tensors."""
    return isinstance(x, np.ndarray) or not array_api_compat.is_torch_array(x)


def namespace(x: Array) -> Any:
    """The functions of the array API for arrays like `x`."""
    # Asked thousands of times for small matrices: the short answer for the usual arrays.
    return numpy_namespace if type(x) is np.ndarray else array_api_compat.array_namespace(x)


def to_host(x: Array) -> NDArray[Any]:
    """A NumPy array of `x`, without a copy where it is one."""
    return np.asarray(x if on_host(x) else x.detach().cpu().numpy())


def like(x: Array, values: Array) -> Array:
    """`values` in their own dtype beside `x`: of its library, on its device."""
    if on_host(x):
        return to_host(values)
    if on_host(values) and not np.asarray(values).flags.writeable:
        values = np.array(values)  # torch warns of tensors that share memory nobody may write to
    return namespace(x).asarray(values, device=x.device)


def together(*arrays: Array) -> tuple[Array, ...]:
    """All where the first tensor among them is, or on the host if there is none."""
    there = next((x for x in arrays if not on_host(x)), arrays[0])
    return tuple(like(there, x) for x in arrays)


def empty(x: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Room of this shape where `x` is."""
    return namespace(x).empty(shape, dtype=dtype, device=array_api_compat.device(x))


def full(x: Array, shape: tuple[int, ...], value: float, dtype: Any) -> Array:
    """An array of one value where `x` is."""
    return namespace(x).full(shape, value, dtype=dtype, device=array_api_compat.device(x))


def arange(x: Array, start: int, stop: int) -> Array:
    """The int64 numbers ``start .. stop - 1`` where `x` is."""
    return namespace(x).arange(
        start, stop, dtype=namespace(x).int64, device=array_api_compat.device(x)
    )


def in_float64(x: Array) -> Array:
    """A copy in float64."""
    return namespace(x).astype(x, namespace(x).float64)


def copied(x: Array) -> Array:
    """A copy that may be changed."""
    return namespace(x).asarray(x, copy=True)


def at_once(x: Array, host: int, device: int) -> int:
    """How much to take at a time: what fits a core's cache, or what keeps a device busy."""
    return host if on_host(x) else device


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b`` in the dtype's full precision, whatever torch was told about TF32 or autocast."""
    if on_host(a):
        return np.matmul(a, b, out=out)
    with plain_float32(a.device):
        return namespace(a).matmul(a, b, out=out)


def row_squares(x: Array) -> Array:
    """``|x|^2`` of each row ``(n, d)``."""
    return np.einsum("ij,ij->i", x, x) if on_host(x) else (x * x).sum(axis=1)


def squares_in_order(x: Array, y: Array) -> Array:
    """``|x_i - y_j|^2`` ``(n, m)`` of float64 rows, added from the first column to the last."""
    if on_host(x):
        return cdist(x, y, "sqeuclidean")
    total = full(x, (len(x), len(y)), 0.0, x.dtype)
    for a, b in zip(x.T, y.T, strict=True):
        gap = a[:, None] - b
        gap *= gap
        total += gap
    return total


def sums_in_order(terms: Array) -> Array:
    """The sum of each row ``(n, d)``, from its first column to its last."""
    if not on_host(terms):
        total = full(terms, (len(terms),), 0.0, terms.dtype)
        for column in terms.T.contiguous():
            total += column
        return total
    if len(terms) == 1:
        return np.add.accumulate(terms[0])[-1:]
    # Turned, numpy adds whole columns one after the other; along a row it would add by halves.
    return np.add.reduce(np.ascontiguousarray(terms.T), axis=0)


def largest(x: Array, k: int) -> Array:
    """Columns of the `k` largest of each row ``(n, m)``, in no order, int64 ``(n, k)``."""
    if on_host(x):
        return np.argpartition(x, x.shape[1] - k, axis=1)[:, -k:]
    return x.topk(k, dim=1, sorted=False).indices


def smallest(x: Array, k: int) -> Array:
    """Columns of the `k` smallest of each row ``(n, m)``, in no order, int64 ``(n, k)``."""
    if on_host(x):
        return np.argpartition(x, k - 1, axis=1)[:, :k]
    return x.topk(k, dim=1, largest=False, sorted=False).indices


def kth_smallest(x: Array, k: int) -> Array:
    """The k-th smallest value of each row ``(n, m)``, ``(n,)``."""
    if on_host(x):
        return np.partition(x, k - 1, axis=1)[:, k - 1]
    return x.topk(k, dim=1, largest=False).values[:, -1]


def sort_order(x: Array) -> Array:
    """The stable order of each row ``(n, m)``."""
    return np.argsort(x, axis=1, kind="stable") if on_host(x) else x.argsort(dim=1, stable=True)


def order_by(*keys: Array) -> Array:
    """The order by the first key, where that is equal by the second, and so on, ``(n,)``."""
    if on_host(keys[0]):
        return np.lexsort(keys[::-1])
    order = keys[-1].argsort(stable=True)
    for key in keys[-2::-1]:
        order = order[key[order].argsort(stable=True)]
    return order


def count(mask: Array) -> int:
    """How many of a mask are true."""
    return int(np.count_nonzero(mask) if on_host(mask) else mask.count_nonzero())


def places(mask: Array) -> Array:
    """Indices of the true ones of a mask, counted row by row, ascending."""
    if on_host(mask):
        return np.flatnonzero(mask)
    return mask.reshape(-1).nonzero(as_tuple=True)[0]


def first_true(mask: Array) -> Array:
    """The column of the first true of each row ``(n, m)``, 0 where there is none."""
    return (mask if on_host(mask) else mask.byte()).argmax(axis=1)


def starts(x: Array) -> Array:
    """The places of ordered `x` ``(n,)`` where another value begins, the first included."""
    new = full(x, (len(x),), True, namespace(x).bool)
    new[1:] = x[1:] != x[:-1]
    return places(new)


def count_at(counts: Array, index: Array) -> None:
    """Add 1 to `counts` for each time that its place is in `index`."""
    if on_host(counts):
        np.add.at(counts, index, 1)
    else:
        counts.index_add_(0, index, namespace(index).ones_like(index))


def diagonal(x: Array) -> Array:
    """The diagonal of a square, contiguous matrix, as a view."""
    return x.reshape(-1)[:: x.shape[1] + 1]


def columns_of(index: Array, width: int) -> tuple[Array, Array]:
    """Row and column of places in a matrix of `width` columns, counted row by row."""
    return np.divmod(index, width) if on_host(index) else (index // width, index % width)


def concat(parts: Sequence[Array], axis: int = 0) -> Array:
    """One array of several."""
    return namespace(parts[0]).concat(parts, axis=axis)


def is_single(dtype: Any) -> bool:
    """True for float32 of either library, False for float64."""
    return "float32" in str(dtype)


def size(x: Array) -> int:
    """The number of elements."""
    return math.prod(x.shape)
