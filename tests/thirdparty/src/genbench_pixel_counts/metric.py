"""How far generated rows lie from the centre of the real ones.

Too near is as wrong as too far: read it beside the held-out control's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.custom import CustomMetric


def off_centre(
    real: NDArray[Any], fake: NDArray[Any], *, power: float = 1.0
) -> tuple[float, float]:
    """Mean distance to the real mean raised to a power, and the mean's standard error."""
    distances = np.linalg.norm(fake - real.mean(0), axis=1) ** power
    return float(distances.mean()), float(distances.std(ddof=1) / len(distances) ** 0.5)


OFF_CENTRE = CustomMetric(
    title="Off centre",
    description="Mean distance of generated rows from the mean of the real ones.",
    function=off_centre,
    higher_is_better=None,
    cost="n d",
)
