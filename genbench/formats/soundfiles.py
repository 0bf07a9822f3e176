"""Sound files as numbers: plain wav by ourselves, everything else by libsndfile.

16-bit wav is read without the extra ``audio``; other wav, flac and ogg take ``soundfile``.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.system import READ_ERRORS

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff")
MOST_SECONDS = 3600  # of one file: a data set is of clips
_SIXTEEN_BITS = 2  # bytes


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


def decode_sound(data: bytes, name: str) -> Sound:
    """The sound in a file's bytes; `name` is what messages call it.

    Raises
    ------
    DataError
        If the file is no sound, is truncated, holds NaN or infinity, or needs the extra ``audio``.
    """
    sound = _plain_wav(data, name) or _by_library(data, name)
    if sound.samples.size == 0:
        raise DataError(f"{name} holds no samples: remove it")
    if not np.isfinite(sound.samples).all():
        row = int((~np.isfinite(sound.samples)).any(1).argmax())
        raise DataError(f"{name} holds NaN or infinity (first: sample {row}): write it again")
    return sound


def _plain_wav(data: bytes, name: str) -> Sound | None:
    """The sound of a 16-bit wav file; None for anything else."""
    if data[:4] != b"RIFF":
        return None
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != _SIXTEEN_BITS or file.getcomptype() != "NONE":
                return None
            channels, rate, frames = file.getnchannels(), file.getframerate(), file.getnframes()
            _limit(frames, rate, name)
            content = file.readframes(frames)
    except (wave.Error, EOFError):
        return None  # another coding, or broken: the library says which
    if len(content) != frames * channels * _SIXTEEN_BITS:
        raise DataError(f"{name} is truncated: restore it from its source")
    samples = np.frombuffer(content, "<i2").reshape(-1, channels)
    return Sound(samples / 32768.0, rate, "PCM_16")


def _by_library(data: bytes, name: str) -> Sound:
    try:
        import soundfile  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(
            f"{name} is no plain 16-bit wav file: for other sounds pip install 'genbench[audio]'"
        ) from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _limit(file.frames, file.samplerate, name)
            samples = file.read(dtype="float64", always_2d=True)
            rate, coding = int(file.samplerate), str(file.subtype)
    except (soundfile.SoundFileError, *READ_ERRORS) as error:
        raise DataError(
            f"{name} is no sound that can be read ({error}): give wav, flac or ogg"
        ) from error
    return Sound(samples, rate, coding)


def _limit(frames: int, rate: int, name: str) -> None:
    if rate <= 0 or frames > MOST_SECONDS * rate:
        raise DataError(
            f"{name} says that it has {frames} samples at {rate} Hz, over an hour: cut it "
            "into clips"
        )
