"""A user's own batches in one of CIFAR's layouts, looked at once and kept as one file of arrays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from genbench.data import digests, gunzipped, stated
from genbench.errors import DataError
from genbench.formats import CIFAR_SIDE, read_batches, unscaled
from genbench.generator import Space
from genbench.tasks.new.copies import find_copies
from genbench.tasks.new.sources import LEVELS, Source, file_entry


def batch_source(name: str, place: Path) -> Source:
    """A folder, tar or tar.gz of batches, python's or binary, with all its batches as one set.

    The suite has a copy of the rows, ``NAME.npz``: batches are slow to read, and a pickle is read
    by steps. Rows stand in the order of their digests, so that the first are of all classes.
    `DataError` names a batch that is broken.
    """
    found = read_batches(place, gunzipped)
    if (problem := unscaled(found.x, LEVELS)) is not None:
        raise DataError(f"{place} {problem}")
    names = digests(found.x)
    order = sorted(range(len(names)), key=lambda i: names[i][::-1])
    buffer = io.BytesIO()
    np.savez(buffer, x=found.x[order], y=found.y[order])
    file, content = f"{name}.npz", buffer.getvalue()
    labelled = len(found.classes) > 1
    dataset = {
        "name": name, "loader": "arrays", **stated("arrays"),
        **({"class_names": list(found.classes)} if labelled else {}),
        "files": [file_entry("data", file, content)],
    }  # fmt: skip
    read = f"{len(found.batches)} batches are read as one set and split anew"
    return Source(
        Space("image", (3, CIFAR_SIDE, CIFAR_SIDE), LEVELS, len(found.classes) if labelled else 0),
        dataset,
        "data",
        find_copies(names, [str(label) for label in found.y]),
        {file: content},
        (f"{read}: {', '.join(found.batches)}",),
    )
