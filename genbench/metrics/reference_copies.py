"""Copies of real rows: generated rows against held-out ones, which nobody was to train on.

How near is too near, and how many copies are normal, the data say themselves: a generator that saw
the training rows alone has no reason to lie nearer to held-out rows than to as many training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from genbench.metrics.arrays import Array, like, namespace, on_host, to_host
from genbench.metrics.checks import Rows, as_sets
from genbench.metrics.search import nearest_rows

# Searched at most, per set: enough for shares of a few percent, and a second of work.
FAKE_ROWS, REAL_ROWS = 2000, 5000
# Held-out rows of which one in a hundred has so near a neighbour are near.
_NEAR = 0.01
_SURE = 1e-3
# To lean towards the held-out rows as a whole is told on more evidence: splits may differ a little.
_SURE_LEANING = 1e-6
_TWICE = 2
# Sets in which so many more rows than of one set have their nearest neighbour among their own.
_TOLD_APART = 0.05
# Exact copies of this many rows, where less than one real row in a thousand is there twice.
_SOME, _RARE = 10, 1e-3


@dataclass(frozen=True, slots=True)
class ExactCopies:
    """Generated rows that equal a held-out row and no training row, or that equal a training row.

    `marked` if they are more than training rows' copies explain, or chance.
    """

    rows: int
    marked: bool


@dataclass(frozen=True, slots=True)
class NearCopies:
    """Generated rows, of `searched`, that lie nearer to a held-out row than real rows do.

    `marked` if they are more than lie so near to training rows.
    """

    rows: int
    searched: int
    marked: bool


def exact_copies(heldout: Any, train: Any, fake: Any, *, seed: int) -> ExactCopies:
    """Look for generated rows that are held-out rows.

    Of discrete data copies are normal: distinct held-out rows that were hit are therefore weighed
    against distinct training rows that were (of as many training rows, drawn by `seed`), each
    without those that are in the other set: a one-sided binomial test at 0.001, and twice as many.
    Where the data know next to no copies, ten rows are enough, whatever else was copied.

    Parameters
    ----------
    heldout, train, fake
        Rows of one shape and dtype, ``(n, ...)``, as they are: not features.
    """
    real, known, made = (_keys(x) for x in (heldout, train, fake))
    chosen = random_rows(len(known), len(real), seed)
    some = {known[i] for i in chosen}
    of_real, of_train = set(real), set(known)
    mine = of_real - of_train
    hits, others = len(mine & set(made)), len((some - of_real) & set(made))
    rows = sum(key in mine for key in made)
    excess = _excess(hits, others, len(of_real), len(some), _SURE)
    doubles = len(real) + len(known) - len(of_real | of_train)
    unheard_of = doubles <= _RARE * (len(real) + len(known)) and rows >= _SOME
    return ExactCopies(rows, bool(excess or unheard_of))


def training_copies(heldout: Any, train: Any, fake: Any) -> ExactCopies:
    """Look for generated rows that are training rows, as few of them as there are.

    Marked are ten or more that are beyond what chance makes of one in a thousand (a one-sided
    binomial test at 0.001), where no more of the real rows are there twice. Of data that repeat
    more often nothing is said: who draws its common rows too often copies nobody.

    Parameters
    ----------
    heldout, train, fake
        Rows of one shape and dtype, ``(n, ...)``, as they are: not features.
    """
    known, real, made = (_keys(x) for x in (train, heldout, fake))
    of_train = set(known)
    rows, total = sum(key in of_train for key in made), len(real) + len(known)
    repeated = total - len(of_train | set(real))
    # P(Bin(n, share) >= rows), as the incomplete beta function.
    marked = rows >= _SOME and special.betainc(rows, len(made) - rows + 1, _RARE) < _SURE
    return ExactCopies(rows, bool(marked and repeated <= _RARE * total))


def near_copies(heldout: Any, train: Any, fake: Any, *, seed: int) -> NearCopies:
    """Look for generated rows that are held-out rows moved a little.

    Near is a row whose nearest held-out row is nearer than those of 99 % of the training rows are,
    and nearer than every one of as many training rows. Distinct held-out rows with such a row are
    weighed against distinct training rows with one (defined likewise) as in `exact_copies`. The
    same is asked of all rows, near or not, at 1e-6: models trained on held-out rows lean to them.
    So does a poor model, though, where the splits differ (by speaker, by vendor) or the features
    do, of a network that was taught the training rows; where neighbours tell the real sets apart,
    that is not asked, and near is also nearer than those of 99 % of the held-out rows are.

    Parameters
    ----------
    heldout, train, fake
        Features ``(n, d)``; at most 5,000, 5,000 and 2,000 distinct rows are drawn by `seed`.
    """
    sets = as_sets(heldout=(heldout, 1), train=(train, 1), fake=(fake, 1))
    real, known, made = (np.unique(x, axis=0) if on_host(x) else x.unique(dim=0) for x in sets)
    real, made = _drawn(real, REAL_ROWS, seed), _drawn(made, FAKE_ROWS, seed)
    some = _drawn(known, len(real), seed)
    to_real, to_train = nearest_rows(made, real), nearest_rows(made, some)
    nearer = to_real.distance < to_train.distance
    farther = to_train.distance < to_real.distance
    alike = not _told_apart(_drawn(real, FAKE_ROWS, seed), _drawn(some, FAKE_ROWS, seed))
    near = nearer & (to_real.distance < _usual(some, real, alike))
    near_train = farther & (to_train.distance < _usual(real, some, alike))

    def excess(ours: Array, theirs: Array, level: float) -> bool:
        hit = to_real.index[ours], to_train.index[theirs]
        hits, others = (len(namespace(which).unique_values(which)) for which in hit)
        return _excess(hits, others, len(real), len(some), level)

    leaning = alike and excess(nearer, farther, _SURE_LEANING)
    marked = leaning or excess(near, near_train, _SURE)
    return NearCopies(int(near.sum()), len(made), marked)


def _drawn(rows: Rows, most: int, seed: int) -> Rows:
    return rows[like(rows, random_rows(len(rows), most, seed))]


def _usual(queries: Rows, rows: Rows, alike: bool) -> float:
    """The distance below which one real row in a hundred has a neighbour among others.

    Are the sets not alike, it is that among its own, if shorter: others lie too far off to tell.
    Twins in a set tell nothing either: a tenth of the median is near whatever they are.
    """
    distances = to_host(nearest_rows(queries[:FAKE_ROWS], rows).distance)
    found = float(np.quantile(distances, _NEAR))
    if alike or len(rows) == 1:
        return found
    own = nearest_rows(rows[:FAKE_ROWS], rows, exclude=np.arange(min(FAKE_ROWS, len(rows))))
    inside = float(np.quantile(to_host(own.distance), _NEAR))
    return min(found, max(inside, float(np.median(distances)) / 10))


def _told_apart(one: Rows, other: Rows) -> bool:
    """Whether rows have their nearest neighbour in their own set, more often than chance has it.

    By a twentieth of them and two standard deviations, which are larger than those of coins, since
    neighbours are often neighbours of each other (Schilling, 1986).
    """
    total = len(one) + len(other)
    if min(len(one), len(other)) <= 1:
        return False
    excess = 0.0
    for mine, others in ((one, other), (other, one)):
        inside = nearest_rows(mine, mine, exclude=np.arange(len(mine))).distance
        outside = nearest_rows(mine, others).distance
        excess += int((inside < outside).sum()) + int((inside == outside).sum()) / 2
        excess -= len(mine) * (len(mine) - 1) / (total - 1)
    return bool(excess > max(_TOLD_APART * total, 1.2 * total**0.5))


def _excess(hits: int, others: int, n_hits: int, n_others: int, level: float) -> bool:
    """True if more of the first set were hit than of the second, beyond chance and by far."""
    total = hits + others
    if total == 0 or hits < _TWICE * others:
        return False
    share = n_hits / (n_hits + n_others)
    # P(Bin(total, share) >= hits), as the incomplete beta function.
    return bool(special.betainc(hits, total - hits + 1, share) < level)


def _keys(x: Any) -> list[bytes]:
    """Each row's content; zeros of either sign are equal."""
    rows = np.ascontiguousarray(to_host(x))
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)
    return [row.tobytes() for row in rows]


def random_rows(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Indices of at most `most` of n rows, in an order drawn by `seed`."""
    return np.random.default_rng(seed).permutation(n)[:most]
