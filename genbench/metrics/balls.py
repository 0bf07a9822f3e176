"""Pairs within a radius: by fast products where those decide, else by differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_within_tile
from genbench.metrics.pairs import Tile
from genbench.metrics.prepared import WIDE, PreparedRows, half_squares, slack_of

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

_MANY = 16  # from one pair in so many on, whole-tile operations are cheaper than lists


@dataclass(frozen=True, slots=True)
class Radii:
    """Squared radii, over the rows' ``unit^2``, in whichever shape.

    Parameters
    ----------
    squares
        Float64, exact: the squared distance to the row that sets the radius.
    low
        In the dtype of tiles: a pair whose ``tile.closeness`` is below lies outside.
    """

    squares: Float64s
    low: Rows

    @classmethod
    def of(cls, squares: Float64s, prepared: PreparedRows) -> Radii:
        """Radii for tiles of `prepared` and its partner."""
        low: Rows = (-squares / 2).astype(prepared.dtype)
        return cls(
            squares, low if prepared.exact else np.nextafter(low, -np.inf, dtype=prepared.dtype)
        )


def near(tile: Tile, low: Rows) -> Indices | None:
    """Places, counted row by row, of the pairs with a closeness of `low` at least; None for many.

    `low` has the shape ``(rows, 1)`` or ``(columns,)``.
    """
    mask = tile.closeness >= low
    if np.count_nonzero(mask) * _MANY > mask.size:
        return None
    return np.flatnonzero(mask)


def inside(tile: Tile, radii: Radii, *, of_rows: bool, closed: bool) -> Mask:
    """The pairs of the tile that lie in the ball of their row, or of their column.

    The answer is that of distances from differences in float64, ties included: at most the radius
    if `closed`, else less.
    """
    low = radii.low[tile.rows, None] if of_rows else radii.low[tile.columns]
    if tile.exact and not closed:
        return np.asarray(tile.closeness > low)
    mask: Mask = tile.closeness >= low
    if tile.exact:
        return mask
    squares = radii.squares[tile.rows if of_rows else tile.columns]
    found = np.count_nonzero(mask)
    if found * _MANY > mask.size:
        closeness = -squares[:, None] / 2 if of_rows else -squares / 2
        place = np.flatnonzero(mask & (tile.closeness < closeness + _slack(tile)))
    else:
        place = np.flatnonzero(mask)
    if len(place):
        owner = place // mask.shape[1] if of_rows else place % mask.shape[1]
        mask.ravel()[place] = reached(tile, place, squares[owner], closed=closed)
    return mask


def reached(tile: Tile, place: Indices, squares: Float64s, *, closed: bool) -> Mask:
    """True for pairs at `place`, counted row by row, within the radii of these `squares`."""
    closeness = -squares / 2
    upper = tile.closeness.ravel()[place].astype(np.float64)
    if tile.exact:
        return np.asarray(upper >= closeness if closed else upper > closeness)
    row, column = np.divmod(place, tile.closeness.shape[1])
    slack = tile.left.slack[tile.rows][row] + tile.right.slack[tile.columns][column]
    within: Mask = upper - 2 * slack >= closeness
    unsure = np.flatnonzero((upper >= closeness) & ~within)
    if len(unsure) * _MANY > tile.closeness.size and _worth_float64(tile):
        unsure = _settle_in_float64(tile, place, closeness, within, unsure)
    if len(unsure):
        exact = squares_within_tile(tile.left, tile.rows, tile.right, tile.columns, place[unsure])
        within[unsure] = exact <= squares[unsure] if closed else exact < squares[unsure]
    return within


def _slack(tile: Tile) -> Float64s:
    left, right = tile.left.slack[tile.rows], tile.right.slack[tile.columns]
    return np.asarray(2 * (left[:, None] + right))


def _worth_float64(tile: Tile) -> bool:
    return tile.closeness.dtype == np.float32 and tile.left.x.shape[1] > WIDE


def _settle_in_float64(
    tile: Tile, place: Indices, closeness: Float64s, within: Mask, unsure: Indices
) -> Indices:
    """Decide what products in float64 can, in `within`; return those still unsure."""
    x, y = tile.left.centred(tile.rows), tile.right.centred(tile.columns)
    upper, slack = closeness_in_float64(x, y)
    upper, slack = upper.ravel()[place[unsure]], slack.ravel()[place[unsure]]
    within[unsure] = upper - 2 * slack >= closeness[unsure]
    return unsure[(upper >= closeness[unsure]) & ~within[unsure]]


def closeness_in_float64(x: Float64s, y: Float64s) -> tuple[Float64s, Float64s]:
    """Upper bounds of the closeness of all pairs of centred rows, in float64, and their slack."""
    left, right = half_squares(x), half_squares(y)
    slack_x, slack_y = (slack_of(part, x.shape[1], x.dtype) for part in (left, right))
    upper = x @ y.T
    upper -= (left - slack_x)[:, None]
    upper -= right - slack_y
    return upper, slack_x[:, None] + slack_y
