"""Sample texts of a cell: generated rows, each beside its nearest training row, and real rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.data import Split
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.metrics import nearest_texts, random_rows
from genbench.system import write_bytes

Array = npt.NDArray[Any]

ROWS = 42  # in all; as many of each class


def write_texts(
    folder: Path, space: Space, samples: Mapping[str, Array], real: Split, train: Split,
    words: Vocabulary, alike: Callable[[Array], Array | None],
) -> dict[str, str]:  # fmt: skip
    """Write ``texts.json`` and ``real-texts.json`` into `folder`; returns role -> file name.

    Each holds unselected texts with their classes and, of the generated ones, the training rows
    nearest by edit distance and, as `alike` tells of rows, in features; and how many of all rows
    have each length in characters.
    """
    known = list(dict.fromkeys(words.decode(train.x)))
    for role, x, y in (
        ("texts", samples["x"], samples.get("y")), ("real-texts", real.x, real.y)
    ):  # fmt: skip
        rows = _chosen(len(x), y, space.classes)
        texts = words.decode(x[rows])
        shown: list[dict[str, Any]] = [{"text": text} for text in texts]
        if y is not None:
            for one, label in zip(shown, y[rows].tolist(), strict=True):
                one["label"] = label
        if role == "texts":
            near = nearest_texts(texts, known)
            for one, index, far in zip(shown, near.index, near.distance, strict=True):
                one |= {"nearest": known[index], "distance": round(float(far), 4)}
            if (found := alike(x[rows])) is not None:
                for one, text in zip(shown, words.decode(found), strict=True):
                    one["alike"] = text
        lengths = np.bincount(words.characters(x)).tolist()
        body = json.dumps({"texts": shown, "lengths": lengths}, ensure_ascii=False)
        write_bytes(folder / f"{role}.json", body.encode("utf-8", "replace") + b"\n")
    return {role: f"{role}.json" for role in ("texts", "real-texts")}


def _chosen(n: int, y: Array | None, classes: int) -> npt.NDArray[np.int64]:
    """Rows in a random order, for files are sorted; as many of each class where there are some."""
    order = random_rows(n, n, seed=0)
    if y is None or not classes:
        return order[:ROWS]
    each = max(1, ROWS // classes)
    return np.concatenate([order[y[order] == c][:each] for c in range(min(classes, ROWS))])
