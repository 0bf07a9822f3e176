"""Which pairs lie within a radius: by fast products where those decide, else by differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.clouds import WIDE, Cloud, half_squares, slack_of
from genbench.metrics.differences import squares_within_tile
from genbench.metrics.pairs import Tile

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

_MANY = 16  # from one pair in so many on, whole-tile operations are cheaper than lists


@dataclass(frozen=True, slots=True)
class Radii:
    """Squared radii, over the clouds' ``unit^2``, in whichever shape.

    Parameters
    ----------
    squares
        Float64, exact: the squared distance to the row that sets the radius.
    low
        In the dtype of tiles: a pair whose ``tile.h`` is below lies outside.
    """

    squares: Float64s
    low: Rows

    @classmethod
    def of(cls, squares: Float64s, cloud: Cloud) -> Radii:
        """Radii for tiles of `cloud` and its partner."""
        low: Rows = (-squares / 2).astype(cloud.dtype)
        return cls(squares, low if cloud.exact else np.nextafter(low, -np.inf, dtype=cloud.dtype))


def near(tile: Tile, low: Rows) -> Indices | None:
    """Places, counted row by row, of the pairs whose h is at least `low`; None for very many.

    `low` has the shape ``(rows, 1)`` or ``(columns,)``.
    """
    mask = tile.h >= low
    if np.count_nonzero(mask) * _MANY > mask.size:
        return None
    return np.flatnonzero(mask)


def inside(tile: Tile, radii: Radii, *, of_rows: bool, closed: bool) -> Mask:
    """Which pairs of the tile lie in the ball of their row, or of their column.

    The answer is that of distances from differences in float64, ties included: at most the radius
    if `closed`, else less.
    """
    low = radii.low[tile.rows, None] if of_rows else radii.low[tile.columns]
    if tile.exact and not closed:
        return np.asarray(tile.h > low)
    mask: Mask = tile.h >= low
    if tile.exact:
        return mask
    squares = radii.squares[tile.rows if of_rows else tile.columns]
    found = np.count_nonzero(mask)
    if found * _MANY > mask.size:
        h = -squares[:, None] / 2 if of_rows else -squares / 2
        place = np.flatnonzero(mask & (tile.h < h + _slack(tile)))
    else:
        place = np.flatnonzero(mask)
    if len(place):
        owner = place // mask.shape[1] if of_rows else place % mask.shape[1]
        mask.ravel()[place] = reached(tile, place, squares[owner], closed=closed)
    return mask


def reached(tile: Tile, place: Indices, squares: Float64s, *, closed: bool) -> Mask:
    """Whether the pairs at `place`, counted row by row, are within the radii of these `squares`."""
    h = -squares / 2
    upper = tile.h.ravel()[place].astype(np.float64)
    if tile.exact:
        return np.asarray(upper >= h if closed else upper > h)
    row, column = np.divmod(place, tile.h.shape[1])
    slack = tile.left.slack[tile.rows][row] + tile.right.slack[tile.columns][column]
    within: Mask = upper - 2 * slack >= h
    unsure = np.flatnonzero((upper >= h) & ~within)
    if len(unsure) * _MANY > tile.h.size and _worth_float64(tile):
        unsure = _settle_in_float64(tile, place, h, within, unsure)
    if len(unsure):
        exact = squares_within_tile(tile.left, tile.rows, tile.right, tile.columns, place[unsure])
        within[unsure] = exact <= squares[unsure] if closed else exact < squares[unsure]
    return within


def _slack(tile: Tile) -> Float64s:
    left, right = tile.left.slack[tile.rows], tile.right.slack[tile.columns]
    return np.asarray(2 * (left[:, None] + right))


def _worth_float64(tile: Tile) -> bool:
    return tile.h.dtype == np.float32 and tile.left.x.shape[1] > WIDE


def _settle_in_float64(
    tile: Tile, place: Indices, h: Float64s, within: Mask, unsure: Indices
) -> Indices:
    """Decide what products in float64 can, in `within`; return those still unsure."""
    x, y = tile.left.centred(tile.rows), tile.right.centred(tile.columns)
    upper, slack = products(x, y)
    upper, slack = upper.ravel()[place[unsure]], slack.ravel()[place[unsure]]
    within[unsure] = upper - 2 * slack >= h[unsure]
    return unsure[(upper >= h[unsure]) & ~within[unsure]]


def products(x: Float64s, y: Float64s) -> tuple[Float64s, Float64s]:
    """Upper bounds of h of all pairs of centred rows from float64 products, and their slack."""
    left, right = half_squares(x), half_squares(y)
    slack_x, slack_y = (slack_of(part, x.shape[1], x.dtype) for part in (left, right))
    upper = x @ y.T
    upper -= (left - slack_x)[:, None]
    upper -= right - slack_y
    return upper, slack_x[:, None] + slack_y
