"""Metrics made of the generator's log-probabilities rather than of its samples."""

from __future__ import annotations

from genbench.metrics.entry import Claim, MetricInfo

_CLAIMS = (
    Claim("uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9, "uniform_nll"),
    Claim("Gaussian rows: the entropy, within 4 standard errors", -4, 4, "gaussian_nll"),
)

ENTRIES = (
    MetricInfo(
        id="nll",
        title="NLL",
        description="Negative log-likelihood of the test rows, typed by the generator's kind of"
        " likelihood.",
        unit="bits/dim",
        higher_is_better=False,
        needs=frozenset({"log_prob"}),
        cost="one pass of the generator over the test rows",
        reference="Theis et al. 2016, arXiv:1511.01844",
        implementation="likelihood/1",
        defaults={"draws": 1, "rows": None},
        claims=_CLAIMS,
        oracle="tests.oracles.likelihood:nll",
    ),
    MetricInfo(
        id="nll_tight",
        title="NLL, tight",
        description="The same with more draws on fewer rows: a tighter bound on the true"
        " likelihood.",
        unit="bits/dim",
        higher_is_better=False,
        needs=frozenset({"log_prob"}),
        cost="draws times a pass over fewer rows",
        reference="Burda et al. 2016, arXiv:1509.00519",
        implementation="likelihood/1",
        defaults={"draws": 64, "rows": None},
        claims=_CLAIMS,
        oracle="tests.oracles.likelihood:nll",
    ),
)
