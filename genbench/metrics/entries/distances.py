"""Distances between the real and the generated rows' distributions."""

from __future__ import annotations

from math import inf, sqrt

from genbench.metrics.entry import IMAGE, Claim, MetricInfo, one_per_dimension

# Of the selftest's rows: 10 classes 8 from the origin, 16 dimensions, a shift of length 3.
_SWAPPED = 2 * 8.0**2  # squared distance of two classes' centres
_SPREAD = 3.0 / sqrt(16)  # the shift as a random direction sees it, root mean square

ENTRIES = (
    MetricInfo(
        id="fid",
        title="FID",
        description="Distance between the Gaussians fitted to real and to generated features.",
        higher_is_better=False,
        scale="log",
        cost="n d^2 + d^3",
        reference="Heusel et al. 2017, arXiv:1706.08500",
        bounds=(0, inf),
        implementation="frechet/1",
        fixed={"ddof": 1},
        maker="genbench.metrics.frechet:measure_frechet",
        has_pixel_twin=True,
        least_rows=one_per_dimension,
        says_extractor=True,
        claims=(
            Claim("rows against themselves: 0", -1e-6, 1e-6, "on", ("real",)),
            Claim("a shift of length 3: 9", 8.9999, 9.0001, "on", ("shifted",)),
            Claim("a lost class is worse than fresh rows", 0.1, inf, "gap", ("dropped", "fresh")),
            Claim("noise is worse than a lost class", 10, inf, "gap", ("noise", "dropped")),
        ),
        oracle="tests.oracles.frechet:fid",
    ),
    MetricInfo(
        id="fid_infinity",
        title="FID∞",
        description="Frechet distance extrapolated to infinitely many rows, so that its bias in n"
        " is gone.",
        higher_is_better=False,
        cost="about 15 times fid, and 40 times that with its interval",
        reference="Chong & Forsyth 2020, arXiv:1911.07023",
        implementation="frechet-infinity/1",
        fixed={"sizes": 15},
        maker="genbench.metrics.frechet:measure_infinity",
        least_rows=lambda d: 4 * d,
        says_extractor=True,
        claims=(
            Claim("fresh rows: 0 but for noise", -0.5, 0.5, "on", ("fresh",)),
            Claim("a shift of length 3: 9", 8.5, 9.5, "on", ("shifted",)),
        ),
        oracle="tests.oracles.frechet:fid_infinity",
    ),
    MetricInfo(
        id="fid_per_class",
        title="FID per class",
        description="Mean over classes of the Frechet distance between rows of that class.",
        higher_is_better=False,
        needs=frozenset({"features", "labels"}),
        kinds=IMAGE,
        scale="log",
        cost="n d^2 + classes d^3",
        reference="Miyato & Koyama 2018 (intra FID), arXiv:1802.05637",
        bounds=(0, inf),
        implementation="frechet-per-class/1",
        fixed={"ddof": 1},
        maker="genbench.metrics.frechet:measure_per_class",
        least_rows=one_per_dimension,
        says_extractor=True,
        claims=(
            Claim("rows against themselves: 0", -1e-6, 1e-6, "labelled", (0,)),
            Claim(
                "every class taken for the next: 128",
                0.9 * _SWAPPED,
                1.1 * _SWAPPED,
                "labelled",
                (1,),
            ),
        ),
        oracle="tests.oracles.frechet:fid_per_class",
    ),
    MetricInfo(
        id="kid",
        title="KID",
        description="Squared maximum mean discrepancy with a cubic kernel: unbiased, so it may be"
        " negative.",
        higher_is_better=False,
        cost="n^2 d, shared",
        reference="Binkowski et al. 2018, arXiv:1801.01401",
        implementation="kernel/2",
        defaults={"subsets": 100, "subset_size": 1000},
        maker="genbench.metrics.kernel:measure_kernel",
        pairs="kernel",
        standardised=True,
        has_pixel_twin=True,
        claims=(
            Claim(
                "the double sum that defines it: 1 of it", 1 - 1e-6, 1 + 1e-6, "kid_by_definition"
            ),
            Claim("a shift is worse than fresh rows", 0.1, inf, "gap", ("shifted", "fresh")),
            Claim("noise is worse than a shift", 0.1, inf, "gap", ("noise", "shifted")),
        ),
        oracle="tests.oracles.kernel:kid",
    ),
    MetricInfo(
        id="emd",
        title="EMD",
        description="Exact cost of moving generated rows onto real ones (optimal transport, biased"
        " up).",
        higher_is_better=False,
        scale="log",
        cost="n^2 d + n^3 worst case, on blocks of 2,000 rows",
        reference="Peyre & Cuturi 2019, arXiv:1803.00567",
        bounds=(0, inf),
        implementation="transport/1",
        defaults={"p": 1, "block": 2000},
        maker="genbench.metrics.transport:measure_emd",
        has_pixel_twin=True,
        claims=(
            Claim("rows against themselves: 0", -1e-4, 1e-4, "on", ("real",)),
            Claim("a shift of length 3: 3", 2.999, 3.001, "on", ("shifted",)),
            Claim("noise is worse than a shift", 1, inf, "gap", ("noise", "shifted")),
            Claim("a lost class is worse than fresh rows", 0.1, inf, "gap", ("dropped", "fresh")),
        ),
        oracle="tests.oracles.transport:emd",
    ),
    MetricInfo(
        id="sliced_wasserstein",
        title="Sliced W2",
        description="Mean Wasserstein distance of one-dimensional projections in random"
        " directions.",
        higher_is_better=False,
        scale="log",
        cost="projections (n d + n log n)",
        reference="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3",
        bounds=(0, inf),
        implementation="sliced/1",
        defaults={"projections": 1000, "p": 2},
        maker="genbench.metrics.transport:measure_sliced",
        has_pixel_twin=True,
        claims=(
            Claim("rows against themselves: 0", -1e-6, 1e-6, "on", ("real",)),
            Claim(
                "a shift of length 3: 3 / sqrt(16)",
                0.9 * _SPREAD,
                1.1 * _SPREAD,
                "on",
                ("shifted",),
            ),
            Claim("a lost class is worse than fresh rows", 0.05, inf, "gap", ("dropped", "fresh")),
        ),
        oracle="tests.oracles.transport:sliced_wasserstein",
    ),
)
