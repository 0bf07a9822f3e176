"""Distances between the real and the generated rows' distributions."""

from __future__ import annotations

from functools import partial
from math import inf, sqrt

from genbench.metrics.entry import IMAGE, Claim, MetricInfo, one_per_dimension

# Of the selftest's rows: 10 classes 8 from the origin, 16 dimensions, a shift of length 3.
_SWAPPED = 2 * 8.0**2  # squared distance of two classes' centres
_SPREAD = 3.0 / sqrt(16)  # the shift as a random direction sees it, root mean square
_SAME = partial(Claim, "rows against themselves: 0", measure="on", given=("real",))
_LOST = partial(Claim, "a lost class is worse than fresh rows", high=inf, measure="gap",
                given=("dropped", "fresh"))  # fmt: skip

_distance = partial(MetricInfo, higher_is_better=False, group="quality")
_positive = partial(_distance, scale="log", bounds=(0, inf))

ENTRIES = (
    _positive(
        id="fid", title="FID", fixed={"ddof": 1}, implementation="frechet/1", has_pixel_twin=True,
        description="Distance between the Gaussians fitted to real and to generated features.",
        cost="n d^2 + d^3", least_rows=one_per_dimension, says_extractor=True,
        reference="Heusel et al. 2017, arXiv:1706.08500",
        maker="genbench.metrics.frechet:measure_frechet", oracle="tests.oracles.frechet:fid",
        claims=(
            _SAME(low=-1e-6, high=1e-6),
            Claim("a shift of length 3: 9", 8.9999, 9.0001, "on", ("shifted",)),
            _LOST(low=0.1),
            Claim("noise is worse than a lost class", 10, inf, "gap", ("noise", "dropped")),
        ),
    ),
    _distance(
        id="fid_infinity", title="FID∞", fixed={"sizes": 15}, says_extractor=True,
        description="Frechet distance extrapolated to infinitely many rows, so that its bias in n"
        " is gone.",
        cost="about 15 times fid, and 40 times that with its interval", least_rows=lambda d: 4 * d,
        reference="Chong & Forsyth 2020, arXiv:1911.07023", implementation="frechet-infinity/1",
        maker="genbench.metrics.frechet:measure_infinity",
        oracle="tests.oracles.frechet:fid_infinity",
        claims=(
            Claim("fresh rows: 0 but for noise", -0.5, 0.5, "on", ("fresh",)),
            Claim("a shift of length 3: 9", 8.5, 9.5, "on", ("shifted",)),
        ),
    ),
    _positive(
        id="fid_per_class", title="FID per class", fixed={"ddof": 1}, kinds=IMAGE,
        description="Mean over classes of the Frechet distance between rows of that class.",
        needs=frozenset({"features", "labels"}), cost="n d^2 + classes d^3", says_extractor=True,
        reference="Miyato & Koyama 2018 (intra FID), arXiv:1802.05637",
        implementation="frechet-per-class/1", least_rows=one_per_dimension,
        maker="genbench.metrics.frechet:measure_per_class",
        oracle="tests.oracles.frechet:fid_per_class",
        claims=(
            Claim("rows against themselves: 0", -1e-6, 1e-6, "labelled", (0,)),
            Claim("every class taken for the next: 128", 0.9 * _SWAPPED, 1.1 * _SWAPPED,
                  "labelled", (1,)),
        ),
    ),
    _distance(
        id="kid", title="KID", defaults={"subsets": 100, "subset_size": 1000}, pairs="kernel",
        description="Squared maximum mean discrepancy with a cubic kernel: unbiased, so it may be"
        " negative.",
        cost="n^2 d, shared", reference="Binkowski et al. 2018, arXiv:1801.01401",
        implementation="kernel/2", standardised=True, has_pixel_twin=True,
        maker="genbench.metrics.kernel:measure_kernel", oracle="tests.oracles.kernel:kid",
        claims=(
            Claim("the double sum that defines it: 1 of it", 1 - 1e-6, 1 + 1e-6,
                  "kid_by_definition"),
            Claim("a shift is worse than fresh rows", 0.1, inf, "gap", ("shifted", "fresh")),
            Claim("noise is worse than a shift", 0.1, inf, "gap", ("noise", "shifted")),
        ),
    ),
    _distance(
        id="mmd", title="MMD", pairs="kernel", standardised=True, implementation="mmd/1",
        defaults={"kernel": "rbf", "bandwidth": "median", "biased": False, "unit_length": False,
                  "scale": 1.0, "subsets": 0, "subset_size": 1000},
        description="Squared maximum mean discrepancy with a kernel of one's choice; KID, CMMD and"
        " KAD are settings of it.",
        cost="n^2 d, shared", reference="Gretton et al. 2012, jmlr.org/papers/v13/gretton12a.html",
        maker="genbench.metrics.discrepancy:measure_discrepancy", oracle="tests.oracles.kernel:mmd",
        claims=(
            Claim("the double sum that defines it: 1 of it", 1 - 1e-6, 1 + 1e-6,
                  "mmd_by_definition"),
            Claim("fresh rows: 0 but for noise", -0.001, 0.001, "on", ("fresh",)),
            Claim("a shift is worse than fresh rows", 0.01, inf, "gap", ("shifted", "fresh")),
            Claim("noise is worse than a shift", 0.001, inf, "gap", ("noise", "shifted")),
        ),
    ),
    _positive(
        id="emd", title="EMD", defaults={"p": 1, "block": 2000}, has_pixel_twin=True,
        description="Exact cost of moving generated rows onto real ones (optimal transport, biased"
        " up).",
        cost="n^2 d + n^3 worst case, on blocks of 2,000 rows", implementation="transport/1",
        reference="Peyre & Cuturi 2019, arXiv:1803.00567",
        maker="genbench.metrics.transport:measure_emd", oracle="tests.oracles.transport:emd",
        on_cpu=True,
        claims=(
            _SAME(low=-1e-4, high=1e-4),
            Claim("a shift of length 3: 3", 2.999, 3.001, "on", ("shifted",)),
            Claim("noise is worse than a shift", 1, inf, "gap", ("noise", "shifted")),
            _LOST(low=0.1),
        ),
    ),
    _positive(
        id="sliced_wasserstein", title="Sliced W2", defaults={"projections": 1000, "p": 2},
        description="Mean Wasserstein distance of one-dimensional projections in random"
        " directions.",
        cost="projections (n d + n log n)", implementation="sliced/1", has_pixel_twin=True,
        reference="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3",
        maker="genbench.metrics.transport:measure_sliced",
        oracle="tests.oracles.transport:sliced_wasserstein",
        claims=(
            _SAME(low=-1e-6, high=1e-6),
            Claim("a shift of length 3: 3 / sqrt(16)", 0.9 * _SPREAD, 1.1 * _SPREAD, "on",
                  ("shifted",)),
            _LOST(low=0.05),
        ),
    ),
)  # fmt: skip
