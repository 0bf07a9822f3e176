"""Tests that tell generated rows from real ones, and copies of training rows from fresh ones."""

from __future__ import annotations

from functools import partial
from math import inf

from genbench.metrics.entry import Claim, MetricInfo, one_per_dimension

_COMPONENTS = 64  # to which C_T reduces its rows

_of_copies = partial(MetricInfo, higher_is_better=None, needs=frozenset({"features", "train"}),
                     of_copies=True, group="copies")  # fmt: skip

ENTRIES = (
    MetricInfo(
        id="c2st", title="C2ST", higher_is_better=False, bounds=(0, 1), standardised=True,
        group="quality",
        description="Held-out accuracy of a classifier told to separate real from generated rows"
        " (best: 0.5).",
        cost="training two small classifiers on n rows", least_rows=one_per_dimension,
        reference="Lopez-Paz & Oquab 2017, arXiv:1610.06545", has_pixel_twin=True,
        implementation="two-sample/2", maker="genbench.metrics.two_sample:measure_two_sample",
        on_cpu=True,
        claims=(
            Claim("fresh rows cannot be told apart: 0.5", 0.45, 0.55, "on", ("fresh",)),
            Claim("noise can: 1", 0.9, 1, "on", ("noise",)),
        ),
        oracle="tests.oracles.two_sample:holds",
        no_oracle="a trained classifier: another one would give another accuracy",
    ),
    _of_copies(
        id="c_t", title="C_T", standardised=True, least_rows=lambda d: min(d, _COMPONENTS),
        description="Whether generated rows lie nearer to training rows than held-out rows do: far"
        " below 0 means copies.",
        cost="n n_train d", reference="Meehan et al. 2020, arXiv:2004.05675",
        implementation="data-copying/2", maker="genbench.metrics.copying:measure_copying",
        oracle="tests.oracles.copying:c_t",
        claims=(
            Claim("fresh rows are as far from training as real ones: 0", -4, 4, "on", ("fresh",)),
            Claim("copies are far too near", -inf, -10, "on", ("copies",)),
        ),
    ),
    _of_copies(
        id="authenticity", title="Authenticity", bounds=(0, 1), has_pixel_twin=True,
        description="Share of generated rows not nearer to a training row than that row's own"
        " neighbour; read it beside the held-out control's.",
        cost="n_train^2 d + n n_train d", reference="Alaa et al. 2022, arXiv:2102.08921",
        implementation="authenticity/2", maker="genbench.metrics.authentic:measure_authenticity",
        oracle="tests.oracles.copying:authenticity",
        claims=(
            Claim("copies: 0", 0, 0, "on", ("copies",)),
            Claim("fresh rows: most are", 0.5, 0.8, "on", ("fresh",)),
        ),
    ),
)  # fmt: skip
