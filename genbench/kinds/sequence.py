"""Sequences: int64 ``(n, length)`` token ids in ``0 .. levels - 1``, padded with a token.

A text ends at its first padding, and all after it is padding. That first padding is the end of the
text, an event with a probability of its own; a text as long as the space has an implied end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench.kinds.base import DataKind, Draft, LikelihoodUnit, SpaceFields, Tiny

if TYPE_CHECKING:
    from torch import Tensor


class Sequence(DataKind):
    """Texts, cut into tokens by the data set's vocabulary."""

    name = "sequence"
    dtype = "int64"
    tiny = Tiny((12,), levels=5, pad=0)
    likelihood = LikelihoodUnit("bits/character", signed="bits/character")
    labelled = True
    texts = True
    shown_as = "text"
    scored_from = ("arrays", "texts")
    synthesised_as = "texts"
    controls = ("heldout", "train-copy", "noise", "mode-dropped")
    judges = ("tfidf-logistic", "text-conv")
    classical = "edits"
    draft = Draft(
        "ngram_js",
        40,
        ("ngram_js", "mauve", "vendi", "bleu", "self_bleu", "distinct_n", "unique", "novel",
         "exact_copies", "near_copies"),
        of_words=("bleu", "self_bleu", "distinct_n"),
        of_likelihood=("perplexity",),
    )  # fmt: skip

    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """Tokens that stay or go on to the next, round and round; no padding."""
        import torch

        rng = torch.Generator().manual_seed(0)
        steps = torch.randint(0, 2, (n, space.dims), generator=rng)
        return (1 + steps.cumsum(1) % (space.levels - 1)).long()

    def broken(self, space: SpaceFields, x: Any) -> str | None:
        """Tokens after the end of a text."""
        if space.pad is None:
            return None
        ended = x == space.pad
        rows = (ended[:, :-1] & ~ended[:, 1:]).any(1)
        if not bool(rows.any()):
            return None
        count, first = int(rows.sum()), rows.tolist().index(True)
        return (
            f"goes on after the end in {count} of {len(x)} texts (first: row {first}): fill all "
            f"after the first {space.pad} with {space.pad}"
        )

    def parts(self, space: SpaceFields, rows: Any, characters: Any = None) -> float:
        """Its characters and its end where it is written, on average over `rows` ``(n, length)``.

        Without `characters` each token is one.
        """
        events = self.events(space, rows)
        if characters is None or space.pad is None:
            return float(events.mean() if characters is None else characters.mean())
        return float((characters + events - (rows != space.pad).sum(1)).mean())

    def events(self, space: SpaceFields, rows: Any) -> Any:
        """The draws that make each row ``(n, length)``: a token each, and the end where written."""
        if space.pad is None:
            return super().events(space, rows)
        tokens = (rows != space.pad).sum(1)
        return tokens + (tokens < space.dims)

    def default_extractor(self, classes: int) -> str:
        """One fitted to the train split's texts."""
        return "train"

    def described(self, space: SpaceFields) -> str:
        """Their length and classes."""
        classes = f", {space.classes} classes" if space.classes else ", no labels"
        return f"texts of up to {space.shape[0]} of {space.levels} tokens{classes}"


SEQUENCE = Sequence()
