"""Scores of the generated rows' quality, and of their share of the real rows' variety."""

from __future__ import annotations

from functools import partial
from math import inf

from genbench.metrics.entry import Claim, MetricInfo, any_number, one_per_dimension

_COVERED = 1 - 2**-5  # coverage of fresh rows with k = 5
_NOISE = Claim("noise: 0", 0, 0.02, "on", ("noise",))
_MISSED = Claim("a class lost: its tenth is missed", 0.05, 0.15, "gap", ("fresh", "dropped"))

_score = partial(MetricInfo, higher_is_better=True, bounds=(0, 1), least_rows=one_per_dimension)
_neighbours = partial(_score, cost="n^2 d, shared", implementation="neighbours/2")
_closed = partial(_neighbours, reference="Kynkaanniemi et al. 2019, arXiv:1904.06991",
                  defaults={"k": 3}, pairs="closed balls")  # fmt: skip
_open = partial(_neighbours, reference="Naeem et al. 2020, arXiv:2002.09797",
                defaults={"k": 5}, pairs="open balls")  # fmt: skip

ENTRIES = (
    MetricInfo(
        id="classifier_score", title="Classifier score", higher_is_better=True, bounds=(1, inf),
        group="quality",
        description="How surely and how evenly a classifier names generated rows (the inception"
        " score's formula off Inception).",
        needs=frozenset({"probabilities"}), kinds=("image", "sequence"), cost="n classes",
        defaults={"splits": 10},
        reference="Salimans et al. 2016, arXiv:1606.03498", implementation="inception/1",
        maker="genbench.metrics.inception:measure_score",
        oracle="tests.oracles.inception:classifier_score",
        claims=(
            Claim("sure and even over 10 classes: 10", 9.999, 10.001, "score", ("sure",)),
            Claim("never sure: 1", 0.999, 1.001, "score", ("even",)),
        ),
    ),
    _closed(
        id="precision", title="Precision", aspect="fidelity", group="quality",
        description="Share of generated rows that lie within the real rows' neighbourhoods.",
        maker="genbench.metrics.neighbours:measure_precision",
        oracle="tests.oracles.neighbours:precision",
        claims=(Claim("rows against themselves: 1", 1, 1, "on", ("real",)), _NOISE),
    ),
    _closed(
        id="recall", title="Recall", aspect="diversity", group="diversity",
        description="Share of real rows that lie within the generated rows' neighbourhoods.",
        maker="genbench.metrics.neighbours:measure_recall",
        oracle="tests.oracles.neighbours:recall",
        claims=(Claim("rows against themselves: 1", 1, 1, "on", ("real",)), _MISSED),
    ),
    _open(
        id="density", title="Density", aspect="fidelity", bounds=(0, inf), group="quality",
        description="How many real neighbourhoods hold each generated row, over what is expected"
        " (1).",
        maker="genbench.metrics.neighbours:measure_density",
        oracle="tests.oracles.neighbours:density",
        claims=(Claim("fresh rows: 1", 0.9, 1.1, "on", ("fresh",)), _NOISE),
    ),
    _open(
        id="coverage", title="Coverage", aspect="diversity", group="diversity",
        description="Share of real neighbourhoods that hold at least one generated row.",
        maker="genbench.metrics.neighbours:measure_coverage",
        oracle="tests.oracles.neighbours:coverage",
        claims=(
            Claim("fresh rows: 1 - 2^-5", _COVERED - 0.03, _COVERED + 0.03, "on", ("fresh",)),
            _MISSED,
        ),
    ),
    _score(
        id="mauve", title="MAUVE", group="quality", least_rows=any_number, on_cpu=True,
        description="Area under the curve of divergences between real and generated rows, sorted"
        " into buckets together.",
        defaults={"buckets": None, "scale": 5.0}, fixed={"draws": 5},
        cost="n^2 d, 5 quantisations", reference="Pillutla et al. 2021, arXiv:2102.01454",
        implementation="mauve/1", maker="genbench.metrics.mauve:measure_mauve",
        oracle="tests.oracles.mauve:holds",
        no_oracle="a quantisation: another one would give another area",
        claims=(
            Claim("rows against themselves: 1", 1 - 1e-9, 1, "on", ("real",)),
            Claim("fresh rows: nearly 1", 0.9, 1, "on", ("fresh",)),
            Claim("noise: hardly any overlap", 0, 0.1, "on", ("noise",)),
            Claim("a lost class is worse than fresh rows", 0.02, 0.5, "gap", ("fresh", "dropped")),
        ),
    ),
    _score(
        id="vendi", title="Vendi", bounds=(1, inf), cost="n d^2 + d^3", implementation="vendi/1",
        group="diversity",
        description="Effective number of distinct modes among the generated rows; says nothing of"
        " realism.",
        reference="Friedman & Dieng 2023, arXiv:2210.02410",
        maker="genbench.metrics.vendi:measure_vendi", oracle="tests.oracles.vendi:vendi",
        claims=(
            Claim("10 directions, evenly: 10", 9.999, 10.001, "directions", ("sure",)),
            Claim("one direction: 1", 0.999, 1.001, "directions", ("even",)),
        ),
    ),
)  # fmt: skip
