"""A suite from a user's own data: splits, checksums, an extractor, a TOML file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from genbench import kinds
from genbench.data import COPIES, Split, SplitName, load_split, share_in, vocabulary_of
from genbench.errors import DataError, GenbenchError, UsageError
from genbench.features import STANDARDISED, load_extractor
from genbench.formats import Fitting, Layout
from genbench.system import write_bytes
from genbench.tasks.format import NAME
from genbench.tasks.new.batches import batch_source
from genbench.tasks.new.extractor import standardised_table, train_for
from genbench.tasks.new.facts import (
    absent,
    copies_note,
    count_classes,
    dropped,
    fewest,
    power,
    without_spread,
)
from genbench.tasks.new.images import image_source
from genbench.tasks.new.sounds import Hearing, sound_source
from genbench.tasks.new.sources import Source, csv_source, npz_source
from genbench.tasks.new.text import MOST_SAMPLES, ExtractorChoice, Facts, suite_text
from genbench.tasks.new.textfile import Cutting, text_extractor, text_source
from genbench.tasks.suite import load_suite, profiles_of

__all__ = ["SHARES", "TRAIN", "Cutting", "Hearing", "NewSuite", "new_suite"]

TRAIN = "train"
FEWEST = 20  # rows of a split below which hardly a metric can be computed
MOST_MOMENTS = 20_000  # columns whose moments still make a readable file

SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class NewSuite:
    """The files that were written, the suite itself first; the rows of each split.

    `notes` are what the author should know: copies, columns left out or without spread, power,
    labels.
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
    text: Path | None = None,
    cutting: Cutting | None = None,
    batches: Path | None = None,
    audio: Path | None = None,
    hearing: Hearing | None = None,
    folder: Path = Path(),
    extractor: str | None = None,
    skip_bad: bool = False,
    fitting: Fitting | None = None,
    rgb: bool = False,
    layout: Layout | None = None,
    shares: tuple[float, float, float] = SHARES,
    n_samples: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> NewSuite:
    """Write ``NAME.toml`` and what it needs into `folder`; the data stay where they are.

    Parameters
    ----------
    name
        The suite's name: lower case, digits and ``-``.
    images, npz, csv, text, batches, audio
        One of: a folder or zip of images (labelled by the folders they lie in), an ``.npz`` with
        ``x`` and perhaps ``y``, a CSV of points, a file of texts, a folder or tar of batches in one
        of CIFAR's layouts, a folder or zip of sounds (labelled like images).
    cutting
        How texts are cut into tokens; by default into characters.
    hearing
        What is done to sounds of other rates, lengths or channels: without it they are bad.
    extractor
        ``train`` trains a classifier on the train split and saves it, ``standardised`` gives the
        columns of points one scale; otherwise the name of an extractor. By default ``train`` for
        labelled images and sounds, ``efficientnet-lite0`` for other images, ``resemblyzer`` for
        other sounds, ``standardised`` for points; of texts ``train`` fits n-grams to the train
        split, and is the default.
    skip_bad
        Leave bad image and sound files out instead of naming them and stopping.
    fitting
        What is done to images of other sizes, or with transparency: without it they are bad.
    rgb
        Take every image as RGB: without it, grey ones among those in colour are bad, and the other
        way round.
    layout
        What only the owner of a CSV can tell of it.
    shares
        Of the rows that train, valid and test get; they sum to 1.
    n_samples
        Rows asked of each generator; by default as many as valid and test hold, 10,000 at most.

    Raises
    ------
    UsageError
        For a name that cannot be used or is taken, not exactly one source, shares or a number of
        samples that cannot be.
    DataError
        If the data cannot be read, or are too few.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"suite name {name!r} is not usable: use lower case, digits and -")
    if sum(source is not None for source in (images, npz, csv, text, batches, audio)) != 1:
        raise UsageError(
            "give exactly one of --images DIR, --npz FILE, --csv FILE, --text FILE, --audio DIR "
            "and --batches PLACE"
        )
    if cutting is not None and text is None:
        what = "--tokens, --vocabulary, --lower and --labels are for --text"
        raise UsageError(f"{what}: leave them out")
    if layout is not None and csv is None:
        raise UsageError("--header, --drop-column and --keep-column are for --csv: leave them out")
    if (fitting is not None or rgb) and images is None:
        raise UsageError("--resize, --fit, --background and --rgb are for --images: leave them out")
    if hearing is not None and audio is None:
        raise UsageError("--rate, --length and --mono are for --audio: leave them out")
    if min(shares) <= 0 or not math.isclose(math.fsum(shares), 1, abs_tol=1e-6):
        raise UsageError(f"shares {shares} of train, valid and test: give three that sum to 1")
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} is there already: choose another name, or remove it")
    if images is not None:
        source = image_source(
            name, images, folder, skip_bad=skip_bad, fitting=fitting or Fitting(), rgb=rgb
        )
    elif npz is not None:
        source = npz_source(name, npz, folder)
    elif text is not None:
        source = text_source(name, text, folder, cutting or Cutting(), shares)
    elif audio is not None:
        source = sound_source(name, audio, folder, skip_bad=skip_bad, hearing=hearing or Hearing())
    elif batches is not None:
        source = batch_source(name, batches)
    else:
        source = csv_source(name, Path(str(csv)), folder, layout or Layout())
    draft = _Draft(path, source, _split(source, shares), [], say)
    try:
        for file, data in source.files.items():
            draft.write(folder / file, data)
        return _finished(draft, extractor, n_samples)
    except BaseException:
        for leftover in draft.written:
            leftover.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class _Draft:
    """A suite whose data are read and whose files are being written."""

    path: Path
    source: Source
    split: Mapping[str, Any]
    written: list[Path]
    say: Callable[[str], None]

    @property
    def dataset(self) -> dict[str, Any]:
        """As `genbench.data` reads it."""
        root = str(self.path.parent.resolve())
        return {**self.source.dataset, "root": root, "split": self.split}

    def write(self, path: Path, data: bytes) -> None:
        """A file of the suite; `UsageError` if there is one: it may be somebody's."""
        if path.exists():
            raise UsageError(f"{path} is there already: choose another name, or remove it")
        self.written.append(path)
        write_bytes(path, data)


def _split(source: Source, shares: tuple[float, float, float]) -> dict[str, Any]:
    ends = [0.0, round(shares[0], 9), round(shares[0] + shares[1], 9), 1.0]
    split: dict[str, Any] = {
        name: {"file": source.role, "share": ends[i : i + 2]} for i, name in enumerate(SPLITS)
    }
    split[COPIES] = source.copies.choice(kinds.of(source.space.kind), min(shares))
    return split


def _finished(draft: _Draft, asked: str | None, n_samples: int | None) -> NewSuite:
    source, path = draft.source, draft.path
    splits = {name: load_split(draft.dataset, source.space, name) for name in SPLITS}
    rows = {name: len(part.x) for name, part in splits.items()}
    n = _n_samples(rows, n_samples)
    found = _extractor(draft, splits, asked)
    shared = share_in(splits["train"].x, splits["test"].x)
    counts = count_classes(splits, source.space)
    facts = Facts(rows, n, fewest(counts, n), dropped(counts), copies_note(shared))
    draft.write(path, suite_text(path.stem, source, draft.split, facts, found).encode())
    for profile in profiles_of(str(path)):
        load_suite(str(path), profile)
    notes = [*source.notes, *source.copies.notes(draft.split[COPIES])]
    notes += [facts.copies] if facts.copies else []
    notes += absent(counts, source.dataset.get("class_names", ()))
    if kinds.of(source.space.kind).columns:
        notes += without_spread(splits["train"].x, source.dataset.get("column_names", ()))
    notes += power(facts.compared(n))
    place = str(source.dataset.get("folder", ""))
    if Path(place).is_absolute():
        notes.append(f"the suite names its data by {place}: to share it, put them here")
    files = (path, *(file for file in draft.written if file != path))
    return NewSuite(files, {str(k): v for k, v in rows.items()}, tuple(notes))


def _n_samples(rows: Mapping[SplitName, int], asked: int | None) -> int:
    few = [f"{name} {n}" for name, n in rows.items() if n < FEWEST]
    if few:
        raise DataError(
            f"{sum(rows.values())} rows are too few: the splits would hold {', '.join(few)} rows, "
            f"at least {FEWEST} are needed in each (about {10 * FEWEST + 100} rows in all, or "
            "larger shares with --split)"
        )
    if asked is None:
        return min(MOST_SAMPLES, rows["valid"], rows["test"])
    if not FEWEST <= asked <= rows["valid"]:
        raise UsageError(
            f"{asked} samples: give {FEWEST} to {rows['valid']}, which is what the valid split "
            "holds for the control `heldout`; --split gives it more"
        )
    return asked


def _extractor(
    draft: _Draft, splits: Mapping[SplitName, Split], asked: str | None
) -> ExtractorChoice:
    """The feature space that was asked for, made where it comes with the suite."""
    space, train = draft.source.space, splits["train"].x
    kind = kinds.of(space.kind)
    chosen = asked or kind.default_extractor(space.classes)
    if chosen == STANDARDISED and kind.columns:
        if space.shape[0] > MOST_MOMENTS:
            raise UsageError(
                f"{space.shape[0]:,} columns are too many to standardise: --extractor identity "
                "compares them as they are"
            )
        return ExtractorChoice(chosen, space.shape[0], standardised_table(train))
    if chosen != TRAIN:
        return ExtractorChoice(chosen, _dims(chosen, draft, train))
    if kind.texts:
        own = text_extractor(draft.path.stem, train, space, vocabulary_of(draft.dataset))
    else:
        own = train_for(draft.path.stem, draft.dataset, space, draft.say)
    weights = draft.path.parent / own.table["path"]
    draft.write(weights, own.data)
    name = own.table["name"]
    found = load_extractor(name, space, [{**own.table, "path": str(weights)}])
    return ExtractorChoice(name, found.extract(train[:2]).features.shape[1], own.table)


def _dims(name: str, draft: _Draft, x: NDArray[Any]) -> int:
    """Its number of features: found out now, and not in the middle of a run, if it cannot be."""
    try:
        words = vocabulary_of(draft.dataset)
        found = load_extractor(name, draft.source.space, words=words)
        return int(found.extract(x[:2]).features.shape[1])
    except GenbenchError as error:
        ways = f"({TRAIN} needs images or sounds with labels, in class folders)"
        raise type(error)(f"{error}; or choose another with --extractor {ways}") from error
