"""The tables of `ngram`: contexts as a tree, counts as sorted keys, and the sums of Kneser-Ney.

A context of k tokens is a number: its place among the sorted keys ``parent * base + oldest token``
of its level, where the parent is the same context without its oldest token and, of no tokens, the
class. An n-gram is the key ``context * tokens + token``. All look-ups are binary searches, of many
at once. A context that was never seen is -1, and so is one that would begin before the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.baselines.texts import Texts

DISCOUNTS = 3  # for counts of 1, 2, and 3 and more


@dataclass(slots=True)
class Level:
    """The n-grams of one order: contexts of the same number of tokens and what followed them.

    Parameters
    ----------
    contexts
        Sorted keys; their places are the contexts' numbers. Empty of no tokens.
    grams, counts
        Sorted keys, and how often each was counted, int64.
    n_contexts
        Numbers of contexts, which without tokens are classes.
    """

    contexts: Tensor
    grams: Tensor
    counts: Tensor
    n_contexts: int
    tokens: int
    discounts: Tensor = field(init=False)  # float64 (3,)
    total: Tensor = field(init=False)  # counts by context, float64 (n_contexts,)
    left: Tensor = field(init=False)  # share of it that discounts take
    before: Tensor = field(init=False)  # discounted counts of all n-grams before each and its own
    first: Tensor = field(init=False)  # of the contexts' n-grams; one more ends the last

    def __post_init__(self) -> None:
        context = self.grams // self.tokens
        count = self.counts.double()
        zero = torch.zeros(self.n_contexts, dtype=torch.float64, device=count.device)
        self.discounts = _discounts(self.counts)
        kept = count - self._discount(self.counts)
        self.total = zero.index_add(0, context, count)
        self.left = (self.total - zero.index_add(0, context, kept)) / self.total.clamp_min(1)
        self.before = kept.cumsum(0)
        ends = torch.arange(self.n_contexts + 1, device=count.device)
        self.first = torch.searchsorted(context, ends)

    def within(self, parents: Tensor, oldest: Tensor) -> Tensor:
        """The contexts that are `parents` and one token more, ``oldest``; -1 if never seen."""
        return torch.where(
            (parents < 0) | (oldest < 0),
            -1,
            _find(self.contexts, parents * (self.tokens + 1) + oldest),
        )

    def blended(self, contexts: Tensor, tokens: Tensor, lower: Tensor) -> Tensor:
        """Probabilities of tokens in their contexts, `lower` being those one order below."""
        place = _find(self.grams, contexts * self.tokens + tokens)
        count = torch.where(place >= 0, self.counts[place], 0)
        known = (contexts >= 0) & (self.total[contexts] > 0)
        p = (count - self._discount(count)) / self.total[contexts].clamp_min(1)
        return torch.where(known, p + self.left[contexts] * lower, lower)

    def drawn(self, contexts: Tensor, dice: Tensor) -> tuple[Tensor, Tensor]:
        """A token of each context, or -1 where the order below must draw; and the dice for it.

        Dice below what the discounts left go down, spread over [0, 1) again.
        """
        left = torch.where((contexts >= 0) & (self.total[contexts] > 0), self.left[contexts], 1.0)
        here = (dice - left) / (1 - left).clamp_min(1e-12)
        first, last = self.first[contexts], (self.first[contexts + 1] - 1).clamp_min(0)
        low = F.pad(self.before, (1, 0))[first]
        place = torch.searchsorted(self.before, low + here * (self.before[last] - low), right=True)
        token = self.grams[place.maximum(first).minimum(last)] % self.tokens
        return torch.where(dice < left, -1, token), (dice / left.clamp_min(1e-12)).clamp_max(1)

    def _discount(self, counts: Tensor) -> Tensor:
        """What is taken from counts; nothing from none."""
        taken = self.discounts[(counts - 1).clamp(0, DISCOUNTS - 1)]
        return torch.where(counts > 0, taken, 0.0)


@dataclass(frozen=True, slots=True)
class Rooted:
    """Rows ``(n, length)`` and their root contexts ``(n,)``, of which there are `n_roots`."""

    x: Tensor
    roots: Tensor
    n_roots: int

    def at(self, rows: Tensor) -> Rooted:
        """Some of the rows."""
        return Rooted(self.x[rows], self.roots[rows], self.n_roots)


@dataclass(slots=True)
class Model:
    """Kneser-Ney of one order: a level for each length of context, the shortest first."""

    texts: Texts
    levels: list[Level]

    @classmethod
    def of(cls, texts: Texts, rows: Rooted, order: int) -> Model:
        """Count rows, up to an order."""
        counted = list(_counted(texts, rows, order))
        return cls(texts, [*(low for low, _ in counted[:-1]), counted[-1][1]])

    def probabilities(self, x: Tensor, roots: Tensor) -> Tensor:
        """p(token | those before) at every place of rows, float64 ``(n, length)``."""
        p = torch.full(x.shape, 1 / self.texts.tokens, dtype=torch.float64, device=x.device)
        context = roots[:, None].expand_as(x)
        for k, level in enumerate(self.levels):
            context = level.within(context, _older(self.texts, x, k)) if k else context
            p = level.blended(context, x, p)
        return p

    def draw(self, x: Tensor, place: int, roots: Tensor, dice: Tensor) -> Tensor:
        """A token for each row's place, given the tokens before it, by dice over [0, 1)."""
        contexts = [roots]
        for k in range(1, min(len(self.levels), place + 2)):
            oldest = x[:, place - k] if k <= place else torch.full_like(roots, self.texts.start)
            contexts.append(self.levels[k].within(contexts[-1], oldest))
        token = torch.full_like(roots, -1)
        for level, context in reversed(list(zip(self.levels, contexts, strict=False))):
            found, lower = level.drawn(context, dice)
            undecided = token < 0
            token = torch.where(undecided, found, token)
            dice = torch.where(undecided, lower, dice)
        anything = (dice * self.texts.tokens).long().clamp_max(self.texts.tokens - 1)
        return torch.where(token < 0, anything, token)

    def state_dict(self, name: str) -> dict[str, Tensor]:
        """The tables, by level; counts in the fewest bytes."""
        found = {}
        for k, level in enumerate(self.levels):
            found[f"{name}.{k}.contexts"] = level.contexts
            found[f"{name}.{k}.grams"] = level.grams
            found[f"{name}.{k}.counts"] = level.counts.int()
        return found

    @classmethod
    def restored(cls, texts: Texts, state: Mapping[str, Tensor], name: str) -> Model:
        """Undo `state_dict`."""
        levels: list[Level] = []
        while f"{name}.{len(levels)}.grams" in state:
            at = f"{name}.{len(levels)}."
            contexts = state[f"{at}contexts"]
            n = len(contexts) if levels else (max(1, texts.classes) if name == "own" else 1)
            counts = state[f"{at}counts"].long()
            levels.append(Level(contexts, state[f"{at}grams"], counts, n, texts.tokens))
        return cls(texts, levels)


def by_order(texts: Texts, counted: Rooted, probe: Rooted, longest: int) -> list[Tensor]:
    """Probabilities of the events of `probe`, ``(events,)``, by the models of every order."""
    asked, x = texts.events(probe.x), probe.x
    below = torch.full(x.shape, 1 / texts.tokens, dtype=torch.float64, device=x.device)
    context, found = probe.roots[:, None].expand_as(x), []
    for k, (low, high) in enumerate(_counted(texts, counted, longest)):
        context = low.within(context, _older(texts, x, k)) if k else context
        found.append(high.blended(context, x, below)[asked])
        below = low.blended(context, x, below)
    return found


def _counted(texts: Texts, rows: Rooted, order: int) -> Iterator[tuple[Level, Level]]:
    """The levels up to an order, each as one below the highest and as the highest.

    Below, an n-gram counts the different tokens before it, or its plain number at a text's start.
    """
    x, n_contexts, base, v = rows.x, rows.n_roots, texts.tokens + 1, texts.tokens
    events = texts.events(x)
    token, context = x[events], rows.roots[:, None].expand_as(x)[events]
    contexts = token.new_zeros(0)
    for k in range(order):
        reached = context >= 0
        grams, counts = torch.unique(context[reached] * v + token[reached], return_counts=True)
        oldest = _older(texts, x, k + 1)[events]
        longer = (context >= 0) & (oldest >= 0)
        keys, place = torch.unique(context[longer] * base + oldest[longer], return_inverse=True)
        different = torch.unique(place * v + token[longer])
        before = torch.cat([
            (keys // base)[different // v] * v + different % v,
            (context * v + token)[reached & ~longer],  # at the start
        ])  # fmt: skip
        _, continued = torch.unique(before, return_counts=True)  # of the same n-grams, in order
        yield (
            Level(contexts, grams, continued, n_contexts, v),
            Level(contexts, grams, counts, n_contexts, v),
        )
        if not len(keys):
            return
        contexts, n_contexts = keys, len(keys)
        context = torch.full_like(context, -1).masked_scatter(longer, place)


def _older(texts: Texts, x: Tensor, k: int) -> Tensor:
    """The token that stands k before each of rows; the start before the first; -1 before that."""
    moved = F.pad(x, (k, 0), value=-1)[:, : x.shape[1]]
    if k <= x.shape[1]:
        moved[:, k - 1] = texts.start
    return moved


def _find(keys: Tensor, asked: Tensor) -> Tensor:
    """The places of keys among sorted ones; -1 of those that are not there."""
    if not len(keys):
        return torch.full_like(asked, -1)
    place = torch.searchsorted(keys, asked.contiguous()).clamp_max(len(keys) - 1)
    return torch.where(keys[place] == asked, place, -1)


def _discounts(counts: Tensor) -> Tensor:
    """Chen & Goodman's discounts of counts of 1, 2 and more, float64 ``(3,)``.

    From how many n-grams were counted once to four times; a half of each where some are none.
    """
    seen = [int((counts == c).sum()) for c in range(1, DISCOUNTS + 2)]
    y = seen[0] / (seen[0] + 2 * seen[1]) if seen[0] else 0.5
    found: Sequence[float] = [
        c - (c + 1) * y * seen[c] / seen[c - 1] if seen[c - 1] else 0.5
        for c in range(1, DISCOUNTS + 1)
    ]
    kept = [min(max(d, 0.05), c - 0.05) for c, d in enumerate(found, 1)]
    return torch.tensor(kept, dtype=torch.float64, device=counts.device)
