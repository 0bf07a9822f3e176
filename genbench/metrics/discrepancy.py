"""Maximum mean discrepancy with any of several kernels: KID, CMMD and KAD are settings of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genbench.metrics.checks import Rows, as_pair
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.kernel_sums import KernelSums, sums_of
from genbench.metrics.kernels import MEDIAN, MEDIAN_ROWS, POLYNOMIAL, KernelChoice
from genbench.metrics.uncertainty import Estimate, make_blocks


@dataclass(frozen=True, slots=True)
class MeanDiscrepancy:
    """The value, its standard error, and the bandwidth that was used.

    `std_error`: jackknife over blocks of generated rows, None with fewer than 40; `bandwidth` is
    None for a polynomial kernel.
    """

    value: float
    std_error: float | None
    bandwidth: float | None


def maximum_mean_discrepancy(
    real: Any,
    fake: Any,
    *,
    kernel: str = "rbf",
    bandwidth: float | str = MEDIAN,
    biased: bool = False,
    unit_length: bool = False,
    scale: float = 1.0,
    subsets: int = 0,
    subset_size: int = 1000,
    seed: int = 0,
) -> MeanDiscrepancy:
    """Squared maximum mean discrepancy, times `scale`.

    ``mean_{i != j} k(r_i, r_j) + mean_{i != j} k(f_i, f_j) - 2 mean_{i, j} k(r_i, f_j)``; biased:
    the first two means are over all i and j.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``, float32 or float64, two rows each at least.
    kernel
        With the distance r of two rows and the bandwidth s: ``rbf`` ``exp(-r^2 / 2 s^2)``, ``imq``
        ``(1 + r^2 / 2 s^2)^-1/2``, ``laplacian`` ``exp(-r / s)``; or ``polynomial``
        ``(x . y / d + 1)^3``.
    bandwidth
        s in the features' unit, or ``median``: the median distance of pairs of real rows (of 2,000
        of them, drawn by a seed of their own, where there are more).
    biased
        Whether to pair each row with itself too.
    unit_length
        Whether to divide each row by its length first.
    scale
        A factor of the value.
    subsets, subset_size
        With `subsets` the mean over so many random subsets of each set, of `subset_size` rows.
    seed
        Of the subsets.

    Returns
    -------
    MeanDiscrepancy
        Lower is better. Unbiased it is 0 in expectation for equal distributions and may be
        negative; biased it is at least 0.

    Raises
    ------
    MetricError
        If an input is broken, a parameter is out of range, or half of the real distances are 0.

    Notes
    -----
    Biased up by about ``(1 - mean k) (1/n_real + 1/n_fake)`` where `biased`, else unbiased.
    O(n^2 d) in the input's dtype, sums in float64; of a kernel of distances less 1, which cancels,
    so that wide bandwidths cost few digits. Naive form: ``tests.oracles.kernel:mmd``.

    KID: ``kernel="polynomial", subsets=100``. CMMD, of CLIP embeddings: ``bandwidth=10,
    biased=True, unit_length=True, scale=1000``. KAD, of embeddings of sounds: ``scale=100``.

    References
    ----------
    Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13. Binkowski et al. 2018, arXiv:1801.01401
    (KID). Jayasumana et al. 2024, Rethinking FID, arXiv:2401.09603 (CMMD, whose code is of the
    biased form). Chung et al. 2025, KAD: No More FAD, arXiv:2502.15602.
    """
    real, fake = as_pair(real, fake, at_least=2)
    given = KernelChoice(kernel, bandwidth, biased, unit_length, scale, subsets, subset_size)
    choice = given.checked(len(real), len(fake))
    sums = sums_of(real, fake, make_blocks(len(fake)), choice, seed)
    estimate = _scaled(sums.result()[1], choice.scale)
    return MeanDiscrepancy(estimate.value, estimate.std_error, sums.bandwidth)


def measure_discrepancy(
    sums: KernelSums, inputs: Inputs, parameters: Mapping[str, Any]
) -> Measurement:
    """`maximum_mean_discrepancy` of the sums of a pass that is over: the maker of ``mmd``."""
    choice, (result, estimate) = KernelChoice(**parameters), sums.result()
    details: dict[str, Any] = {}
    used = dict(parameters)
    if choice.subsets:
        details["subset_std"] = result.std * choice.scale
    else:
        used["subset_size"] = None
    if choice.kernel == POLYNOMIAL:
        used |= {"bandwidth": None, "degree": 3}
    else:
        details["bandwidth"] = sums.bandwidth
    if sums.bandwidth is not None and choice.bandwidth == MEDIAN:
        used["bandwidth"] = f"median({min(inputs.n_real, MEDIAN_ROWS)})"
        parameters = {**parameters, "bandwidth": sums.bandwidth}

    def again(rows: Rows) -> float:
        real = inputs.pair[0]
        return maximum_mean_discrepancy(real, rows, seed=inputs.seed, **parameters).value

    low = 0.0 if choice.biased else -math.inf
    estimate = inputs.floored(_scaled(estimate, choice.scale), again, low=low)
    return Measurement(estimate, details, used)


def _scaled(estimate: Estimate, scale: float) -> Estimate:
    """All of the estimate times `scale`."""
    if estimate.interval is None or estimate.std_error is None:
        return replace(estimate, value=estimate.value * scale)
    ends = estimate.interval.low * scale, estimate.interval.high * scale
    interval = replace(estimate.interval, low=ends[0], high=ends[1])
    return Estimate(estimate.value * scale, estimate.std_error * scale, interval)
