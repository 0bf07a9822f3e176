"""The transforms of a suite's ``[downstream.classical]`` as a function of its rows."""

from __future__ import annotations

from genbench.downstream.classical import RandomAffine
from genbench.downstream.classifier import Transform
from genbench.downstream.edits import RandomEdits
from genbench.downstream.sound_changes import RandomSound
from genbench.errors import MetricError
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.tasks import Affine, Classical, Edits


def changes(table: Classical | None, space: Space, words: Vocabulary | None) -> Transform | None:
    """Random changes of rows of a space, whose tokens `words` spell; None where there is no table.

    Raises
    ------
    MetricError
        ``not_applicable`` for edits of texts that no vocabulary spells.
    """
    if table is None:
        return None
    if isinstance(table, Affine):
        return RandomAffine(table)
    if not isinstance(table, Edits):
        return RandomSound(table, space.rate)
    if words is None:
        raise MetricError(
            "[downstream.classical] edits texts, and no vocabulary spells the suite's tokens: "
            "leave it out",
            status="not_applicable",
        )
    return RandomEdits(table, words)
