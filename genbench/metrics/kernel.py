"""Kernel distance (KID): unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench.metrics.checks import Rows, as_pair, require_at_least
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.kernel_sums import KernelSums, sums_of
from genbench.metrics.kernels import KernelChoice
from genbench.metrics.uncertainty import make_blocks


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """Mean and std over subsets, and what the std is not: a standard error.

    `mean` over the subsets is the value that is reported; `std` (ddof=0) tells how much KID of
    `subset_size` rows varies. `std_error` of the mean: jackknife of the U-statistic over blocks of
    generated rows and the Monte-Carlo error of the subsets; None with fewer than 40 generated rows.
    `u_statistic` is the unbiased estimate from all pairs, without subsets.
    """

    mean: float
    std: float
    std_error: float | None
    u_statistic: float


def kernel_distance(
    real: Any, fake: Any, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Squared maximum mean discrepancy with the kernel ``(x . y / d + 1)^3``, unbiased.

    ``mean_{i != j} k(r_i, r_j) + mean_{i != j} k(f_i, f_j) - 2 mean_{i, j} k(r_i, f_j)`` of each
    random subset, then mean and std over the subsets.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``, float32 or float64.
    subsets, subset_size
        Number of subsets and rows of each set in one, drawn without replacement.
    seed
        Of the draws (first from `fake`, then from `real`, as torch-fidelity's input 1 and 2).

    Returns
    -------
    KernelDistance
        `mean` is 0 in expectation for equal distributions and may be negative; lower is better.

    Raises
    ------
    MetricError
        If a set has fewer rows than `subset_size`, or an input is broken.

    Notes
    -----
    Unbiased at any n. All pairs are multiplied once, O(n^2 d); subsets are sums within that.
    Products in the input's dtype, sums over tiles in float64. Terms of the kernel that depend on
    one row alone cancel and are left out, so that means far from 0 cost no digits. Naive form:
    ``tests.oracles.kernel:kid``.

    References
    ----------
    Binkowski et al. 2018, Demystifying MMD GANs, arXiv:1801.01401.
    """
    require_at_least("subset_size", subset_size, 2)
    real, fake = as_pair(real, fake, at_least=subset_size)
    require_at_least("subsets", subsets, 1)
    choice = KernelChoice(subsets=subsets, subset_size=subset_size)
    sums = sums_of(real, fake, make_blocks(len(fake)), choice, seed)
    found, estimate = sums.result()
    return KernelDistance(found.value, found.std, estimate.std_error, found.u_statistic)


def measure_kernel(sums: KernelSums, inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The kernel distance of the sums of a pass that is over: the maker of ``kid``."""
    result, estimate = sums.result()

    def again(rows: Rows) -> float:
        return kernel_distance(inputs.pair[0], rows, seed=inputs.seed, **parameters).mean

    estimate = inputs.floored(estimate, again, low=-math.inf)
    details = {"subset_std": result.std, "u_statistic": result.u_statistic}
    return Measurement(estimate, details, parameters)
