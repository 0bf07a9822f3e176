"""Rows to score, drawn from a file of ``genbench export`` as a run would draw them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.adapters import ExportHeader, read_header, require_onnxruntime
from genbench.data import load_split, sources
from genbench.errors import DataError, UsageError
from genbench.plugins import Staged, requested_labels, stage
from genbench.results import Store
from genbench.running import Access
from genbench.seeds import derive_seed
from genbench.synthesis.sampling import ExportedGenerator
from genbench.tasks import Suite

Array = NDArray[Any]


def stage_drawn(
    given: Any, suite: Suite, name: str | None, store: Store, labels: Path | None
) -> Staged | None:
    """The row that a file of ``genbench export`` makes; None if `given` is no such file.

    As many rows as the suite asks for are drawn, with the seed, labels and chunks of a run: from
    a state those that the run drew, from a sampler others of the same model.

    Raises
    ------
    DataError
        If the file makes rows of another space, or is an ONNX file of other origin.
    UsageError
        If `labels` are given: they are asked for.
    PluginError
        If the format needs a package that is not there.
    ContractError
        If the rows cannot be drawn.
    """
    if not isinstance(given, Path) or (header := _header(given)) is None:
        return None
    if labels is not None:
        raise UsageError(f"{given.name} is drawn from by class: leave --labels out")
    rows = _drawn(given, header, suite, store)
    staged = stage((rows["x"], _named(rows.get("y"), suite)), suite, name or given.stem, store)
    origin = f"{header.generator} of {header.suite} {header.profile}, seed {header.seed}"
    note = f"{suite.n_samples:,} rows drawn from {given.name}: {origin}, its {header.module}"
    return replace(staged, notes=(note, *staged.notes))


def _header(file: Path) -> ExportHeader | None:
    header = read_header(file)
    if header is None and file.suffix.lower() == ".onnx":
        raise DataError(
            f"{file.name} was not written by genbench export: put it into a plugin file with "
            "genbench.adapters.onnx, and run that"
        )
    return header


def _drawn(file: Path, header: ExportHeader, suite: Suite, store: Store) -> dict[str, Array]:
    if header.space != suite.space:
        theirs, ours = header.space, suite.space
        raise DataError(
            f"{file.name} was made for {header.suite}, {theirs.kind} {theirs.shape} with "
            f"{theirs.levels} levels and {theirs.classes} classes: {suite.name} holds {ours.kind} "
            f"{ours.shape} with {ours.levels} and {ours.classes}: score it against the former"
        )
    if header.format == "onnx":
        require_onnxruntime()
    seed, labels = derive_seed(header.seed, "sample"), None
    train = load_split(suite.dataset, suite.space, "train")
    if header.labels and train.y is not None:
        labels = requested_labels(train.y, suite.space.classes, suite.n_samples, seed)
    hidden = (*store.hidden(), *sources(suite.dataset))
    access = Access(store.root, hidden, readable=(file.resolve().parent,))
    source = ExportedGenerator(file, header, suite.sample_chunk, access)
    return source.sample(suite.n_samples, seed, labels)


def _named(y: Array | None, suite: Suite) -> Array | None:
    """Labels as `genbench score` reads them: the names of classes, where the suite has such."""
    names = suite.document["dataset"].get("class_names", ())
    return y if y is None or not names else np.array([str(name) for name in names])[y]
