"""Kinds of data: what an image, a point, a sequence, a waveform is. Imports no torch.

A kind is one `DataKind` in a module of its own, and everybody else asks it: no module outside of
this room compares a kind's name with a text. A new one is its module here, a subclass of `DataKind`
and the object made of it, and a row in `_OURS`; a package brings its own as the same object behind
an entry point of the group ``genbench.kinds``, under the name of the kind.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from genbench.errors import PluginError, UsageError, did_you_mean
from genbench.kinds.base import DataKind, Draft, LikelihoodUnit, SpaceFields, Tiny
from genbench.kinds.image import IMAGE
from genbench.kinds.points import POINTS
from genbench.kinds.sequence import SEQUENCE
from genbench.kinds.waveform import WAVEFORM

__all__ = ["DataKind", "Draft", "LikelihoodUnit", "SpaceFields", "Tiny", "built_in", "names", "of"]

_OURS = {kind.name: kind for kind in (IMAGE, POINTS, SEQUENCE, WAVEFORM)}


def of(name: str) -> DataKind:
    """The kind called `name`; one of another package is imported when it is first asked for.

    Raises
    ------
    UsageError
        If there is no such kind.
    PluginError
        If a package announces it and it cannot be loaded.
    """
    return _OURS[name] if name in _OURS else _announced(name)


def built_in(name: str) -> DataKind | None:
    """The kind called `name` if it is genbench's own: for what must import nobody's package."""
    return _OURS.get(name)


def names() -> tuple[str, ...]:
    """Every kind that there is, genbench's own first; imports nothing."""
    from genbench.system import extensions

    return (*_OURS, *sorted(set(extensions.announced(extensions.KINDS)) - set(_OURS)))


@cache
def _announced(name: str) -> DataKind:
    from genbench.system import extensions

    if name not in names():
        raise UsageError(f"kind {name!r} is unknown: {did_you_mean(name, names())}")
    found: Any = extensions.load(extensions.KINDS, name, ("name", "dtype", "tiny"))
    if not isinstance(found, DataKind):
        raise PluginError(f"kind {name!r} is of type {type(found).__name__}: give a DataKind")
    if found.name != name:
        raise PluginError(f"kind {name!r} calls itself {found.name!r}: make them equal")
    return found
