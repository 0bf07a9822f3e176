"""The metric is found by its name and answers what can be worked out by hand."""

from __future__ import annotations

import numpy as np

from genbench.metrics.evaluation import evaluate


def test_rows_on_a_circle_lie_at_its_radius() -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    parameters = {"off_centre": {"power": 2.0}}
    found = evaluate(circle, 3 * circle, ["off_centre"], parameters=parameters)["off_centre"]
    assert found.value is not None, found.reason
    assert abs(found.value - 9) < 1e-4
    assert found.interval is not None
    assert "of genbench-pixel-counts" in found.signature
