"""The files of the suites of texts, made of what others published.

``python -m genbench.suites.make_texts names FOLDER OUT`` makes ``names.tsv`` and its vocabulary of
`FOLDER`'s ``male.txt`` and ``female.txt``; with ``snips`` the vocabulary of 1,500 byte pairs,
learnt from the train split alone (which takes the package tokenizers); with ``features`` the
features of a suite called `FOLDER`, and its entry in ``extractors.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genbench.data import load_split, vocabulary_of
from genbench.data.snips import utterances
from genbench.data.texts import share_of
from genbench.features.texts import fit_texts
from genbench.formats import Vocabulary, train_byte_pairs
from genbench.tasks import load_suite

BYTE_PAIRS = 1500


def names(folder: Path, out: Path) -> None:
    """One line for each name and class, in alphabetical order; a name of both lists has two."""
    rows = set()
    for label in ("female", "male"):
        lines = (folder / f"{label}.txt").read_text("utf-8").split("\n")
        rows |= {(line, label) for line in lines if line}
    table = "".join(f"{text}\t{label}\n" for text, label in sorted(rows))
    (out / "names.tsv").write_text(table, "utf-8")
    characters = Vocabulary.of_characters(text for text, _ in rows)
    (out / "vocabulary.json").write_bytes(characters.to_json())


def snips(folder: Path, out: Path) -> None:
    """The byte pairs of the train split of the published files in `folder`."""
    dataset = {**load_suite("snips").dataset, "folder": str(folder.resolve())}
    plain = Vocabulary("characters", ("", "\ufffd"), (), lower=True)
    texts, _ = utterances(dataset, plain, "train")
    part = share_of(dataset, "train", texts)
    found = train_byte_pairs([texts[i] for i in part], BYTE_PAIRS, lower=True)
    (out / "vocabulary.json").write_bytes(found.to_json())


def features(suite: str, out: Path) -> None:
    """The weights of a suite's features, and their entry in ``extractors.json``."""
    found = load_suite(suite)
    words = vocabulary_of(found.dataset)
    assert words is not None, "a suite of texts"
    train = load_split(found.dataset, found.space, "train")
    said = f"{suite}, the {len(train.x):,} rows of the train split"
    info, data = fit_texts(f"{suite}-tfidf", train.x, found.space, words, said)
    (out / info.file).write_bytes(data)
    path = out / "extractors.json"
    table: dict[str, Mapping[str, Any]] = json.loads(path.read_text("utf-8"))
    entry = asdict(info) | {"licence": "Apache-2.0"}
    table[info.name] = {key: value for key, value in entry.items() if key != "name"}
    path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", "utf-8")


def main() -> None:
    """Make what the command line names."""
    parser = argparse.ArgumentParser(description="Make the files of the suites of texts.")
    parser.add_argument("what", choices=["names", "snips", "features"])
    parser.add_argument("source", help="folder of the published files, or a suite's name")
    parser.add_argument("out", type=Path, help="folder to write into")
    asked = parser.parse_args()
    if asked.what == "features":
        features(asked.source, asked.out)
    else:
        {"names": names, "snips": snips}[asked.what](Path(asked.source), asked.out)


if __name__ == "__main__":
    main()
