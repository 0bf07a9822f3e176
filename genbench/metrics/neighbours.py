"""Precision and recall, density and coverage: who lies in whose neighbourhood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genbench.metrics.balls import Radii
from genbench.metrics.checks import as_pair, require_at_least, require_rows
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.memberships import Memberships
from genbench.metrics.nearest import NearestWithin, radii_without_blocks
from genbench.metrics.pairs import visit_between, visit_within
from genbench.metrics.prepared import PreparedRows, prepare, sharpened
from genbench.metrics.uncertainty import Blocks, Estimate

# Neighbours kept beyond k, so that rounding, and deleting a block, rarely need a second look.
_SPARE, _SPARE_WITH_BLOCKS = 2, 6


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Both in [0, 1], higher is better."""

    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """Density is at least 0 and near 1 for equal distributions; coverage is in [0, 1]."""

    density: float
    coverage: float


def precision_recall(real: Any, fake: Any, *, k: int = 3) -> PrecisionRecall:
    """Share of generated rows near real ones, and of real rows near generated ones.

    A row's neighbourhood is the closed ball that reaches its k-th nearest other row of its own
    set. Precision: share of fake rows in any real row's ball. Recall: share of real rows in any
    fake row's ball.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``, float32 or float64.
    k
        Which neighbour sets the radius, itself not counted.

    Returns
    -------
    PrecisionRecall
        In [0, 1], higher is better.

    Raises
    ------
    MetricError
        If a set has no more than `k` rows, or an input is broken.

    Notes
    -----
    Membership is ``<=``. Outliers have large balls: one far real row can lift precision, one far
    fake row recall. Depends on n: compare at equal n. O(n^2 d). Naive forms:
    ``tests.oracles.neighbours:precision`` and ``tests.oracles.neighbours:recall``.

    References
    ----------
    Kynkaanniemi et al. 2019, Improved Precision and Recall Metric, arXiv:1904.06991.
    """
    memberships = _survey(real, fake, k_closed=k, k_open=None)
    return PrecisionRecall(memberships.precision().value, memberships.recall().value)


def density_coverage(real: Any, fake: Any, *, k: int = 5) -> DensityCoverage:
    """Density and coverage: how densely generated rows fill real neighbourhoods, and how many.

    With ``B_i`` the open ball around real row i that reaches its k-th nearest other real row:
    density is ``1 / (k n_fake) sum_j #{i: f_j in B_i}``, coverage the share of real rows whose
    ball holds a fake row.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``, float32 or float64.
    k
        Which neighbour sets the radius, itself not counted.

    Returns
    -------
    DensityCoverage
        Expected 1 and ``1 - 2^-k`` for equal distributions of equal, large n; higher is better.
        Density can exceed 1.

    Raises
    ------
    MetricError
        If a set has no rows, `real` no more than `k`, or an input is broken.

    Notes
    -----
    Membership is ``<``, so identical constant inputs score 0. O(n^2 d). Naive forms:
    ``tests.oracles.neighbours:density`` and ``tests.oracles.neighbours:coverage``.

    References
    ----------
    Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, arXiv:2002.09797.
    """
    memberships = _survey(real, fake, k_closed=None, k_open=k)
    return DensityCoverage(memberships.density().value, memberships.coverage().value)


def check_depth(n_real: int, n_fake: int, k_closed: int | None, k_open: int | None) -> None:
    """Raise unless every row has as many other rows in its set as its radius needs."""
    for k in (k_closed, k_open):
        if k is not None:
            require_at_least("k", k, 1)
            require_rows("real", n_real, k + 1)
    if k_closed is not None:
        require_rows("fake", n_fake, k_closed + 1)


def _survey(real: Any, fake: Any, *, k_closed: int | None, k_open: int | None) -> Memberships:
    real, fake = as_pair(real, fake)
    check_depth(len(real), len(fake), k_closed, k_open)
    both = prepare(real, fake)
    neighbourhoods = Neighbourhoods(*both, k_closed=k_closed, k_open=k_open, blocks=None)
    visit_within(both[0], [neighbourhoods.within_real])
    if neighbourhoods.within_fake is not None:
        visit_within(both[1], [neighbourhoods.within_fake])
    memberships, both = neighbourhoods.memberships()
    visit_between(*both, [memberships], memberships.columns)
    return memberships


class Neighbourhoods:
    """Both sets' balls: visit real with `within_real`, fake with `within_fake`, then `memberships`.

    `fake` is in the order of `blocks` (None for no intervals); `k_closed` is of precision and
    recall, `k_open` of density and coverage, and None leaves that pair out.
    """

    def __init__(
        self,
        real: PreparedRows,
        fake: PreparedRows,
        *,
        k_closed: int | None,
        k_open: int | None,
        blocks: Blocks | None,
    ) -> None:
        self._real, self._fake, self._blocks = real, fake, blocks
        self._k_closed, self._k_open = k_closed, k_open
        deepest = max(k for k in (k_closed, k_open) if k is not None)
        self.within_real = NearestWithin(real, deepest, _SPARE)
        self.within_fake: NearestWithin | None = None
        if k_closed is not None:
            spare = _SPARE if blocks is None else _SPARE_WITH_BLOCKS
            self.within_fake = NearestWithin(fake, k_closed, spare)

    def memberships(self) -> tuple[Memberships, tuple[PreparedRows, PreparedRows]]:
        """The visitor of pairs between the sets, once both sets' own neighbours are known.

        With the sets to visit: in a finer form where those given did not settle the neighbours.
        """
        within, real = self.within_real.result()
        found, fake = None, self._fake
        if self.within_fake is not None:
            found, fake = self.within_fake.result()
        if real is not self._real and fake is self._fake:
            fake = sharpened(fake)
        elif fake is not self._fake and real is self._real:
            real = sharpened(real)
        radii = None
        if found is not None and self._k_closed is not None:
            radii = radii_without_blocks(fake, found, self._k_closed, self._blocks)

        def of_real(k: int | None) -> Radii | None:
            return None if k is None else Radii.of(within.squares[:, k - 1], real)

        visitor = Memberships(
            len(fake),
            self._blocks,
            real_closed=of_real(self._k_closed),
            real_open=of_real(self._k_open),
            k_open=self._k_open or 1,
            fake_closed=radii,
        )
        return visitor, (real, fake)


def _maker(share: Callable[[Memberships], Estimate]) -> Callable[..., Measurement]:
    """The maker of a metric that the memberships tell, after the pass over pairs."""

    def measure(found: Memberships, inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
        return Measurement(inputs.maybe(share(found)), used=parameters)

    measure.__name__ = f"measure_{share.__name__}"
    return measure


measure_precision, measure_recall, measure_density, measure_coverage = map(
    _maker,
    (Memberships.precision, Memberships.recall, Memberships.density, Memberships.coverage),
)
