"""How the cost of the metrics grows with the rows: ours and the peers', printed and drawn.

    python -m benchmarks.bench_cost [--d 128] [--draw docs/cost.png]

FID, classifier score, KID, precision, recall, density and coverage of n real and n generated rows,
as in bench_metrics.py. The drawing needs Playwright and Debian's Chromium.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from benchmarks.bench_metrics import in_a_child, make_rows

ROWS = (1_000, 2_000, 5_000, 10_000, 20_000)
OURS, WITH = "genbench", "genbench with intervals"
PEERS = ("torch-fidelity", "prdc")
SIZE = {"width": 760, "height": 420}


def measure(d: int) -> dict[str, list[float]]:
    """Seconds by side, one for each of `ROWS`."""
    found: dict[str, list[float]] = {OURS: [], WITH: [], "both peers": []}
    for n in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            for name, array in make_rows(n, d).items():
                np.save(Path(folder) / f"{name}.npy", array)
            for side in (OURS, WITH):
                found[side].append(in_a_child(side, folder)["seconds"])
            peers = [in_a_child(side, folder)["seconds"] for side in PEERS]
            found["both peers"].append(sum(peers))
        row = "".join(f"{side}: {times[-1]:7.2f} s   " for side, times in found.items())
        print(f"n = {n:6,}   {row}", flush=True)
    return found


def draw(seconds: dict[str, list[float]], d: int, file: Path) -> None:
    """A PNG, by the browser that also tests the report."""
    from playwright.sync_api import sync_playwright

    names = {"both peers": "torch-fidelity + prdc"}
    figure = go.Figure(
        [
            go.Scatter(x=ROWS, y=times, name=names.get(side, side), mode="lines+markers")
            for side, times in seconds.items()
        ]
    )
    figure.update_layout(
        template="plotly_white",
        title=f"FID, score, KID, precision, recall, density, coverage; d = {d}",
        xaxis={"type": "log", "title": "rows of each set", "tickvals": ROWS},
        yaxis={"type": "log", "title": "seconds"},
        legend={"x": 0.02, "y": 0.98},
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        **SIZE,
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page_file = Path(folder) / "cost.html"
        figure.write_html(page_file, include_plotlyjs=True, config={"staticPlot": True})
        browser = play.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport=SIZE, device_scale_factor=2)
        page.goto(page_file.as_uri())
        page.locator(".plotly-graph-div").screenshot(path=str(file))
        browser.close()


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--draw", type=Path)
    given = parser.parse_args()
    found = measure(given.d)
    if given.draw is not None:
        draw(found, given.d, given.draw)


if __name__ == "__main__":
    main()
