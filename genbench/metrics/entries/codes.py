"""The worth of a generator's codes: what they keep of examples they were made of."""

from __future__ import annotations

from functools import partial
from math import inf

from genbench.metrics.entry import IMAGE, Claim, MetricInfo

_rebuilt = partial(
    MetricInfo, group="inside", higher_is_better=False, scale="log", bounds=(0, inf),
    needs=frozenset({"codes"}), kinds=("image", "points", "waveform"),
    reference="Ghosh et al. 2020, arXiv:1903.12436",
)  # fmt: skip

ENTRIES = (
    _rebuilt(
        id="reconstruction_mse", title="Reconstruction MSE", implementation="codes/1",
        description="Mean squared error of test rows given back by the generator, per scalar: of"
        " images in grey levels from 0 to 1.",
        cost="one pass of the generator over the test rows",
        oracle="tests.oracles.codes:reconstruction_mse",
        claims=(
            Claim("rows given back as they are: 0", 0, 0, "rebuilt", ("real",)),
            Claim("a shift of length 3 in 16 dimensions: 9/16", 0.5624, 0.5626, "rebuilt",
                  ("shifted",)),
        ),
    ),
    _rebuilt(
        id="reconstruction_fid", title="Reconstruction FID", implementation="frechet/1",
        fixed={"ddof": 1}, cost="one pass of the generator over the test rows, and n d^2 + d^3",
        description="Frechet distance between test rows and what the generator gives back of them,"
        " in the suite's features.",
        oracle="tests.oracles.frechet:fid",
        claims=(
            Claim("rows given back as they are: 0", -1e-6, 1e-6, "rebuilt", ("real",)),
            Claim("a shift of length 3: 9", 8.9999, 9.0001, "rebuilt", ("shifted",)),
        ),
    ),
    MetricInfo(
        id="probe_accuracy", title="Probe accuracy", group="inside", higher_is_better=True,
        bounds=(0, 1),
        description="Test accuracy of a linear classifier of the generator's codes, trained on"
        " codes of labelled training rows.",
        needs=frozenset({"codes", "labels", "train"}), kinds=IMAGE, implementation="probe/1",
        fixed={"l2": 1.0}, cost="one pass of the generator over the rows, and a regression",
        reference="Alain & Bengio 2017, arXiv:1610.01644",
        no_oracle="a trained classifier: another one would give another accuracy",
        claims=(
            Claim("classes far apart are told", 0.99, 1, "probed", (0,)),
            Claim("codes of other rows tell nothing", 0, 0.15, "probed", (1,)),
        ),
    ),
)  # fmt: skip
