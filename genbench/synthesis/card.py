"""The descriptions beside the rows: a data card for people, Croissant 1.0 for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench import kinds
from genbench.formats import ARRAYS, IMAGES, SOUNDS, TEXTS
from genbench.metrics import METRICS, plain_name
from genbench.results import Record, summarize
from genbench.tasks import Suite


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that a reader must know about a data set.

    Parameters
    ----------
    counts
        Rows by split and class (class ``-`` where rows have no label).
    removed
        Rows drawn and not kept, by reason.
    near
        The pixel distance of a near copy, or None if near copies were not looked for.
    confidence
        Least classifier confidence, or None.
    classifier
        What judged the confidence.
    evidence
        What the augmentation curve says at this size, or None if it was not measured.
    """

    suite: Suite
    record: Record
    n: int
    seed: int
    balance: bool
    counts: Mapping[str, Mapping[str, int]]
    drawn: int
    removed: Mapping[str, int]
    near: float | None
    confidence: float | None
    classifier: str
    evidence: str | None
    sha256: str
    arrays_sha256: str
    arrays_bytes: int

    @property
    def version(self) -> str:
        """A version that the content decides."""
        return f"1.0.0+{self.sha256[:12]}"

    @property
    def name(self) -> str:
        """Such as ``mnist-by-vae``."""
        return f"{self.suite.name}-by-{self.record.generator}"

    @property
    def files(self) -> str:
        """The folder of its rows' files, which is named after them: `IMAGES`, `SOUNDS`, `TEXTS`."""
        return str(kinds.of(self.suite.space.kind).synthesised_as)

    @property
    def near_in_words(self) -> str:
        """The distance of a near copy with its unit."""
        if self.files == TEXTS:
            return f"{self.near:.2f} edits for each character of the longer text"
        if self.files == SOUNDS:
            return f"{self.near:.2f} dB (root mean square over spectrograms)"
        return f"{self.near:.1f} grey levels"

    @property
    def licence(self) -> str:
        """The training data's licence."""
        return str(self.suite.document["dataset"]["licence"])


def readme(p: Provenance) -> str:
    """The data card, Markdown."""
    dataset, generator = p.suite.document["dataset"], p.record.cell["generator"]
    credit = f" Training data: {dataset['credit']}." if dataset.get("credit") else ""
    parts = [
        f"# {p.name}",
        f"{p.n:,} synthetic rows drawn from the generator `{generator['name']}`"
        f" {generator['version']} ({generator['provider']}), trained by genbench on the train"
        f" split of suite `{p.suite.name}` {p.suite.version}, profile `{p.suite.profile}`, seed"
        f" {p.record.seed}. No row is real.",
        _table(("", ""), [
            ("version", f"`{p.version}`"),
            ("content", f"`sha256:{p.sha256}`"),
            ("training record", f"`{p.record.record_id}`, cell `{p.record.cell_key}`"),
            ("training examples served", f"{p.record.examples_served:,}"),
            ("parameters", f"`{dict(generator['params'])}`"),
            ("drawing seed", str(p.seed)),
        ]),
        "## Rows",
        _table(("split", "class", "rows"), [
            (split, name, f"{count:,}")
            for split, classes in p.counts.items() for name, count in classes.items()
        ]),
        "The classes are balanced." if p.balance else "Classes are in the training proportions"
        " where the generator can be asked for them, else as it drew them.",
        _files(p),
        "## What was left out, and why",
        f"{p.drawn:,} rows were drawn for {p.n:,}.",
        _table(("reason", "rows"), [(k, f"{v:,}") for k, v in p.removed.items()]),
        _rules(p),
        "## Does it help?",
        p.evidence or "Not measured: run the suite with its downstream part.",
        "That figure is of generators that were fitted on few real rows and nothing else; this"
        " generator saw the whole train split.",
        "## The generator's scores",
        _table(("metric", "value", "95 % interval"), _scores(p.record)),
        f"Measured by genbench on {p.suite.n_samples:,} other samples of the same generator against"
        f" the {p.suite.document['protocol']['reference']} split.",
        "## Licence",
        f"The generator learned from `{dataset['name']}`, licence: {p.licence}.{credit} Treat these"
        " rows as an adaptation of it unless you know better.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _files(p: Provenance) -> str:
    levels = p.suite.space.levels
    if p.files == SOUNDS:
        return (
            f"`{ARRAYS}` holds `x_SPLIT` (float32, n x samples, {p.suite.space.rate:,} Hz, steps of"
            f" 1/32768) and `y_SPLIT`; `{SOUNDS}/SPLIT/CLASS/` the same rows as wav files of 16"
            " bits."
        )
    if p.files == TEXTS:
        return (
            f"`{TEXTS}/SPLIT.jsonl` holds a text and its label a line; `{ARRAYS}` the same rows as"
            f" token ids, `x_SPLIT` (int64, n x length, {levels} tokens), and `y_SPLIT`."
        )
    return (
        f"`{ARRAYS}` holds `x_SPLIT` (uint8, n x channels x height x width,"
        f" {levels} levels) and `y_SPLIT`; `{IMAGES}/SPLIT/CLASS/` the same rows as"
        " PNG, stretched to 0..255."
    )


def _rules(p: Provenance) -> str:
    rules = ["Exact copies of training rows and repeated rows are always left out."]
    if p.near is not None:
        far = p.near_in_words + (" (Euclidean, all pixels)" if p.files == IMAGES else "")
        rules.append(
            f"Near copies are rows within {far} of a training row: only 1 % of the held-out real"
            " rows lie that near."
        )
    else:
        rules.append("Near copies were not looked for.")
    if p.confidence is not None:
        rules.append(f"Labels: {p.classifier} gives each row's label at least {p.confidence:g}.")
    return " ".join(rules)


def _scores(record: Record) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for id_ in record.metrics:
        info = METRICS.get(plain_name(id_))
        if info is None:
            continue
        found = summarize([record], id_)
        if found.mean is None:
            continue
        unit = f" {found.unit}" if found.unit else ""
        interval = found.interval
        spread = f"{interval.low:.4g} to {interval.high:.4g}" if interval else "unknown"
        rows.append((info.title, f"{found.mean:.4g}{unit}", spread))
    return rows


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def croissant(p: Provenance) -> dict[str, Any]:
    """The data set's metadata in Croissant 1.0 (https://docs.mlcommons.org/croissant)."""
    labelled = any(name != "-" for classes in p.counts.values() for name in classes)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": p.name,
        "description": f"{p.n:,} synthetic rows of {p.record.generator}, trained on "
        f"{p.suite.document['dataset']['name']} by genbench. No row is real.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": p.licence,
        "url": "https://pypi.org/project/genbench/",
        "version": p.version,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "arrays",
                "name": "arrays",
                "contentUrl": ARRAYS,
                "encodingFormat": "application/octet-stream",
                "contentSize": f"{p.arrays_bytes} B",
                "sha256": p.arrays_sha256,
            },
            _file_set(p.files, *_FORMS[p.files]),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "examples",
                "name": "examples",
                "field": _text_fields(labelled) if p.files == TEXTS else _fields(labelled, p.files),
            }
        ],
    }


_FORMS = {  # of each folder: the media type of its files, and where they lie
    IMAGES: ("image/png", f"{IMAGES}/*/*/*.png"),
    SOUNDS: ("audio/wav", f"{SOUNDS}/*/*/*.wav"),
    TEXTS: ("application/jsonlines", f"{TEXTS}/*.jsonl"),
}


def _file_set(name: str, form: str, files: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": form, "includes": files,
    }  # fmt: skip


def _text_fields(labelled: bool) -> list[dict[str, Any]]:
    return [
        {"@type": "cr:Field", "@id": f"examples/{name}", "name": name, "dataType": "sc:Text",
         "source": {"fileSet": {"@id": TEXTS}, "extract": {"column": name}}}
        for name in (["text", "label"] if labelled else ["text"])
    ]  # fmt: skip


def _fields(labelled: bool, folder: str) -> list[dict[str, Any]]:
    """Of files in ``SPLIT/CLASS``, whose classes are numbers for images and names for sounds."""
    files = {"fileSet": {"@id": folder}}

    def field(name: str, kind: str, extract: str, regex: str | None = None) -> dict[str, Any]:
        source: dict[str, Any] = {**files, "extract": {"fileProperty": extract}}
        if regex is not None:
            source["transform"] = {"regex": regex}
        return {"@type": "cr:Field", "@id": f"examples/{name}", "name": name, "dataType": kind,
                "source": source}  # fmt: skip

    content = field("image", "sc:ImageObject", "content")
    label = field("label", "sc:Integer", "fullpath", f"{IMAGES}/[^/]+/([0-9]+)/")
    if folder == SOUNDS:
        content = field("audio", "sc:AudioObject", "content")
        label = field("label", "sc:Text", "fullpath", f"{SOUNDS}/[^/]+/([^/]+)/")
    split = field("split", "sc:Text", "fullpath", f"{folder}/([^/]+)/")
    return [content, split, *([label] if labelled else [])]


_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {
    name: f"cr:{name}"
    for name in (
        "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
        "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
        "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
        "separator", "source", "subField", "transform",
    )
}  # fmt: skip
