"""Sound files as numbers: plain wav by ourselves, everything else by libsndfile.

16-bit wav is read without the extra ``audio``; other wav, flac and ogg take ``soundfile``.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.formats import soundcontainers
from genbench.formats.mediafiles import BadFile, FileTypes
from genbench.system import READ_ERRORS

SOUND_FILES = FileTypes(
    "sound",
    "sounds",
    (".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff"),
    (
        ".aac", ".ac3", ".amr", ".ape", ".au", ".caf", ".m4a", ".mka", ".mp2", ".mp3", ".mp4",
        ".opus", ".ra", ".snd", ".spx", ".webm", ".wma", ".wv",
    ),
    "save it as wav",
)  # fmt: skip
MOST_SECONDS = 3600  # of one file: a data set is of clips
MOST_RATE = 400_000  # Hz: a filter that resamples a greater one would fill the memory
COARSE = ("PCM_S8", "PCM_U8", "ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM")
_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "AIFF")  # of libsndfile, that files may be in
_ENDLESS = 2**62  # samples, by which libsndfile says that it does not know
FULL_SCALE = 32768  # steps of 16 bits on each side of 0
_SIXTEEN_BITS = 2  # bytes

Found = TypeVar("Found")


class BadSound(BadFile):
    """One file that is not a sound of the space."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded file.

    Parameters
    ----------
    samples
        float64 ``(T, channels)``, full scale at -1 and 1.
    rate
        Sampling rate in Hz.
    coding
        How the file keeps its samples, such as ``PCM_16``, ``FLOAT`` or ``ALAW``.
    """

    samples: NDArray[np.float64]
    rate: int
    coding: str


@dataclass(frozen=True, slots=True)
class SoundHead:
    """The form of a sound file as its header says: Hz, channels, samples of each, coding."""

    rate: int
    channels: int
    length: int
    coding: str


def decode_sound(data: bytes, name: str) -> Sound:
    """The sound in a file's bytes; `name` is what messages call it.

    Raises
    ------
    DataError
        If the file is no sound, is truncated, holds NaN or infinity, or needs the extra ``audio``.
    """
    try:
        return sound_of(data)
    except BadSound as error:
        raise DataError(f"{name} {error}") from error


def sound_of(data: bytes) -> Sound:
    """The sound in a file's bytes; `BadSound` says why there is none."""
    _require_whole(data)
    sound = _plain_wav(data, _samples_of_wav) or _by_library(data, _samples_of_library)
    if sound.samples.size == 0:
        raise BadSound("holds no samples", "remove it")
    if not np.isfinite(sound.samples).all():
        row = int((~np.isfinite(sound.samples)).any(1).argmax())
        raise BadSound(f"holds NaN or infinity (first: sample {row})", "write it again")
    return sound


def sound_head(data: bytes) -> SoundHead:
    """The form of the sound in a file's bytes; `BadSound` if there is none or not all of it."""
    _require_whole(data)
    return _plain_wav(data, _head_of_wav) or _by_library(data, _head_of_library)


def _require_whole(data: bytes) -> None:
    if (found := soundcontainers.flaw(data)) is not None:
        raise BadSound(*found)


def _plain_wav(data: bytes, read: Callable[[wave.Wave_read], Found]) -> Found | None:
    """What is read of a 16-bit wav file; None for anything else."""
    if data[:4] != b"RIFF":
        return None
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != _SIXTEEN_BITS or file.getcomptype() != "NONE":
                return None
            _limit(file.getnframes(), file.getframerate())
            return read(file)
    except (wave.Error, *READ_ERRORS):
        return None  # another coding, or broken: the library says which


def _samples_of_wav(file: wave.Wave_read) -> Sound:
    channels, frames = file.getnchannels(), file.getnframes()
    content = file.readframes(frames)
    if len(content) != frames * channels * _SIXTEEN_BITS:
        raise BadSound(*soundcontainers.TRUNCATED)
    samples = np.frombuffer(content, "<i2").reshape(-1, channels)
    return Sound(samples / FULL_SCALE, file.getframerate(), "PCM_16")


def _head_of_wav(file: wave.Wave_read) -> SoundHead:
    return SoundHead(file.getframerate(), file.getnchannels(), file.getnframes(), "PCM_16")


def _by_library(data: bytes, read: Callable[[Any], Found]) -> Found:
    try:
        import soundfile  # type: ignore[import-untyped]
    except ImportError as error:
        raise BadSound(
            "is no plain 16-bit wav file", "for other sounds pip install 'genbench[audio]'"
        ) from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in _FORMATS:
                raise BadSound(f"is {file.format_info}, whatever its name says", SOUND_FILES.remedy)
            _limit(file.frames, file.samplerate)
            return read(file)
    except BadSound:
        raise
    except (soundfile.SoundFileError, *READ_ERRORS) as error:
        why = getattr(error, "error_string", None) or error  # the other text names no file of ours
        raise BadSound(f"is no sound that can be read ({why})", "give wav, flac or ogg") from error


def _samples_of_library(file: Any) -> Sound:
    samples = file.read(dtype="float64", always_2d=True)
    if len(samples) != file.frames:
        raise BadSound(*soundcontainers.TRUNCATED)
    return Sound(samples, int(file.samplerate), str(file.subtype))


def _head_of_library(file: Any) -> SoundHead:
    return SoundHead(int(file.samplerate), int(file.channels), int(file.frames), str(file.subtype))


def _limit(frames: int, rate: int) -> None:
    if not 0 < rate <= MOST_RATE:
        raise BadSound(f"says that it is at {rate:,} Hz", "correct its header")
    if frames >= _ENDLESS:
        raise BadSound("does not say how long it is", "write it again, into a file")
    if frames > MOST_SECONDS * rate:
        raise BadSound(
            f"says that it has {frames} samples at {rate} Hz, over an hour", "cut it into clips"
        )


def wav_bytes(x: NDArray[np.float32], rate: int) -> bytes:
    """A 16-bit wav file of one channel; `x` ``(T,)`` is rounded to steps of 1/32768."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_SIXTEEN_BITS)
        file.setframerate(rate)
        file.writeframes((in_16_bits(x) * FULL_SCALE).astype("<i2").tobytes())
    return buffer.getvalue()


def in_16_bits(x: NDArray[Any]) -> NDArray[np.float32]:
    """Samples in [-1, 1] as a 16-bit file gives them back: whole steps of 1/32768, float32."""
    steps = np.clip(np.rint(np.asarray(x, np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return (steps / FULL_SCALE + 0.0).astype(np.float32)  # never -0: equal rows have equal bytes
