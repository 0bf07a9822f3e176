"""The Free Spoken Digit Dataset, from whatever a person has of it.

Its recordings are files ``DIGIT_SPEAKER_INDEX.wav``: a folder of them, an archive of its repository
(zip, tar or tar.gz), or one npz file of all clips. What they are is checked by a list of the clips'
digests that comes with the suite, so that every source gives the same rows.

``[dataset.split]`` names recordings by their index and speakers: ``{ index = [10, 50] }`` are those
of every speaker, ``{ index = [0, 25], speakers = ["theo"] }`` of one. A split is served in the
order of the digests, which is as good as a random one.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import (
    FileCheck,
    candidates,
    check_file,
    declared,
    gunzipped,
    places,
    read_checked,
)
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.formats import decode_sound, read_tar
from genbench.generator import Space
from genbench.system import READ_ERRORS

ARCHIVE, CLIPS = "archive", "clips"
NPZ = "fsdd.npz"
EXPECTED = f"a folder of its wav files (recordings), an archive of its repository, or {NPZ}"

MOST_BYTES = 1 << 20  # of one clip
NAMED = 3  # clips in a message
Clips = dict[str, NDArray[np.int16]]


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's clips, float32 ``(n, T)`` padded with silence or cut, and their digits."""
    known = _known(dataset)
    chosen = sorted(_chosen(dataset, split, known), key=lambda name: known[name])
    clips = _clips(dataset)
    length = space.shape[0]
    x = np.zeros((len(chosen), length), np.float32)
    for row, name in zip(x, chosen, strict=True):
        clip = clips[name][:length]
        row[: len(clip)] = clip / np.float32(32768)
    digits = np.array([int(name.split("_")[0]) for name in chosen], np.int64)
    return Split(x, digits if space.classes else None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The list of digests, and the clips as their source has them."""
    listed = check_file(dataset, declared(dataset, CLIPS))
    if not listed.ok:
        return [listed]
    path = declared(dataset, ARCHIVE)["path"]
    try:
        clips = _clips(dataset)
    except DataError as error:
        absent = _source(dataset) is None
        return [listed, FileCheck(path, 0, "", False, str(error), absent)]
    return [listed, FileCheck(path, sum(clip.nbytes for clip in clips.values()), "", True)]


def located(dataset: Mapping[str, Any]) -> list[Path | None]:
    """The file or folder that the clips are read from; None if it is not here."""
    return [_source(dataset)]


def sources(dataset: Mapping[str, Any]) -> list[Path]:
    """The file or folder of the clips, if it is here."""
    return [path for path in located(dataset) if path is not None]


def same_rows(dataset: Mapping[str, Any], entry: Mapping[str, Any], data: bytes) -> bytes | None:
    """The bytes of an archive whose clips are the listed ones, whatever its own hash.

    Archives of a repository are packed anew now and then. None for another file.
    """
    if entry["role"] != ARCHIVE:
        return None
    known, name = _known(dataset), Path(entry["path"]).name
    _checked(dict(_of_archive(data, name, known)), known, name)
    return data


def _chosen(dataset: Mapping[str, Any], split: str, known: Mapping[str, str]) -> list[str]:
    """The names of a split's clips."""
    entry = dataset["split"][split]
    speakers = sorted({name.split("_")[1] for name in known})
    match entry:
        case {"index": [int(first), int(stop)], **others} if 0 <= first < stop:
            asked: Any = others.pop("speakers", speakers)
            if not others and set(asked) <= set(speakers):
                return [
                    name for name in known
                    if name.split("_")[1] in asked and first <= int(name.split("_")[2]) < stop
                ]  # fmt: skip
    raise UsageError(
        f"data set {dataset['name']!r}, split {split} is {entry!r}: write {{ index = [FIRST, "
        f"LAST + 1] }} and perhaps speakers, of {', '.join(speakers)}"
    )


def _known(dataset: Mapping[str, Any]) -> dict[str, str]:
    """The listed clips: the first digits of the digest of each, by name."""
    entry = declared(dataset, CLIPS)
    lines = read_checked(dataset, entry).decode().split("\n")
    return {name: digest for digest, name in (line.split() for line in lines if line)}


def _clips(dataset: Mapping[str, Any]) -> Clips:
    source = _source(dataset)
    if source is None:
        tried = ", ".join(str(folder) for folder in _folders(dataset))
        raise DataError(
            f"data set {dataset['name']!r} is not here: run genbench data fetch {dataset['name']}, "
            f"or put {EXPECTED} into one of {tried}"
        )
    known = _known(dataset)
    return _checked(dict(_of(source, known)), known, str(source))


def _checked(found: Clips, known: Mapping[str, str], source: str) -> Clips:
    """The listed clips among those found; `DataError` names those that are missing or others."""
    missing = [name for name in known if name not in found]
    wrong = [name for name in known if name in found and digest(found[name]) != known[name]]
    for names, what in ((missing, "lacks"), (wrong, "has other sound in")):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise DataError(
                f"{source} {what} {', '.join(f'{name}.wav' for name in names[:NAMED])}{more} of "
                f"{len(known)} clips: restore it from its source"
            )
    return found


def digest(clip: NDArray[np.int16]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a clip's samples, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(clip, "<i2").data).hexdigest()[:16]


def _folders(dataset: Mapping[str, Any]) -> list[Path]:
    beside = candidates(dataset, declared(dataset, ARCHIVE))
    return list(dict.fromkeys([*places(dataset), *(path.parent for path in beside)]))


def _source(dataset: Mapping[str, Any]) -> Path | None:
    archive = Path(declared(dataset, ARCHIVE)["path"]).name
    names = (NPZ, archive, archive.removesuffix(".gz"), "master.zip")
    for folder in _folders(dataset):
        for inner in (folder / "recordings", folder):
            if next(inner.glob("*_*_*.wav"), None) is not None:
                return inner
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def _of(source: Path, known: Collection[str]) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """The known clips of a source, by name."""
    try:
        if source.is_dir():
            for path in source.glob("*_*_*.wav"):
                if path.stem in known:
                    yield path.stem, _samples(path.read_bytes(), str(path))
        elif source.suffix == ".npz":
            yield from _of_npz(source)
        else:
            yield from _of_archive(source.read_bytes(), str(source), known)
    except OSError as error:
        raise DataError(f"cannot read {source} ({error}): make it readable") from error


def _of_npz(source: Path) -> Iterator[tuple[str, NDArray[np.int16]]]:
    try:
        with np.load(source, allow_pickle=False) as file:
            fields = {name: file[name] for name in ("audio", "lens", "label", "speaker", "index")}
    except (KeyError, ValueError, zipfile.BadZipFile, *READ_ERRORS) as error:
        raise DataError(f"{source} is not the clips' npz file ({error}): restore it") from error
    ends = fields["lens"].cumsum()
    for i, end in enumerate(ends):
        name = f"{fields['label'][i]}_{fields['speaker'][i]}_{fields['index'][i]}"
        yield name, fields["audio"][end - fields["lens"][i] : end]


def _of_archive(
    data: bytes, name: str, known: Collection[str]
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    wanted = {f"{clip}.wav" for clip in known}
    if data[:2] == b"PK":
        members = _of_zip(data, name, wanted)
    else:
        members = read_tar(gunzipped(data, name), name, wanted)
    for member, content in members.items():
        yield member.removesuffix(".wav"), _samples(content, f"{member} of {name}")


def _of_zip(data: bytes, name: str, wanted: Collection[str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return {
                PurePosixPath(member.filename).name: file.read(member)
                for member in file.infolist()
                if PurePosixPath(member.filename).name in wanted and member.file_size < MOST_BYTES
            }
    except (zipfile.BadZipFile, *READ_ERRORS) as error:
        raise DataError(
            f"{name} is truncated or no zip ({error}): restore it from its source"
        ) from error


def _samples(data: bytes, name: str) -> NDArray[np.int16]:
    """The samples of an 8 kHz wav file of one channel and 16 bits."""
    sound = decode_sound(data, name)
    if sound.samples.shape[1] != 1 or sound.rate != 8000 or sound.coding != "PCM_16":
        raise DataError(
            f"{name} is {sound.coding} of {sound.samples.shape[1]} channels at {sound.rate} Hz, "
            "expected 16 bits, one channel, 8,000 Hz: restore it from its source"
        )
    return np.asarray((sound.samples[:, 0] * 32768).round(), np.int16)
