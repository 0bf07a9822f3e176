"""Classical augmentation of texts: words, or characters, left out, exchanged, put in again.

Wei & Zou 2019, EDA: Easy Data Augmentation Techniques, arXiv:1901.11196; what is put in is of the
text itself, where they take synonyms from a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import numpy as np
import torch
from torch import Tensor

from genbench.formats import Vocabulary
from genbench.tasks import Edits

Units = list[str]


@dataclass(frozen=True)
class RandomEdits:
    """`Edits` as a function of a batch of token ids; each text gets one of the edits."""

    table: Edits
    words: Vocabulary
    _ids: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, rows: Tensor) -> Tensor:
        """Edited token ids int64 ``(n, length)``, cut where they have become too long.

        The draws are those of torch's global stream.
        """
        rng = Random(int(torch.randint(1 << 62, ()).item()))
        edits = self._edits()
        found = np.zeros(tuple(rows.shape), np.int64)
        for row, text in enumerate(self.words.decode(rows.cpu().numpy())):
            units = list(text) if self._by_character else text.split(" ")
            edited = rng.choice(edits)(units, rng) if edits and len(units) > 1 else units
            ids = self._spelt(edited)[: rows.shape[1]]
            found[row, : len(ids)] = ids
        return torch.from_numpy(found).to(rows.device)

    @property
    def _by_character(self) -> bool:
        return self.words.unit == "characters"

    def _edits(self) -> list[Callable[[Units, Random], Units]]:
        known = ((_drop, self.table.drop), (_swap, self.table.swap), (_insert, self.table.insert))
        return [partial(edit, share) for edit, share in known if share > 0]

    def _spelt(self, units: Units) -> list[int]:
        """Token ids of units; those of a word are kept, with and without a space before it."""
        gap = "" if self._by_character or self.words.unit == "words" else " "
        return [i for n, unit in enumerate(units) for i in self._known(gap * (n > 0) + unit)]

    def _known(self, piece: str) -> list[int]:
        if piece not in self._ids:
            length = max(1, len(piece))  # a token has at least a character
            x = self.words.encode([piece], length, lambda row: "an edited text").x[0]
            self._ids[piece] = x[x != 0].tolist()
        return self._ids[piece]


def _drop(share: float, units: Units, rng: Random) -> Units:
    """Each left out with this probability, but not the last one left."""
    kept = [unit for unit in units if rng.random() >= share]
    return kept or [rng.choice(units)]


def _swap(share: float, units: Units, rng: Random) -> Units:
    """Two of them exchanged, as often as the share says, at least once."""
    found = list(units)
    for _ in range(_times(units, share)):
        a, b = rng.sample(range(len(found)), 2)
        found[a], found[b] = found[b], found[a]
    return found


def _insert(share: float, units: Units, rng: Random) -> Units:
    """One of them put in at any place, as often as the share says, at least once."""
    found = list(units)
    for _ in range(_times(units, share)):
        found.insert(rng.randint(0, len(found)), rng.choice(units))
    return found


def _times(units: Units, share: float) -> int:
    return max(1, round(share * len(units)))
