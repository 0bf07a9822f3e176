"""The TOML text of a new suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench import kinds
from genbench.features import IDENTITY, STANDARDISED
from genbench.generator import Space
from genbench.kinds import Draft
from genbench.metrics import METRICS
from genbench.tasks.course import LEAST_ROWS, ROWS
from genbench.tasks.new.sources import Source

MOST_SAMPLES = 10_000
NLL_ROWS = 10_000
CHUNK, LONG_CHUNK = 1000, 250  # rows asked for in one call
TIGHT_ROWS, TIGHT_DRAWS = 500, 64

WORDS = "words"
COURSE = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)

_ALWAYS = ("fid", "fid_infinity", "kid", "precision", "recall", "density", "coverage")
_TRANSPORT = ("emd", "sliced_wasserstein")
_COPIES = ("c2st", "c_t", "authenticity")


@dataclass(frozen=True, slots=True)
class ExtractorChoice:
    """The extractor's name, its number of features, its entry where it comes with the suite."""

    name: str
    dims: int
    table: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that the protocol has to suit: rows of each split, samples asked of each generator.

    `fewest` are the rows of the rarest class in the test split or among the samples; `dropped` is
    the class that the control ``mode-dropped`` leaves out; `copies` a sentence about test rows that
    equal training rows, or nothing.
    """

    rows: Mapping[Any, int]
    n_samples: int
    fewest: int
    dropped: int = 0
    copies: str = ""

    def compared(self, n_samples: int) -> int:
        """Rows of the smaller of the two sets that metrics compare."""
        return min(n_samples, self.rows["test"])


def suite_text(
    name: str, source: Source, split: Mapping[str, Any], facts: Facts, extractor: ExtractorChoice
) -> str:
    """A suite of these data: three profiles, budgets by the size of the train split."""
    space, n_samples = source.space, facts.n_samples
    draft = _draft(space)
    budget = max(10_000, min(300_000, draft.epochs * facts.rows["train"]))
    described = f"{sum(facts.rows.values())} rows of {kinds.of(space.kind).described(space)}."
    parts = [
        "# Written by `genbench new suite`. Every field is explained in suites/README.md.",
        _table("", {"schema": 1}),
        _table("suite", {
            "name": name,
            "version": "1.0.0",
            "title": name,
            "description": " ".join(filter(None, (described, source.told, facts.copies))),
            "primary": draft.primary,
        }),
        *_dataset(source, split),
        _table("protocol", {
            "n_samples": n_samples,
            "seeds": [0],
            "reference": "test",
            "extractor": extractor.name,
            "sample_chunk": LONG_CHUNK if draft.long else CHUNK,
        }),
        _table("budget", {"examples": budget}),
        *([_table("extractors", extractor.table, array=True)] if extractor.table else ()),
        *_metrics("", source, facts, n_samples, extractor),
        *_controls(space, facts.dropped),
        *_downstream(space, n_samples),
        _table("course", {
            "fractions": list(COURSE),
            "rows": min(ROWS, max(LEAST_ROWS, n_samples)),
        }),
        *_profiles(source, facts, budget, extractor),
    ]  # fmt: skip
    return "\n".join(parts)


def _dataset(source: Source, split: Mapping[str, Any]) -> list[str]:
    last = ("files", "class_names", "column_names", "options")
    body = {k: v for k, v in source.dataset.items() if k not in last}
    body["licence"] = "not stated: write the licence of your data here"
    for key in ("class_names", "column_names"):
        if source.dataset.get(key):
            body[key] = source.dataset[key]
    space: dict[str, Any] = {"kind": source.space.kind, "shape": list(source.space.shape)}
    if source.space.levels:
        space |= {"levels": source.space.levels, "classes": source.space.classes}
    elif source.space.classes:
        space["classes"] = source.space.classes
    if source.space.rate:
        space["rate"] = source.space.rate
    if source.space.pad is not None:
        space["pad"] = source.space.pad
    options = source.dataset.get("options")
    return [
        _table("dataset", body),
        *([_table("dataset.options", options)] if options else ()),
        _table("dataset.space", space),
        *(_table("dataset.files", entry, array=True) for entry in source.dataset["files"]),
        "# Shares of the rows by the digest of their content. Equal rows lie together in one",
        "# split, or apart like those of a random sample.",
        _table("dataset.split", split),
    ]


def _metrics(
    where: str, source: Source, facts: Facts, n_samples: int, extractor: ExtractorChoice
) -> list[str]:
    """The metrics that can exist for so many rows, as ``[[metrics]]`` below `where`."""
    space, ids = source.space, [*_ALWAYS]
    if facts.compared(n_samples) < infinity_rows(extractor.dims):
        ids.remove("fid_infinity")
    draft = _draft(space)
    ids += [*(draft.of_labels if space.classes else ()), *draft.metrics]
    if facts.fewest < 2 and "fid_per_class" in ids:
        ids.remove("fid_per_class")
    ids += [] if draft.long else _TRANSPORT
    bodies: list[dict[str, Any]] = [{"id": i} for i in ids]
    if space.rate:
        told = {"rate": space.rate}
        bodies = [b | (told if "rate" in METRICS[b["id"]].defaults else {}) for b in bodies]
    if source.by_words:
        bodies = [b | ({"of": WORDS} if b["id"] in draft.of_words else {}) for b in bodies]
    if extractor.name == STANDARDISED:
        bodies.append({"id": f"emd@{IDENTITY}"})
    rows = facts.rows["test"]
    bodies.append({"id": "nll", "rows": min(NLL_ROWS, rows), "draws": 1})
    if not draft.long:
        bodies.append({"id": "nll_tight", "rows": min(TIGHT_ROWS, rows), "draws": TIGHT_DRAWS})
    bodies += [{"id": i} for i in (*draft.of_likelihood, *_COPIES)]
    return [_table(f"{where}metrics", body, array=True) for body in bodies]


def infinity_rows(dims: int) -> int:
    """The fewest rows of which FID infinity can be told at so many features."""
    return max(4 * dims, 15)


def _controls(space: Space, dropped: int) -> list[str]:
    made = kinds.of(space.kind).controls
    names = [name for name in made if name != "mode-dropped" or space.classes]
    told = {"dropped_class": dropped} if "mode-dropped" in names else {}
    return [_table("controls", {"names": names, **told})]


def _downstream(space: Space, n: int) -> list[str]:
    if space.classes < 2 or not kinds.of(space.kind).classifiable(space):
        return []
    return [_table("downstream.tstr", {"n": n, "steps": 500, "batch_size": 64})]


def _profiles(source: Source, facts: Facts, budget: int, extractor: ExtractorChoice) -> list[str]:
    space = source.space
    n_smoke = min(1000, facts.n_samples)
    parts = [
        _table("profiles.smoke.protocol", {"n_samples": n_smoke}),
        _table("profiles.smoke.budget", {"examples": 5000}),
        _table("profiles.smoke.course", {"fractions": []}),
    ]
    least = infinity_rows(extractor.dims)
    if facts.compared(n_smoke) < least <= facts.compared(facts.n_samples):
        parts += _metrics("profiles.smoke.", source, facts, n_smoke, extractor)
    if _downstream(space, facts.n_samples):
        parts.append(_table("profiles.smoke.downstream.tstr", {"n": n_smoke, "steps": 60}))
    return [*parts, _table("profiles.full.budget", {"examples": 10 * budget})]


def _draft(space: Space) -> Draft:
    draft = kinds.of(space.kind).draft
    assert draft is not None, "sources are of kinds that have one"
    return draft


def _table(name: str, body: Mapping[str, Any], *, array: bool = False) -> str:
    head = [f"[[{name}]]" if array else f"[{name}]"] if name else []
    return "\n".join([*head, *(f"{key} = {_value(v)}" for key, v in body.items()), ""])


def _value(value: Any) -> str:
    """A value as TOML; its strings, numbers and lists are written as JSON writes them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
