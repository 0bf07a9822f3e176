"""A user's folder of sounds, looked at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.data import ROLE, ListedFile, stated, write_table
from genbench.errors import DataError, UsageError
from genbench.formats import (
    COARSE,
    SOUND_FILES,
    SOUNDS,
    BadFile,
    BadSound,
    MediaFiles,
    SoundFitting,
    SoundHead,
    hear,
    open_files,
    require_length,
    require_rate,
    sound_head,
)
from genbench.generator import Space
from genbench.metrics import clipped
from genbench.tasks.new.classfolders import class_folders, files_of_set, numbered
from genbench.tasks.new.copies import find_copies
from genbench.tasks.new.flaws import Flaw, listed, sound_refusal
from genbench.tasks.new.sources import Source, file_entry, relative_to_suite, require_utf8

KIND = "waveform"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a suite's author asks to be done to sounds: nothing, unless something is.

    `rate` in Hz is that of the suite, by default that of most files; `length` in samples is that of
    a row, by default that of most files; `mono` averages the channels of sounds that have several.
    """

    rate: int | None = None
    length: int | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """The sounds that can be used, their labels as given; the others; how many are clipped."""

    entries: list[ListedFile]
    flaws: list[Flaw]
    clipped: int = 0


def sound_source(
    name: str, place: Path, folder: Path, *, skip_bad: bool, hearing: Hearing
) -> Source:
    """A folder or a zip of sounds; one folder per class where they are labelled.

    The space has the rate and the length that most sounds have, or those that are asked for.
    `DataError` names each file that is no sound of it.
    """
    if not place.is_dir() and place.suffix.lower() != ".zip":
        raise DataError(f"no folder and no zip of sounds at {place}: unpack it first")
    place, splits = files_of_set(place, SOUNDS)
    with open_files(place, SOUND_FILES) as files:
        names = files.listing.names
        require_utf8(relative_to_suite(folder, place), *names)
        heads = _headers(files)
        known = [head for head in heads.values() if not isinstance(head, BadFile) and head.length]
        if not known:
            raise DataError(f"{place} holds no readable sound ({names[0]} {heads[names[0]]})")
        space, fitting = _space(place, known, hearing)
        labels, remarks = class_folders(names, splits, place, SOUND_FILES)
        look = _look(files, space, labels, fitting)
    if look.flaws and not skip_bad:
        lengths = [fitting.length_of(head, space.rate) for head in known]
        raise DataError(sound_refusal(place, look.flaws, known, lengths, space.rate, len(names)))
    entries, classes, lost = numbered(look.entries, labels, SOUND_FILES)
    table = f"{name}.files.csv"
    content = write_table(entries)
    dataset = {
        "name": name,
        "loader": "audio-folder",
        **stated("audio-folder"),
        "folder": relative_to_suite(folder, place),
        "class_names": classes,
        **({"options": fitting.options} if fitting.options else {}),
        "files": [file_entry(ROLE, table, content)],
    }
    used = [head for e in entries if isinstance(head := heads[e.path], SoundHead)]
    skipped = [f"skipped: {line}" for line in listed(look.flaws)]
    told = _told(used, space, fitting, look.clipped)
    return Source(
        replace(space, classes=len(classes)),
        dataset,
        ROLE,
        find_copies([e.content for e in entries], [e.label for e in entries]),
        {table: content},
        (*skipped, *files.listing.notes(), *remarks, *lost, *told),
        fitting.told,
    )


def _headers(files: MediaFiles) -> dict[str, SoundHead | BadFile]:
    found: dict[str, SoundHead | BadFile] = {}
    for name in files.listing.names:
        try:
            found[name] = sound_head(files.read(name))
        except BadFile as error:
            found[name] = error
    return found


def _space(place: Path, heads: Sequence[SoundHead], hearing: Hearing) -> tuple[Space, SoundFitting]:
    """The space, without classes, and what is done to make files rows of it."""
    if hearing.rate is not None:
        require_rate(hearing.rate)
    if hearing.length is not None:
        require_length(hearing.length)
    rate = hearing.rate or Counter(head.rate for head in heads).most_common(1)[0][0]
    resample = hearing.rate is not None and any(head.rate != rate for head in heads)
    mono = hearing.mono and any(head.channels > 1 for head in heads)
    fitting = SoundFitting(resample, mono)
    lengths = [fitting.length_of(head, rate) for head in heads if resample or head.rate == rate]
    length = hearing.length or Counter(lengths).most_common(1)[0][0]
    try:
        require_rate(rate)
        require_length(length)
    except UsageError as error:
        raise DataError(f"most sounds of {place}: {error} (--rate and --length do)") from error
    if hearing.length is not None and any(found != length for found in lengths):
        fitting = replace(fitting, length=length)
    return Space(KIND, (length,), rate=rate), fitting


def _look(files: MediaFiles, space: Space, labels: Sequence[str], fitting: SoundFitting) -> _Look:
    look, n_clipped = _Look([], []), 0
    for name, label in zip(files.listing.names, labels, strict=True):
        try:
            data = files.read(name)
            x = hear(data, space, fitting)
            if not x.any():
                raise BadSound("is silent from beginning to end", "remove it")
        except BadFile as error:
            look.flaws.append(Flaw(name, error))
        else:
            n_clipped += int(clipped(x[None])[0])
            content = hashlib.sha256(x.data).hexdigest()
            file = hashlib.sha256(data).hexdigest()
            look.entries.append(ListedFile(name, file, content, label))
    return replace(look, clipped=n_clipped)


def _told(
    heads: Sequence[SoundHead], space: Space, fitting: SoundFitting, n_clipped: int
) -> list[str]:
    """Notes on what becomes of sounds that are not of the space as they are, and on poor ones."""
    counts: Mapping[str, int] = {
        f"are resampled to {space.rate:,} Hz": sum(h.rate != space.rate for h in heads),
        "have several channels, which are averaged": sum(h.channels > 1 for h in heads),
        "are of 8 bits or fewer, or packed into as many": sum(h.coding in COARSE for h in heads),
        "are clipped": n_clipped,
    }
    notes = [f"{n:,} of {len(heads):,} sounds {what}" for what, n in counts.items() if n]
    if fitting.length is not None:
        lengths = [fitting.length_of(head, space.rate) for head in heads]
        longer = sum(n > fitting.length for n in lengths)
        shorter = sum(n < fitting.length for n in lengths)
        notes.append(
            f"of {len(heads):,} sounds {longer:,} are cut to {fitting.length:,} samples, "
            f"{shorter:,} are padded with silence"
        )
    return notes
