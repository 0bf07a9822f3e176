"""Which images are in colour: they have networks and densities of their own."""

from __future__ import annotations

from genbench.generator import Space

COLOURS = 3  # channels


def is_colour(space: Space) -> bool:
    """Tell images of three channels, for which the networks of grey digits are too coarse."""
    return space.kind == "image" and space.shape[0] == COLOURS
