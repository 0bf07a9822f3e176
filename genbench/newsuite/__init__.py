"""A suite from a user's own data: splits without leaks, checksums, an extractor, a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data import SplitName, load_split
from genbench.errors import DataError, GenbenchError, UsageError
from genbench.features import IDENTITY, INCEPTION, load_extractor
from genbench.generator import Space
from genbench.newsuite.extractor import train_for
from genbench.newsuite.sources import Source, csv_source, image_source, npz_source
from genbench.newsuite.text import Extractor, suite_text
from genbench.store import write_bytes
from genbench.suite import load_suite, profiles_of
from genbench.suite_format import NAME

__all__ = ["TRAIN", "NewSuite", "new_suite"]

TRAIN = "train"
FEWEST = 20  # rows of a split below which hardly a metric can be computed

SHARES: dict[SplitName, tuple[float, float]] = {
    "train": (0.0, 0.8),
    "valid": (0.8, 0.9),
    "test": (0.9, 1.0),
}


@dataclass(frozen=True, slots=True)
class NewSuite:
    """What was written.

    Parameters
    ----------
    files
        Every file written, the suite itself first.
    rows
        Rows of each split.
    notes
        What the author should know: copies, skipped files, labels.
    """

    files: tuple[Path, ...]
    rows: dict[str, int]
    notes: tuple[str, ...]


def new_suite(
    name: str,
    *,
    images: Path | None = None,
    npz: Path | None = None,
    csv: Path | None = None,
    folder: Path = Path(),
    extractor: str | None = None,
    skip_bad: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> NewSuite:
    """Write ``NAME.toml`` and what it needs into `folder`; the data stay where they are.

    Parameters
    ----------
    name
        The suite's name: lower case, digits and ``-``.
    images, npz, csv
        One of: a folder of images of one size (labelled by the folders they lie in), an ``.npz``
        with ``x`` and perhaps ``y``, a CSV of points.
    extractor
        ``train`` trains a classifier on the train split and saves it; otherwise the name of an
        extractor. By default ``train`` for labelled images, Inception for others, none for points.
    skip_bad
        Leave bad image files out instead of naming them and stopping.

    Raises
    ------
    UsageError
        For a name that cannot be used or is taken, or not exactly one source.
    DataError
        If the data cannot be read, or are too few.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"suite name {name!r} is not usable: use lower case, digits and -")
    if sum(source is not None for source in (images, npz, csv)) != 1:
        raise UsageError("give exactly one of --images DIR, --npz FILE and --csv FILE")
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} is there already: choose another name, or remove it")
    if images is not None:
        source = image_source(name, images, folder, skip_bad=skip_bad)
    elif npz is not None:
        source = npz_source(name, npz, folder)
    else:
        source = csv_source(name, Path(str(csv)), folder)
    for file, data in source.files.items():
        write_bytes(folder / file, data)
    written = [path, *(folder / file for file in source.files)]
    try:
        return _with_extractor(path, source, extractor, written, say)
    except BaseException:
        for leftover in written:
            leftover.unlink(missing_ok=True)
        raise


def _with_extractor(
    path: Path,
    source: Source,
    asked: str | None,
    written: list[Path],
    say: Callable[[str], None],
) -> NewSuite:
    dataset = {**source.dataset, "root": str(path.parent.resolve())}
    dataset["split"] = {
        name: {"file": source.role, "share": list(share)} for name, share in SHARES.items()
    }
    counts = {name: _counts(dataset, source.space, name) for name in SHARES}
    rows = {name: int(n.sum()) for name, n in counts.items()}
    few = [f"{name} {n}" for name, n in rows.items() if n < FEWEST]
    if few:
        raise DataError(
            f"{sum(rows.values())} rows are too few: the splits would hold {', '.join(few)} rows, "
            f"at least {FEWEST} are needed in each (about {10 * FEWEST + 100} rows in all)"
        )
    chosen = asked or _default(source.space)
    own = None
    if chosen == TRAIN:
        own = train_for(path.stem, dataset, source.space, say)
        weights = path.parent / own.file
        write_bytes(weights, own.data)
        written.append(weights)
    else:
        _require(chosen, source.space)
    found = Extractor(chosen, None) if own is None else Extractor(own.name, own)
    write_bytes(
        path,
        suite_text(path.stem, source, dataset["split"], rows, found, _dropped(counts)).encode(),
    )
    for profile in profiles_of(str(path)):
        load_suite(str(path), profile)
    notes = [*source.notes, *_absent(counts, source.dataset.get("class_names", ()))]
    if Path(str(dataset.get("folder", ""))).is_absolute():
        notes.append(f"the suite names its data by {dataset['folder']}: to share it, put them here")
    return NewSuite(tuple(written), {str(k): n for k, n in rows.items()}, tuple(notes))


def _counts(dataset: Mapping[str, Any], space: Space, split: SplitName) -> NDArray[np.int64]:
    """Rows of each class in a split; all of them as one where there are no labels."""
    found = load_split(dataset, space, split)
    if found.y is None:
        return np.array([len(found.x)])
    return np.bincount(found.y, minlength=space.classes)


def _dropped(counts: Mapping[SplitName, NDArray[np.int64]]) -> int:
    """The first class that ``mode-dropped``, drawn of the valid split, can be seen to miss."""
    return int(np.argmax((counts["valid"] > 0) & (counts["test"] > 0)))


def _absent(
    counts: Mapping[SplitName, NDArray[np.int64]], classes: Sequence[str]
) -> tuple[str, ...]:
    """What to tell of splits that have no row of a class."""
    return tuple(
        f"class {name!r} has no row in the {split} split: it has too few"
        for split, n in counts.items()
        for name, rows in zip(classes, n, strict=False)
        if not rows
    )


def _default(space: Space) -> str:
    if space.kind == "points":
        return IDENTITY
    return TRAIN if space.classes >= 2 else INCEPTION


def _require(name: str, space: Space) -> None:
    """Find out now, and not in the middle of a run, that an extractor cannot be used."""
    try:
        load_extractor(name, space)
    except GenbenchError as error:
        ways = (
            f"choose another with --extractor ({TRAIN} needs images with labels, in class folders)"
        )
        raise type(error)(f"{error}; or {ways}") from error
