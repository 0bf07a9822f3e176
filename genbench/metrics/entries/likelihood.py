"""Metrics made of the generator's log-probabilities rather than of its samples."""

from __future__ import annotations

from functools import partial
from math import inf

from genbench.metrics.entry import BITS, Claim, MetricInfo

_likelihood = partial(
    MetricInfo, higher_is_better=False, unit=BITS, needs=frozenset({"log_prob"}),
    implementation="likelihood/1", oracle="tests.oracles.likelihood:nll", group="likelihood",
    claims=(
        Claim("uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9, "uniform_nll"),
        Claim("Gaussian rows: the entropy, within 4 standard errors", -4, 4, "gaussian_nll"),
    ),
)  # fmt: skip
_of_texts = partial(MetricInfo, kinds=("sequence",), group="likelihood")

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
    _of_texts(
        id="perplexity", title="Perplexity", unit="per token", higher_is_better=False,
        needs=frozenset({"log_prob"}), scale="log", bounds=(1, inf), log_probs_of="nll",
        description="Choices among which a generator hesitates at each token of the test rows, the"
        " end of a text included; compares nothing but generators on one vocabulary.",
        cost="none beside nll", reference="Jelinek et al. 1977, doi:10.1121/1.2016299",
        implementation="perplexity/1", oracle="tests.oracles.texts:perplexity",
        claims=(Claim("one of 26 letters, all alike: 26", 26 - 1e-9, 26 + 1e-9, "hesitation"),),
    ),
    _of_texts(
        id="oracle_nll", title="Oracle NLL", unit=BITS, higher_is_better=None,
        needs=frozenset({"truth"}),
        description="Negative log-likelihood of generated rows under the source of the data: above"
        " the entropy they are wrong, below it too much alike; read it beside the NLL.",
        cost="one pass of the source over the generated rows",
        reference="Yu et al. 2017, arXiv:1609.05473", implementation="oracle/1",
        oracle="tests.oracles.likelihood:nll",
        claims=(
            Claim("uniform 8-bit pixels: 8.000 bits/dim", 8 - 1e-9, 8 + 1e-9, "uniform_nll"),
        ),
    ),
)  # fmt: skip
