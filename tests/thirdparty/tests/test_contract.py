"""The generator keeps the rules of genbench."""

from __future__ import annotations

from genbench_pixel_counts.model import PixelCounts

from genbench.testing.checking import check_generator


def test_it_obeys_the_contract() -> None:
    check_generator(PixelCounts)
