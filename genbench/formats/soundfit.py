"""The change of sounds that are not of a space as they are, where their owner asks for one.

Channels are averaged, rates changed by SciPy's ``resample_poly`` (a polyphase filter, a Kaiser
window of 5, 10 zero crossings on each side at the lower rate), lengths by silence at the end or a
cut there. What is averaged or resampled is rounded to 16 bits, so that the last bit of a sum is
nobody's matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import UsageError, did_you_mean, shorten
from genbench.formats.soundfiles import BadSound, Sound, SoundHead, in_16_bits, sound_of
from genbench.generator import Space

FILTER = "polyphase"
SHORTEST, LONGEST = 16, 1 << 20  # samples of a row
LOWEST, HIGHEST = 1000, 192_000  # Hz
# A decoder of these overshoots full scale by rounding, and a player cuts that off.
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III")
_KEYS = ("resample", "mono", "length")


class OtherRate(BadSound):
    """A sound of another sampling rate than the space's."""


class OtherLength(BadSound):
    """A sound of another length than the space's."""


class ManyChannels(BadSound):
    """A sound of more than one channel."""


@dataclass(frozen=True, slots=True)
class SoundFitting:
    """What is done to each sound: nothing, unless somebody asks for it.

    `resample` brings those of other rates to the space's, `mono` averages channels, `length` is
    that in samples to which sounds are padded with silence or cut.
    """

    resample: bool = False
    mono: bool = False
    length: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> SoundFitting:
        """The fitting that ``[dataset.options]`` state; `UsageError` for anything else."""
        for key in options:
            if key not in _KEYS:
                raise UsageError(f"there is no option {shorten(key)!r}: {did_you_mean(key, _KEYS)}")
        if (found := options.get("resample", FILTER)) != FILTER:
            raise UsageError(f'resample is {found!r}: sounds are resampled by "{FILTER}" alone')
        if (mono := options.get("mono", True)) is not True:
            raise UsageError(f"mono is {mono!r}: write mono = true, or leave it out")
        length = options.get("length")
        if length is not None:
            require_length(length)
        return cls("resample" in options, "mono" in options, length)

    @property
    def options(self) -> dict[str, Any]:
        """The fitting as ``[dataset.options]`` state it; empty where nothing is done."""
        return {
            **({"resample": FILTER} if self.resample else {}),
            **({"mono": True} if self.mono else {}),
            **({} if self.length is None else {"length": self.length}),
        }

    @property
    def told(self) -> str:
        """The fitting in a sentence or more; empty where nothing is done."""
        parts = []
        if self.mono:
            parts.append("Channels are averaged.")
        if self.resample:
            parts.append("Other sampling rates are resampled by a polyphase filter.")
        if self.length is not None:
            parts.append(f"Each sound is padded with silence or cut to {self.length:,} samples.")
        return " ".join(parts)

    @property
    def signed(self) -> str:
        """The fitting as signatures say it; empty where nothing is done."""
        return ",".join(f"{key}:{value}" for key, value in self.options.items())

    def length_of(self, head: SoundHead, rate: int) -> int:
        """The samples that a file has at this rate, before it is padded or cut."""
        return -(-head.length * rate // head.rate) if self.resample else head.length


AS_IT_IS = SoundFitting()


def require_length(length: Any) -> None:
    """`UsageError` unless rows may have so many samples."""
    if type(length) is not int or not SHORTEST <= length <= LONGEST:
        raise UsageError(f"length is {length!r}: give {SHORTEST} to {LONGEST:,} samples")


def require_rate(rate: Any) -> None:
    """`UsageError` unless it is a sampling rate."""
    if type(rate) is not int or not LOWEST <= rate <= HIGHEST:
        raise UsageError(f"rate is {rate!r}: give {LOWEST:,} to {HIGHEST:,} Hz")


def hear(data: bytes, space: Space, fitting: SoundFitting = AS_IT_IS) -> NDArray[np.float32]:
    """The samples of a sound file as a row of the space, float32 ``(T,)``.

    Raises
    ------
    BadSound
        If the file is no sound, goes beyond full scale, or has another rate or length or more
        channels than the space, and `fitting` does not say what to do about it.
    """
    sound = sound_of(data)
    changed = _at_rate(_one_channel(sound, fitting), sound.rate, space, fitting)
    as_it_is = sound.samples.shape[1] == 1 and sound.rate == space.rate
    found = changed.astype(np.float32) if as_it_is else in_16_bits(changed)
    return _of_length(found, space, fitting)


def _one_channel(sound: Sound, fitting: SoundFitting) -> NDArray[np.float64]:
    peak, channels = float(np.abs(sound.samples).max()), sound.samples.shape[1]
    if peak > 1 and sound.coding not in LOSSY:
        shown = f"{peak:.4g}" if peak > 1.001 else f"{peak:.9g}"
        raise BadSound(f"goes beyond full scale (peak {shown})", "lower its gain to [-1, 1]")
    if channels > 1 and not fitting.mono:
        raise ManyChannels(f"has {channels} channels", "save it in one")
    return np.asarray(sound.samples.mean(1).clip(-1, 1))


def _at_rate(
    x: NDArray[np.float64], rate: int, space: Space, fitting: SoundFitting
) -> NDArray[np.float64]:
    if rate == space.rate:
        return x
    if not fitting.resample:
        raise OtherRate(
            f"is at {rate:,} Hz, the suite at {space.rate:,} Hz", f"resample it to {space.rate}"
        )
    return resampled(x, rate, space.rate)


def resampled(x: NDArray[Any], rate: int, target: int) -> NDArray[Any]:
    """Waveforms ``(..., T)`` at `rate` Hz, at `target` Hz: ``(..., ceil(T target / rate))``.

    `scipy.signal.resample_poly` with its default window.
    """
    if rate == target:
        return x
    from scipy.signal import resample_poly

    common = math.gcd(rate, target)
    return np.asarray(resample_poly(x, target // common, rate // common, axis=-1))


def _of_length(x: NDArray[np.float32], space: Space, fitting: SoundFitting) -> NDArray[np.float32]:
    length = space.shape[0]
    if fitting.length is None and len(x) != length:
        how = "pad it with silence" if len(x) < length else "cut it"
        raise OtherLength(f"has {len(x):,} samples, the suite {length:,}", f"{how} to {length}")
    row = np.zeros(length, np.float32)
    row[: min(length, len(x))] = x[:length]
    return row
