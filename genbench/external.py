"""Samples made elsewhere, as a row of the leaderboard."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.arrayfile import READ_ERRORS
from genbench.cellspec import GeneratorChoice
from genbench.errors import DataError
from genbench.generation import label_violation, save_arrays
from genbench.generator import Space
from genbench.plugins import Description, GeneratorRef
from genbench.seeds import derive_seed
from genbench.store import CACHE, Store
from genbench.suite import Suite

FAMILY = "scored"
MAX_BYTES = 8 << 30

Array = npt.NDArray[Any]


def stage(file: Path, suite: Suite, name: str | None, store: Store) -> GeneratorChoice:
    """Check a samples file, keep what will be scored of it, and return the row it makes.

    Parameters
    ----------
    file
        ``.npz`` with ``x`` and, if labelled, ``y``; or ``.npy`` with the rows alone.
    name
        The row's name; any text, made into a name.

    Raises
    ------
    DataError
        If the file cannot be read, or its rows are not of the suite's space.
    """
    x, y = _read(file)
    x = _shaped(file, x, suite.space)
    _check(file, x, y, suite.space)
    total = len(x)
    if total > suite.n_samples:
        seed = derive_seed(0, "subset", suite.task_hash)
        rows = np.sort(np.random.default_rng(seed).permutation(total)[: suite.n_samples])
        x, y = x[rows], None if y is None else y[rows]
    key = hashlib.sha256(np.ascontiguousarray(x).data)
    if y is not None:
        key.update(np.ascontiguousarray(y).data)
    source = key.hexdigest()
    arrays = {"x": x} if y is None else {"x": x, "y": y}
    save_arrays(samples_path(store.root / CACHE, source), arrays)
    title = _slug(name or file.stem)
    description = Description(
        name=title,
        version="1",
        family=FAMILY,
        kinds=(suite.space.kind,),
        labels="own" if y is not None else "none",
        likelihood=None,
        reference="",
        pretrained_on="unknown: samples made outside genbench",
        summary=f"{total} samples scored from {file.name}",
        source=source,
        parameters=(),
    )
    return GeneratorChoice(GeneratorRef(title, "", "samples from outside"), description, {})


def samples_path(cache: Path, source: str) -> Path:
    """Where staged samples with this digest are kept."""
    return cache / "external" / f"{source}.npz"


def _read(file: Path) -> tuple[Array, Array | None]:
    try:
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False), None
        if file.suffix != ".npz":
            raise DataError(
                f"{file.name}: {file.suffix or 'no suffix'} is not read: use .npz or .npy"
            )
        with zipfile.ZipFile(file) as archive:
            size = sum(i.file_size for i in archive.infolist())
            if size > MAX_BYTES:
                raise DataError(f"{file.name} unpacks to {size} bytes, over {MAX_BYTES}")
        with np.load(file, allow_pickle=False) as stored:
            if "x" not in stored.files:
                names = ", ".join(stored.files) or "nothing"
                raise DataError(f"{file.name} has no array 'x' (it holds {names}): name it x")
            return stored["x"], stored["y"] if "y" in stored.files else None
    except READ_ERRORS as error:
        raise DataError(f"cannot read {file.name} as arrays without pickle: {error}") from error


def _shaped(file: Path, x: Array, space: Space) -> Array:
    """Grey images may come without their channel axis."""
    if space.kind == "image" and space.shape[0] == 1 and x.shape[1:] == space.shape[1:]:
        return x[:, None]
    if space.kind == "points" and x.dtype == np.float64:
        return x.astype(np.float32)
    return x


def _check(file: Path, x: Array, y: Array | None, space: Space) -> None:
    import torch

    if len(x) < 2 or x.dtype.hasobject:
        raise DataError(f"{file.name} holds {len(x)} rows of {x.dtype}: at least 2 rows of numbers")
    problem = None
    try:
        problem = space.violation(torch.from_numpy(x), len(x))
    except TypeError as error:
        problem = f"has a dtype that is no tensor's ({error})"
    if problem is not None:
        raise DataError(f"{file.name}: array x {problem}")
    if y is None:
        return
    if not space.classes:
        raise DataError(f"{file.name} has labels, the suite has no classes: leave y out")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{file.name}: array y is {y.dtype}, expected int64 labels")
    problem = label_violation(torch.from_numpy(y.astype(np.int64)), len(x), space.classes)
    if problem is not None:
        raise DataError(f"{file.name}: array y {problem}")


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
    return slug or "samples"
