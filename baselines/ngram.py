"""Counts of token sequences, smoothed: interpolated Kneser-Ney, the honest line beside networks.

Kneser & Ney, "Improved backing-off for m-gram language modeling" (1995), interpolated and with
three discounts by order as in Chen & Goodman, "An Empirical Study of Smoothing Techniques for
Language Modeling" (1999). With c(h, w) the times that w followed the context h,

    p_k(w | h) = (c(h, w) - D_k(c(h, w))) / c(h) + left(h) p_(k-1)(w | h without its oldest token),

where left(h) is what the discounts took, p_(-1) is uniform, and below the highest order c counts
the different tokens that came before (h, w), not how often it came. A context that reaches back to
the start of the text cannot be longer, and its counts are plain. The end of a text is a token.

Where there are classes there are two such models, of all rows and of each class's own, and their
conditionals are mixed. Order and weight of the mixture are those that make likeliest a tenth of the
training rows that were left out; then all rows are counted. It reads all rows at once and serves
none of the budget, which its record says. Its conditionals sum to one: the likelihood is exact.

What to expect: see ``docs/baselines.md``. The tables are in `ngram_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.baselines.ngram_tables import Model, Rooted, by_order
from genbench.baselines.texts import Texts, classes_of
from genbench.errors import ContractError, UsageError
from genbench.generator import GeneratorSpec, Run, Space, TrainData

LEFT_OUT = 10  # one row in so many chooses the order and the weight
WEIGHTS = 19  # weights of a class's own model that are tried, evenly between 0 and 1
SAMPLE_CHUNK = 5000  # texts sampled at once, to bound memory


@dataclass(frozen=True, slots=True)
class NGramParams:
    """Parameters, set with ``-g ngram:name=value``."""

    order: int = 0
    """Tokens that are counted together; 0: chosen on rows left out."""
    longest: int = 12
    """Largest order that may be chosen."""
    own: float = -1.0
    """Weight of the class's own model; negative: chosen on rows left out."""


class NGram:
    """The baseline ``ngram``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="ngram",
        version="1",
        family="counts",
        kinds=("sequence",),
        labels="given",
        likelihood="exact",
        params=NGramParams,
        reference="Kneser & Ney 1995; Chen & Goodman 1999, doi:10.1006/csla.1999.0128",
    )

    def __init__(self, params: NGramParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"ngram models sequences, not {space.kind!r}: choose another")
        if params.own > 1 or params.order < 0 or params.longest < 1:
            raise UsageError(
                f"ngram got own={params.own}, order={params.order}, longest={params.longest}: "
                "give a weight up to 1, an order from 0 and a longest from 1"
            )
        self.params, self.texts, self.device = params, Texts.of(space), device
        self.own = torch.zeros((), device=device, dtype=torch.float64)
        self.general: Model | None = None
        self.of_class: Model | None = None

    def fit(self, train: TrainData, run: Run) -> None:
        """Choose order and weight on rows left out, then count all rows."""
        p, x = self.params, train.x
        y = classes_of("ngram", train.y, len(x), self.texts, x)
        orders, own = (p.order, p.order), max(0.0, p.own)
        if p.order == 0 or (self.texts.classes and p.own < 0):
            orders, own = self._choose(x, y, run.seed)
        self.general = Model.of(self.texts, _general(x), orders[0])
        if self.texts.classes:
            self.of_class = Model.of(self.texts, Rooted(x, y, self.texts.classes), orders[1])
        self.own.fill_(own)
        run.progress(order=float(orders[0]), own_order=float(orders[1]), own_weight=own)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw token after token: which model, at which order, which token."""
        self._fitted()
        y = classes_of("ngram", labels, n, self.texts, self.own)
        rng = torch.Generator().manual_seed(seed)
        parts = [self._written(part, rng) for part in torch.split(y, SAMPLE_CHUNK)]
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``. Without noise `seed` and `draws` do not matter."""
        y = classes_of("ngram", labels, len(x), self.texts, x)
        p = self._fitted().probabilities(x, torch.zeros_like(y))
        if self.of_class is not None:
            p = p.lerp(self.of_class.probabilities(x, y), self.own)
        return (p.log() * self.texts.events(x)).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        """The tables of counts, and the weight of the class's own."""
        general = self._fitted().state_dict("general")
        return (
            {"own": self.own}
            | general
            | ({} if self.of_class is None else self.of_class.state_dict("own"))
        )

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        held = {name: tensor.to(self.device) for name, tensor in state.items()}
        self.own = held["own"]
        self.general = Model.restored(self.texts, held, "general")
        self.of_class = Model.restored(self.texts, held, "own") if self.texts.classes else None

    def _choose(self, x: Tensor, y: Tensor, seed: int) -> tuple[tuple[int, int], float]:
        """The orders of both models and the weight of the class's own, by rows left out."""
        p = self.params
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        order = order.to(x.device)
        some = max(1, len(x) // LEFT_OUT)
        probe, rest = order[:some], order[some:] if len(x) > 1 else order
        lowest, longest = p.order or 1, p.order or p.longest

        def tried(rows: Rooted) -> list[Tensor]:
            """Probabilities of the rows left out, by order; texts may be too short for most."""
            found = by_order(self.texts, rows.at(rest), rows.at(probe), longest)
            return found[min(lowest, len(found)) - 1 :]

        general = tried(_general(x))
        best = max(range(len(general)), key=lambda k: float(general[k].log().sum()))
        if not self.texts.classes:
            return (lowest + best, lowest + best), 0.0
        own = tried(Rooted(x, y, self.texts.classes))
        weights = [p.own] if p.own >= 0 else [(i + 1) / (WEIGHTS + 1) for i in range(WEIGHTS)]
        _, k, weight = max(
            (float(general[best].lerp(own[k], weight).log().sum()), k, weight)
            for k in range(len(own))
            for weight in weights
        )
        return (lowest + best, lowest + k), weight

    def _written(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """A text of each class in `y`, ``(n, length)``, all places of all rows drawn."""
        general, texts = self._fitted(), self.texts
        shape = (2, len(y), texts.length)
        which, dice = torch.rand(shape, generator=rng, dtype=torch.float64).to(y.device)
        x = y.new_full((len(y), texts.length), texts.pad or 0)
        on = torch.arange(len(y), device=y.device)  # rows whose texts go on
        for place in range(texts.length):
            known, labels, chance = x[on], y[on], dice[on, place]
            token = general.draw(known, place, torch.zeros_like(on), chance)
            if self.of_class is not None:
                own = self.of_class.draw(known, place, labels, chance)
                token = torch.where(which[on, place] < self.own, own, token)
            x[on, place] = token
            on = on if texts.pad is None else on[token != texts.pad]
        return x

    def _fitted(self) -> Model:
        if self.general is None:
            raise ContractError("ngram has no counts yet: call fit or load_state_dict first")
        return self.general


def _general(x: Tensor) -> Rooted:
    """Rows of one root, whatever their class."""
    return Rooted(x, torch.zeros_like(x[:, 0]), 1)
