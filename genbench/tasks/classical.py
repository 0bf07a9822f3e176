"""``[downstream.classical]``: random transforms that leave the label as it is. Imports nothing
heavy.

Which family of them there is depends on the kind of data, and so do the table's keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Affine:
    """Transforms of images.

    The greatest shift to each side, as a share of the image's side; the greatest rotation in
    degrees; the greatest change of size, of which 0.1 is 0.9 to 1.1; whether left and right are
    exchanged half of the time.
    """

    shift: float = 0.1
    rotation: float = 10.0
    scale: float = 0.1
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits of texts, of which each text gets one: characters where tokens are, else words.

    The share of them that is left out; that change places with another; that is put in once more,
    at another place (Wei & Zou 2019, EDA, arXiv:1901.11196).
    """

    drop: float = 0.1
    swap: float = 0.1
    insert: float = 0.1


@dataclass(frozen=True, slots=True)
class SoundChanges:
    """Changes of sounds, of which each sound gets all.

    The greatest delay, as a share of the length; the greatest change of level in dB; the level of
    white noise in dB under the sound's own at most (0 for no noise); the greatest stretches of time
    and of the mel scale that are silenced, as shares (SpecAugment: Park et al. 2019,
    arXiv:1904.08779).
    """

    shift: float = 0.1
    gain: float = 6.0
    noise: float = 20.0
    hidden_time: float = 0.1
    hidden_bands: float = 0.1


Classical = Affine | Edits | SoundChanges

# By the name that a kind of data has for its family (its attribute `classical`).
FAMILIES: Mapping[str, type[Affine] | type[Edits] | type[SoundChanges]] = MappingProxyType(
    {"affine": Affine, "edits": Edits, "sound": SoundChanges}
)

BOUNDS = (
    ("shift", 0, 0.5), ("rotation", 0, 180), ("scale", 0, 0.5),
    ("drop", 0, 0.5), ("swap", 0, 0.5), ("insert", 0, 0.5),
    ("gain", 0, 60), ("noise", 0, 120), ("hidden_time", 0, 0.5), ("hidden_bands", 0, 0.5),
)  # fmt: skip


def read(family: str, table: Mapping[str, Any] | None) -> Classical | None:
    """The transforms of a family that a table asks for; None where there is no table."""
    return None if table is None else FAMILIES[family](**table)
