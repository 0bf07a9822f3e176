"""The change of pictures that are not of a space as they are, where their owner asks for one.

Pictures are cut to their centre square (or squeezed), then resized by Pillow's bicubic filter,
whose support grows as pictures shrink, so that nothing is aliased (Parmar, Zhang & Zhu 2022, "On
aliased resizing"). What is seen through a picture is laid on a background before. Pillow does both
to bytes, with whole numbers as weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genbench.errors import UsageError, did_you_mean, shorten

Fit = Literal["crop", "stretch"]

FITS: tuple[Fit, ...] = ("crop", "stretch")
FILTER = "bicubic"
SMALLEST, LARGEST = 8, 1024  # pixels of a side

_COLOURS = {"white": "#ffffff", "black": "#000000", "grey": "#808080"}
_CODE = re.compile(r"#[0-9a-f]{6}")
_KEYS = ("resize", "filter", "fit", "background")


@dataclass(frozen=True, slots=True)
class Fitting:
    """What is done to each picture: nothing, unless somebody asks for it.

    `side` is that of the square it is resized to, `fit` what becomes of one that is no square,
    `background` the colour ``#rrggbb`` that it is laid on where it is transparent.
    """

    side: int | None = None
    fit: Fit = "crop"
    background: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Fitting:
        """The fitting that ``[dataset.options]`` state; `UsageError` for anything else."""
        for key in options:
            if key not in _KEYS:
                raise UsageError(f"there is no option {shorten(key)!r}: {did_you_mean(key, _KEYS)}")
        if ("resize" in options) != ("filter" in options) or (
            "fit" in options and "resize" not in options
        ):
            raise UsageError('resize, filter and fit stand together: write filter = "bicubic" too')
        if (found := options.get("filter", FILTER)) != FILTER:
            raise UsageError(f'filter is {found!r}: pictures are resized by "{FILTER}" alone')
        return fitting(options.get("resize"), options.get("fit"), options.get("background"))

    @property
    def options(self) -> dict[str, Any]:
        """The fitting as ``[dataset.options]`` state it; empty where nothing is done."""
        resized = {} if self.side is None else {"resize": self.side, "filter": FILTER}
        cut = {} if self.side is None else {"fit": self.fit}
        laid = {} if self.background is None else {"background": self.background}
        return {**resized, **cut, **laid}

    @property
    def told(self) -> str:
        """The fitting in a sentence or two; empty where nothing is done."""
        how = {"crop": "cut to its centre square and ", "stretch": "squeezed to a square and "}
        parts = []
        if self.background is not None:
            parts.append(f"Transparent pixels are laid on {self.background}.")
        if self.side is not None:
            parts.append(
                f"Each picture is {how[self.fit]}resized to {self.side} x {self.side} by the "
                f"antialiased {FILTER} filter."
            )
        return " ".join(parts)

    @property
    def signed(self) -> str:
        """The fitting as signatures say it; empty where nothing is done."""
        return ",".join(f"{key}:{value}" for key, value in self.options.items())


def fitting(side: Any = None, fit: Any = None, background: Any = None) -> Fitting:
    """The fitting that somebody asks for.

    Raises
    ------
    UsageError
        For a side, a way or a colour that cannot be, or a way without a side.
    """
    if side is not None and (type(side) is not int or not SMALLEST <= side <= LARGEST):
        raise UsageError(f"resize is {side!r}: give a side of {SMALLEST} to {LARGEST} pixels")
    if fit is not None and side is None:
        raise UsageError(f"fit is {fit!r} and nothing is resized: give resize as well")
    if fit is not None and fit not in FITS:
        raise UsageError(f"fit is {shorten(str(fit))!r}: {did_you_mean(str(fit), FITS)}")
    if background is None:
        return Fitting(side, fit or "crop")
    colour = _COLOURS.get(str(background).lower(), str(background).lower())
    if not _CODE.fullmatch(colour):
        raise UsageError(
            f"background {shorten(str(background))!r} is no colour: give "
            f"{', '.join(_COLOURS)} or one such as #f0f0f0"
        )
    return Fitting(side, fit or "crop", colour)
