"""Classes that generated rows reach: the plainest sign of a dropped mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.errors import MetricError
from genbench.metrics.arrays import to_host
from genbench.metrics.checks import as_probabilities

HIT_SHARE = 0.1


def classes_hit(real: Any, fake: Any, *, share: float = HIT_SHARE) -> npt.NDArray[np.bool_]:
    """Whether each class is hit, bool ``(classes,)``.

    A class is hit if the classifier names at least `share` times as many of the generated rows by
    it, in proportion, as of the real ones: one row would not do, since a classifier errs on rows of
    other classes. A class that it sees in no real row is hit by any row.

    Parameters
    ----------
    real, fake
        Class probabilities ``(n, classes)`` that one classifier gives to real and to generated
        rows.
    share
        Between 0 and 1.

    Raises
    ------
    MetricError
        If a row is no distribution, or the two are over different numbers of classes.

    Notes
    -----
    Real held-out rows hit every class; the control ``mode-dropped`` all but one. A conditional
    generator is asked for every class: it misses one if what it draws is not recognised.
    """
    of_real = to_host(as_probabilities("real", real))
    of_fake = to_host(as_probabilities("fake", fake))
    classes = of_real.shape[1]
    if of_fake.shape[1] != classes:
        raise MetricError(
            f"probabilities of {classes} and of {of_fake.shape[1]} classes cannot be compared: "
            "give those of one classifier"
        )
    named = [p.argmax(1) for p in (of_real, of_fake)]
    asked, found = (np.bincount(n, minlength=classes) / len(n) for n in named)
    return (found >= share * asked) & (found > 0)
