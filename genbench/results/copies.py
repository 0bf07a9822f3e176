"""What a record says of rows of the data among its samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.results.records import Record

# An exact copy is never authentic, and neither is one that was moved a little; held-out rows of
# digits and MNIST score about 0.6.
AUTHENTIC_AT_LEAST = 0.05


def copies_marked(record: Record, kinds: Iterable[str], splits: Iterable[str]) -> bool:
    """Whether copies of one of some kinds, ``exact`` or ``near``, were found of some splits.

    A stranger may have written anything there.
    """
    told = [record.copies.get(split) for split in splits]
    found = [copies.get(kind) for copies in told if isinstance(copies, Mapping) for kind in kinds]
    return any(isinstance(one, Mapping) and one.get("marked") is True for one in found)
