"""Metrics made of the generator's log-probabilities rather than of its samples."""

from __future__ import annotations

from functools import partial

from genbench.metrics.entry import Claim, MetricInfo

_likelihood = partial(
    MetricInfo, higher_is_better=False, unit="bits/dim", needs=frozenset({"log_prob"}),
    implementation="likelihood/1", oracle="tests.oracles.likelihood:nll", group="likelihood",
    claims=(
        Claim("uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9, "uniform_nll"),
        Claim("Gaussian rows: the entropy, within 4 standard errors", -4, 4, "gaussian_nll"),
    ),
)  # fmt: skip

ENTRIES = (
    _likelihood(
        id="nll", title="NLL", defaults={"draws": 1, "rows": None},
        description="Negative log-likelihood of the test rows, typed by the generator's kind of"
        " likelihood.",
        cost="one pass of the generator over the test rows",
        reference="Theis et al. 2016, arXiv:1511.01844",
    ),
    _likelihood(
        id="nll_tight", title="NLL, tight", defaults={"draws": 64, "rows": None},
        description="The same with more draws on fewer rows: a tighter bound on the true"
        " likelihood.",
        cost="draws times a pass over fewer rows",
        reference="Burda et al. 2016, arXiv:1509.00519",
    ),
)  # fmt: skip
