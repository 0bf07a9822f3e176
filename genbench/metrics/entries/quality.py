"""Scores of the generated rows' quality, and of their share of the real rows' variety."""

from __future__ import annotations

from math import inf

from genbench.metrics.entry import IMAGE, Claim, MetricInfo, one_per_dimension

_KYNKAANNIEMI = "Kynkaanniemi et al. 2019, arXiv:1904.06991"
_NAEEM = "Naeem et al. 2020, arXiv:2002.09797"
_COVERED = 1 - 2**-5  # coverage of fresh rows with k = 5

ENTRIES = (
    MetricInfo(
        id="classifier_score",
        title="Classifier score",
        description="How surely and how evenly a classifier names generated rows (the inception"
        " score's formula off Inception).",
        higher_is_better=True,
        needs=frozenset({"probabilities"}),
        kinds=IMAGE,
        cost="n classes",
        reference="Salimans et al. 2016, arXiv:1606.03498",
        bounds=(1, inf),
        implementation="inception/1",
        defaults={"splits": 10},
        maker="genbench.metrics.inception:measure_score",
        claims=(
            Claim("sure and even over 10 classes: 10", 9.999, 10.001, "score", ("sure",)),
            Claim("never sure: 1", 0.999, 1.001, "score", ("even",)),
        ),
        oracle="tests.oracles.inception:classifier_score",
    ),
    MetricInfo(
        id="precision",
        title="Precision",
        description="Share of generated rows that lie within the real rows' neighbourhoods.",
        higher_is_better=True,
        cost="n^2 d, shared",
        reference=_KYNKAANNIEMI,
        bounds=(0, 1),
        implementation="neighbours/2",
        defaults={"k": 3},
        maker="genbench.metrics.neighbours:measure_precision",
        pairs="closed balls",
        least_rows=one_per_dimension,
        aspect="fidelity",
        claims=(
            Claim("rows against themselves: 1", 1, 1, "on", ("real",)),
            Claim("noise: 0", 0, 0.02, "on", ("noise",)),
        ),
        oracle="tests.oracles.neighbours:precision",
    ),
    MetricInfo(
        id="recall",
        title="Recall",
        description="Share of real rows that lie within the generated rows' neighbourhoods.",
        higher_is_better=True,
        cost="n^2 d, shared",
        reference=_KYNKAANNIEMI,
        bounds=(0, 1),
        implementation="neighbours/2",
        defaults={"k": 3},
        maker="genbench.metrics.neighbours:measure_recall",
        pairs="closed balls",
        least_rows=one_per_dimension,
        aspect="diversity",
        claims=(
            Claim("rows against themselves: 1", 1, 1, "on", ("real",)),
            Claim("a class lost: its tenth is missed", 0.05, 0.15, "gap", ("fresh", "dropped")),
        ),
        oracle="tests.oracles.neighbours:recall",
    ),
    MetricInfo(
        id="density",
        title="Density",
        description="How many real neighbourhoods hold each generated row, over what is expected"
        " (1).",
        higher_is_better=True,
        cost="n^2 d, shared",
        reference=_NAEEM,
        bounds=(0, inf),
        implementation="neighbours/2",
        defaults={"k": 5},
        maker="genbench.metrics.neighbours:measure_density",
        pairs="open balls",
        least_rows=one_per_dimension,
        aspect="fidelity",
        claims=(
            Claim("fresh rows: 1", 0.9, 1.1, "on", ("fresh",)),
            Claim("noise: 0", 0, 0.02, "on", ("noise",)),
        ),
        oracle="tests.oracles.neighbours:density",
    ),
    MetricInfo(
        id="coverage",
        title="Coverage",
        description="Share of real neighbourhoods that hold at least one generated row.",
        higher_is_better=True,
        cost="n^2 d, shared",
        reference=_NAEEM,
        bounds=(0, 1),
        implementation="neighbours/2",
        defaults={"k": 5},
        maker="genbench.metrics.neighbours:measure_coverage",
        pairs="open balls",
        least_rows=one_per_dimension,
        aspect="diversity",
        claims=(
            Claim("fresh rows: 1 - 2^-5", _COVERED - 0.03, _COVERED + 0.03, "on", ("fresh",)),
            Claim("a class lost: its tenth is missed", 0.05, 0.15, "gap", ("fresh", "dropped")),
        ),
        oracle="tests.oracles.neighbours:coverage",
    ),
    MetricInfo(
        id="vendi",
        title="Vendi",
        description="Effective number of distinct modes among the generated rows; says nothing of"
        " realism.",
        higher_is_better=True,
        cost="n d^2 + d^3",
        reference="Friedman & Dieng 2023, arXiv:2210.02410",
        bounds=(1, inf),
        implementation="vendi/1",
        maker="genbench.metrics.vendi:measure_vendi",
        least_rows=one_per_dimension,
        claims=(
            Claim("10 directions, evenly: 10", 9.999, 10.001, "directions", ("sure",)),
            Claim("one direction: 1", 0.999, 1.001, "directions", ("even",)),
        ),
        oracle="tests.oracles.vendi:vendi",
    ),
)
