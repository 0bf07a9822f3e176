"""Records whose every string tries to run, to reach out, or to deceive the eye."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genbench.metrics.values import MetricValue
from genbench.results.entries import Entry, Snapshot, TaskResults
from genbench.results.records import Artifact
from tests.report_downstream import CURVE, PRICE, RARE, ROBUST
from tests.report_fixtures import cell_of, metric, record, suite

PAYLOADS = (
    "<script>window.pwned=1</script>",
    "</script><ScRiPt>window.pwned=2</sCrIpT>",
    '"><img src=x onerror="window.pwned=3">',
    "' autofocus onfocus='window.pwned=4",
    "javascript:window.pwned=5",
    "{{ 7*7 }}{% include 'base.html.j2' %}${7*7}<%= 7*7 %>",
    "<!--</style><svg onload=window.pwned=6>]]>",
    '<a href="https://example.invalid/steal">link</a><b>bold</b>%{x}',
    "\u202egnp.exe\u2066\u200b",
    "\x1b[31mred\x1b[0m\x00\x07",
    "=HYPERLINK(1)",
    "<iframe src=https://example.invalid></iframe>" + "A" * 10_000,
)


def evil(index: int) -> str:
    """One payload after the other."""
    return PAYLOADS[index % len(PAYLOADS)]


def evil_task(folder: Path) -> TaskResults:
    """One generator per payload, with everything that a plugin or a file can say being hostile."""
    entries = [_entry(folder, i, seed) for i in range(len(PAYLOADS)) for seed in (0, 1)]
    body = suite(
        suite={"name": evil(0), "version": evil(2), "title": evil(1), "description": evil(6),
               "primary": "fid"},
        dataset={"name": evil(3), "licence": evil(4), "credit": evil(7)},
        protocol={"n_samples": evil(5), "extractor": evil(2)},
        metrics=[{"id": "fid"}, {"id": evil(2)}, {"id": f"kid@{evil(0)}"}, {"id": "nll"}],
    )  # fmt: skip
    history = [Snapshot(evil(i), entries[i::2]) for i in (7, 11, 1)]
    return TaskResults(body, entries, history)


def _entry(folder: Path, index: int, seed: int) -> Entry:
    text = evil(index)
    home = folder / f"{index}-{seed}"
    home.mkdir(parents=True)
    cell = cell_of(
        text,
        evil(index + 1),
        seed,
        likelihood=evil(index + 2),
        provider=evil(index + 3),
        params={evil(index + 4): evil(index + 5), "x": [evil(index)]},
        passed={evil(index + 6): evil(index + 7)},
    )
    cell["generator"] |= {"version": evil(index + 8), "reference": evil(index + 9)}
    cell["suite"] |= {"name": evil(0), "version": evil(2)}
    fields: dict[str, Any] = {
        "metrics": {
            "fid": metric("fid", 10.0 + index, seed),
            evil(2): MetricValue("ok", 1.0 + index, signature=text, details={text: text}),
            f"kid@{evil(0)}": MetricValue("failed", reason=text, signature=text),
            "nll": metric("nll", 2.0 + index / 9, seed, unit=text),
            "fid_per_class": replace(
                metric("fid_per_class", 3.0, seed), details={"by_class": {text: 1.0, "1": text}}
            ),
            **{
                key: MetricValue("ok", 1.0, signature=text, details=_details(body, text, index))
                for key, body in _DOWNSTREAM.items()
            },
        },
        "course": _course(text, index),
        "curves": {text: {"examples": [1, 2, 3], "value": [1.0, 2.0, 3.0]}, "bad": text},
        "timing": {
            "fit_core_s": text if index == 4 else 10.0 + index,
            "fit_s": text,
            "sample_core_s": text,
        },
        "resources": {
            "peak_rss_bytes": text,
            "card_peak_bytes": text,
            "parameters": text,
            text: text,
        },
        "environment": {text: text, "device_name": text},
        "source": {"argv": [text]},
        "times": {text: text, "finished": text},
        "artifacts": _artifacts(home, text),
    }
    if seed == 1 and index % 3 == 0:
        fields |= {
            "status": "failed",
            "error": {"phase": text, "type": text, "message": text, "traceback": text * 2,
                      "log_tail": text},
        }  # fmt: skip
    return Entry(record(f"../../{text}{seed}", cell, **fields), home)


def _course(text: str, index: int) -> dict[str, Any]:
    """A course that is drawn with words of its own, of a form that is none, or only a reason."""
    points = [{"examples": n, "fid": 9.0, "recall": text, "missed": [n]} for n in (10, 20)]
    lost = {"5": text, text: text}
    if index % 3 == 0:
        return {"status": "ok", "rows": 10, "points": points, "lost": lost, "floor": {text: text}}
    if index % 3 == 1:
        return {"status": text, "reason": text, "points": points}
    return dict.fromkeys(("status", "rows", "points", "lost", "floor", "reason"), text)


_DOWNSTREAM = {"augmentation_gain": CURVE, "imbalance_recall": RARE, "robust_accuracy": ROBUST,
               "tstr_accuracy": PRICE}  # fmt: skip


def _details(body: dict[str, Any], text: str, index: int) -> dict[str, Any]:
    """Details as this version writes them, but for words, types or numbers, in turn."""
    if index % 4 == 0:
        return {**body, text: text}  # drawn, and what is not known is passed over
    if index % 4 == 1:
        return dict.fromkeys(body, text)
    return _hostile(body, text, only="" if index % 4 == 2 else "verdict")


def _hostile(value: Any, text: str, only: str, key: str = "") -> Any:
    """`value` with every leaf replaced, or those under one key only."""
    if isinstance(value, dict):
        return {name: _hostile(item, text, only, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_hostile(item, text, only, key) for item in value]
    return text if only in ("", key) else value


def _artifacts(home: Path, text: str) -> tuple[Artifact, ...]:
    (home / "log.txt").write_bytes(f"{text}\r\n<script>window.pwned=7</script>\n".encode())
    (home / "grid.png").write_bytes(b"\x89PNG\r\n\x1a\n<script>window.pwned=8</script>")
    (home / "link.png").symlink_to("/etc/passwd")
    payload = np.empty(1, dtype=object)
    payload[0] = pickle.dumps
    np.savez(home / "points.npz", x=payload)

    def artifact(role: str, path: str, data: bytes) -> Artifact:
        return Artifact(role, path, hashlib.sha256(data).hexdigest(), len(data))

    return (
        artifact("log", "log.txt", (home / "log.txt").read_bytes()),
        artifact("grid", "grid.png", (home / "grid.png").read_bytes()),
        artifact("real", "link.png", b"x"),
        artifact("neighbours", "../../../../etc/passwd", b"x"),
        artifact(text, text, b"x"),
    )
