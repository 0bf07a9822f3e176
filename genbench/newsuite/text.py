"""The TOML text of a new suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench.generator import Space
from genbench.newsuite.extractor import OwnExtractor
from genbench.newsuite.sources import Source

MOST_SAMPLES = 10_000
NLL_ROWS = 10_000
TIGHT_ROWS, TIGHT_DRAWS = 500, 64

_ALWAYS = ("fid", "fid_infinity", "kid", "precision", "recall", "density", "coverage")
_IMAGES = ("vendi",)
_LABELLED = ("fid_per_class", "classifier_score")
_TRANSPORT = ("emd", "sliced_wasserstein")
_COPIES = ("c2st", "c_t", "authenticity")


@dataclass(frozen=True, slots=True)
class Extractor:
    """The extractor's name, and the classifier itself where it was trained for the suite."""

    name: str
    own: OwnExtractor | None


def suite_text(
    name: str,
    source: Source,
    split: Mapping[str, Mapping[str, Any]],
    rows: Mapping[Any, int],
    extractor: Extractor,
    dropped: int = 0,
) -> str:
    """A suite of these data: three profiles, budgets by the size of the train split.

    Parameters
    ----------
    rows
        Rows of each split.
    dropped
        The class that the control ``mode-dropped`` leaves out.
    """
    space = source.space
    n_samples = min(MOST_SAMPLES, rows["valid"], rows["test"])
    epochs = 100 if space.kind == "image" else 20
    budget = max(10_000, min(300_000, epochs * rows["train"]))
    parts = [
        "# Written by `genbench new suite`. Every field is explained in suites/README.md.",
        _table("", {"schema": 1}),
        _table("suite", {
            "name": name,
            "version": "1.0.0",
            "title": name,
            "description": f"{sum(rows.values())} rows of {_told(space)}.",
            "primary": "fid" if space.kind == "image" else "emd",
        }),
        *_dataset(source, split),
        _table("protocol", {
            "n_samples": n_samples,
            "seeds": [0],
            "reference": "test",
            "extractor": extractor.name,
            "sample_chunk": 1000,
        }),
        _table("budget", {"examples": budget}),
        *_extractor(extractor.own),
        *_metrics(space, rows["test"]),
        *_controls(space, dropped),
        *_downstream(space, n_samples),
        *_profiles(space, n_samples, budget),
    ]  # fmt: skip
    return "\n".join(parts)


def _dataset(source: Source, split: Mapping[str, Mapping[str, Any]]) -> list[str]:
    body = {k: v for k, v in source.dataset.items() if k not in ("files", "class_names")}
    body["licence"] = "not stated: write the licence of your data here"
    if source.dataset.get("class_names"):
        body["class_names"] = source.dataset["class_names"]
    space: dict[str, Any] = {"kind": source.space.kind, "shape": list(source.space.shape)}
    if source.space.levels:
        space |= {"levels": source.space.levels, "classes": source.space.classes}
    return [
        _table("dataset", body),
        _table("dataset.space", space),
        *(_table("dataset.files", entry, array=True) for entry in source.dataset["files"]),
        "# Shares of the rows by the digest of their content: equal rows are in one split.",
        _table("dataset.split", split),
    ]


def _extractor(own: OwnExtractor | None) -> list[str]:
    if own is None:
        return []
    body = {
        "name": own.name,
        "version": own.version,
        "path": own.file,
        "sha256": own.sha256,
        "channels": list(own.channels),
        "accuracy": own.accuracy,
        "trained_on": own.trained_on,
    }
    return [_table("extractors", body, array=True)]


def _metrics(space: Space, n_test: int) -> list[str]:
    ids = list(_ALWAYS)
    if space.kind == "image":
        ids += [*(_LABELLED if space.classes else ()), *_IMAGES]
    found = [_table("metrics", {"id": i}, array=True) for i in (*ids, *_TRANSPORT)]
    nll = {"id": "nll", "rows": min(NLL_ROWS, n_test), "draws": 1}
    tight = {"id": "nll_tight", "rows": min(TIGHT_ROWS, n_test), "draws": TIGHT_DRAWS}
    found += [_table("metrics", body, array=True) for body in (nll, tight)]
    return [*found, *(_table("metrics", {"id": i}, array=True) for i in _COPIES)]


def _controls(space: Space, dropped: int) -> list[str]:
    names = ["heldout", "train-copy", "gaussian", "noise"]
    if not space.classes:
        return [_table("controls", {"names": names})]
    return [_table("controls", {"names": [*names, "mode-dropped"], "dropped_class": dropped})]


def _downstream(space: Space, n: int) -> list[str]:
    if space.classes < 2 or min(space.shape[1:]) < 8:
        return []
    return [_table("downstream.tstr", {"n": n, "steps": 500, "batch_size": 64})]


def _profiles(space: Space, n_samples: int, budget: int) -> list[str]:
    parts = [
        _table("profiles.smoke.protocol", {"n_samples": min(1000, n_samples)}),
        _table("profiles.smoke.budget", {"examples": 5000}),
    ]
    if _downstream(space, n_samples):
        small = {"n": min(1000, n_samples), "steps": 60}
        parts.append(_table("profiles.smoke.downstream.tstr", small))
    return [*parts, _table("profiles.full.budget", {"examples": 10 * budget})]


def _told(space: Space) -> str:
    if space.kind == "points":
        return f"{space.shape[0]} numbers"
    channels, height, width = space.shape
    colour = "grey" if channels == 1 else "colour"
    classes = f", {space.classes} classes" if space.classes else ", no labels"
    return f"{colour} images of {width} x {height} pixels{classes}"


def _table(name: str, body: Mapping[str, Any], *, array: bool = False) -> str:
    head = [f"[[{name}]]" if array else f"[{name}]"] if name else []
    return "\n".join([*head, *(f"{key} = {_value(v)}" for key, v in body.items()), ""])


def _value(value: Any) -> str:
    """A value as TOML; its strings, numbers and lists are written as JSON writes them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
