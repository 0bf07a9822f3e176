"""Details of the downstream metrics, of copying and of history, made up: for panels to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench.metrics.values import Interval, MetricValue
from genbench.results.entries import Entry, Snapshot, TaskResults
from tests import report_fixtures as fixtures


def gain(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "std_error": half / 4.3, "low": mean - half, "high": mean + half,
            "p_value": 0.01}  # fmt: skip


def point(n: int, arm: str, ratio: int, mean: float, verdict: str, **more: Any) -> dict[str, Any]:
    return {"n": n, "arm": arm, "ratio": ratio, "accuracy": 0.8 + mean, "gain": gain(mean, 0.01),
            "accuracies": [0.8 + mean] * 3, "verdict": verdict, **more}  # fmt: skip


CURVE = {
    "points": [
        {"n": 100, "arm": "real", "ratio": 0, "accuracy": 0.8, "accuracies": [0.8] * 3},
        point(100, "real+synthetic", 1, 0.02, "helps", over_classical=gain(-0.01, 0.02)),
        point(100, "real+synthetic", 4, 0.05, "helps", over_classical=gain(0.02, 0.01)),
        point(100, "real+classical", 0, 0.03, "helps"),
        point(100, "synthetic", 4, -0.2, "hurts"),
        {"n": 1000, "arm": "real", "ratio": 0, "accuracy": 0.95, "accuracies": [0.95] * 3},
        point(1000, "real+synthetic", 1, 0.001, "no evidence", over_classical=gain(0, 0.01)),
        point(1000, "real+synthetic", 4, -0.03, "hurts", over_classical=gain(-0.04, 0.01)),
        point(1000, "real+classical", 0, 0.005, "no evidence"),
    ],
    "rejected": 0.125,
}
ARM = {"recall": [0.5, 0.6, 0.55], "balanced": [0.9, 0.9, 0.91]}
RARE = {
    "classes": [8, 9], "keep": 0.03,
    "arms": {"as it is": ARM, "oversampled": ARM, "class weights": ARM, "filled": ARM},
    "gains": {"as it is": {**gain(0.1, 0.05), "verdict": "helps"}},
}  # fmt: skip
ATTACKED = {"clean": [0.9, 0.91], "fgsm": [0.6, 0.62], "pgd": [0.4, 0.45]}
ROBUST = {
    "epsilon": 0.1, "arms": {"real": ATTACKED, "real+synthetic": ATTACKED},
    "gain": {**gain(0.01, 0.05), "verdict": "no evidence"},
}  # fmt: skip
PRICE = {"gap": 0.012, "gap_low": 0.008, "gap_high": 0.016}
DETAILS = {"augmentation_gain": CURVE, "imbalance_recall": RARE, "robust_accuracy": ROBUST}


def measured(
    folder: Path, details: Mapping[str, Any], seeds: tuple[int, ...] = (0,),
    left_out: Mapping[str, str] | None = None,
) -> TaskResults:  # fmt: skip
    """The fixture's results with downstream details in every ok record of a generator.

    `left_out` gives the reason of each generator that has none.
    """
    task = fixtures.task(folder, seeds)
    entries = []
    for entry in task.entries:
        record = entry.record
        if record.status == "ok" and record.cell["generator"]["family"] != "control":
            reason = (left_out or {}).get(record.generator)
            values = {k: _downstream(v, reason) for k, v in details.items()}
            record = replace(record, metrics={**record.metrics, **values})
        if record.status == "ok":
            tstr = replace(record.metrics["tstr_accuracy"], details=PRICE)
            record = replace(record, metrics={**record.metrics, "tstr_accuracy": tstr})
        entries.append(Entry(record, entry.folder))
    return TaskResults(task.suite, entries)


def _downstream(details: Any, reason: str | None) -> MetricValue:
    if reason is not None:
        return MetricValue("not_applicable", reason=reason)
    return MetricValue("ok", value=1.0, std_error=0.1, details=details)


def copying(c_t: float, authenticity: float) -> dict[str, MetricValue]:
    """The two metrics of copying, each with an interval."""
    return {
        "c_t": MetricValue("ok", c_t, Interval(c_t - 0.9, c_t + 0.9), 0.45, signature="c_t"),
        "authenticity": MetricValue(
            "ok", authenticity, Interval(max(0.0, authenticity - 0.01), authenticity + 0.01), 0.005,
            signature="authenticity",
        ),
    }  # fmt: skip


COPYING = {"train-copy": (-78.0, 0.0), "dna": (-17.5, 0.57), "heldout": (-1.7, 0.62)}


def everything(folder: Path) -> TaskResults:
    """Three seeds with all that a report can show: downstream panels, copying, two snapshots."""
    task = measured(folder, DETAILS, (0, 1, 2), {"flow": "flow was trained on other data too"})
    entries = []
    for entry in task.entries:
        record = entry.record
        if record.status == "ok":
            found = copying(*COPYING.get(record.generator, (2.0, 0.7)))
            record = replace(record, metrics={**record.metrics, **found})
        entries.append(Entry(record, entry.folder))
    return TaskResults(task.suite, entries, [_snapshot(entries, day) for day in (1, 2)])


def _snapshot(entries: Sequence[Entry], day: int) -> Snapshot:
    """What a folder held on a day: later, FID was lower."""
    held = []
    for entry in entries:
        record = entry.record
        metrics = dict(record.metrics)
        if "fid" in metrics:
            value = float(metrics["fid"].value or 0.0) * (1.2 if day == 1 else 1.0)
            metrics["fid"] = replace(metrics["fid"], value=value)
        finished = {"finished": f"2026-01-0{day}T00:00:00+00:00"}
        held.append(Entry(replace(record, metrics=metrics, times=finished), entry.folder))
    return Snapshot(f"day-{day}", held)
