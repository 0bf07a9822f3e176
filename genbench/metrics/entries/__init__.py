"""The entries of the built-in metrics, a file per family, in the order in which tables show them.

An entry is data: adding a metric is a file with its function and an entry here. Nothing heavy is
imported; functions are named as text.
"""

from __future__ import annotations

from genbench.metrics.entries import (
    codes,
    distances,
    downstream,
    likelihood,
    memorisation,
    quality,
    sounds,
    texts,
)

ENTRIES = (
    *distances.ENTRIES,
    *quality.ENTRIES,
    *likelihood.ENTRIES,
    *texts.ENTRIES,
    *sounds.ENTRIES,
    *memorisation.ENTRIES,
    *codes.ENTRIES,
    *downstream.ENTRIES,
)
