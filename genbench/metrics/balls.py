"""Pairs within a radius: by fast products where those decide, else by differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genbench.metrics import arrays
from genbench.metrics.arrays import Array
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_within_tile
from genbench.metrics.pairs import Tile
from genbench.metrics.prepared import WIDE, PreparedRows, half_squares, slack_of

Mask = Array  # bool
Indices = Array  # int64

_MANY = 16  # from one pair in so many on, whole-tile operations are cheaper than lists


@dataclass(frozen=True, slots=True)
class Radii:
    """Squared radii in whichever shape: `squares` over the rows' ``unit^2``, float64, exact.

    `low` is in the dtype of tiles: a pair whose ``tile.closeness`` is below lies outside.
    """

    squares: Float64s
    low: Rows

    @classmethod
    def of(cls, squares: Float64s, prepared: PreparedRows) -> Radii:
        """Radii for tiles of `prepared` and its partner."""
        xp = arrays.namespace(squares)
        low = xp.astype(-squares / 2, prepared.dtype)
        if not prepared.exact:
            low = xp.nextafter(low, arrays.full(low, tuple(low.shape), -math.inf, low.dtype))
        return cls(squares, low)


def near(tile: Tile, low: Rows) -> Indices | None:
    """Places, counted row by row, of the pairs with a closeness of `low` at least; None for many.

    `low` has the shape ``(rows, 1)`` or ``(columns,)``.
    """
    mask = tile.closeness >= low
    return None if arrays.count(mask) * _MANY > arrays.size(mask) else arrays.places(mask)


def inside(tile: Tile, radii: Radii, *, of_rows: bool, closed: bool) -> Mask:
    """The pairs of the tile that lie in the ball of their row, or of their column.

    The answer is that of distances from differences in float64, ties included: at most the radius
    if `closed`, else less.
    """
    low = radii.low[tile.rows, None] if of_rows else radii.low[tile.columns]
    if tile.exact and not closed:
        return tile.closeness > low
    mask = tile.closeness >= low
    if tile.exact:
        return mask
    squares = radii.squares[tile.rows if of_rows else tile.columns]
    place = near(tile, low)
    if place is None:
        closeness = -squares[:, None] / 2 if of_rows else -squares / 2
        place = arrays.places(mask & (tile.closeness < closeness + _slack(tile)))
    if len(place):
        owner = place // mask.shape[1] if of_rows else place % mask.shape[1]
        mask.reshape(-1)[place] = reached(tile, place, squares[owner], closed=closed)
    return mask


def reached(tile: Tile, place: Indices, squares: Float64s, *, closed: bool) -> Mask:
    """True for pairs at `place`, counted row by row, within the radii of these `squares`."""
    closeness = -squares / 2
    upper = arrays.in_float64(tile.closeness.reshape(-1)[place])
    if tile.exact:
        return upper >= closeness if closed else upper > closeness
    row, column = arrays.columns_of(place, tile.closeness.shape[1])
    slack = tile.left.slack[tile.rows][row] + tile.right.slack[tile.columns][column]
    within = upper - 2 * slack >= closeness
    unsure = arrays.places((upper >= closeness) & ~within)
    if len(unsure) * _MANY > arrays.size(tile.closeness) and _worth_float64(tile):
        unsure = _settle_in_float64(tile, place, closeness, within, unsure)
    if len(unsure):
        exact = squares_within_tile(tile.left, tile.rows, tile.right, tile.columns, place[unsure])
        within[unsure] = exact <= squares[unsure] if closed else exact < squares[unsure]
    return within


def _slack(tile: Tile) -> Float64s:
    left, right = tile.left.slack[tile.rows], tile.right.slack[tile.columns]
    return 2 * (left[:, None] + right)


def _worth_float64(tile: Tile) -> bool:
    return arrays.is_single(tile.closeness.dtype) and tile.left.x.shape[1] > WIDE


def _settle_in_float64(
    tile: Tile, place: Indices, closeness: Float64s, within: Mask, unsure: Indices
) -> Indices:
    """Decide what products in float64 can, in `within`; return those still unsure."""
    x, y = tile.left.centred(tile.rows), tile.right.centred(tile.columns)
    upper, slack = closeness_in_float64(x, y)
    upper, slack = upper.reshape(-1)[place[unsure]], slack.reshape(-1)[place[unsure]]
    within[unsure] = upper - 2 * slack >= closeness[unsure]
    return unsure[(upper >= closeness[unsure]) & ~within[unsure]]


def closeness_in_float64(x: Float64s, y: Float64s) -> tuple[Float64s, Float64s]:
    """Upper bounds of the closeness of all pairs of centred rows, in float64, and their slack."""
    left, right = half_squares(x), half_squares(y)
    slack_x, slack_y = (slack_of(part, x.shape[1], x.dtype) for part in (left, right))
    upper = arrays.product(x, y.T)
    upper -= (left - slack_x)[:, None]
    upper -= right - slack_y
    return upper, slack_x[:, None] + slack_y
