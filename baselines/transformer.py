"""A causal transformer that says the next token: exact likelihood, today's language model, small.

Vaswani et al., "Attention Is All You Need" (2017, arXiv:1706.03762), the decoder alone; as a
generator of text, Radford et al., "Improving Language Understanding by Generative Pre-Training"
(2018), with layers that are normalised at their entrance (Xiong et al., 2020). Places are learned
vectors, the class is added at every place, and the outputs are compared with the embeddings of the
tokens (Press & Wolf, 2017).

Sampling keeps the keys and values of the tokens so far, so that a token costs one place.

What to expect at `standard`: see ``docs/baselines.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.next_token import (
    Memory,
    Training,
    calibrate,
    crowding,
    drawn,
    log_prob,
    mean_surprise,
    rate_at,
)
from genbench.baselines.texts import Texts, classes_of, dropout_share, dropped
from genbench.errors import UsageError
from genbench.generator import CapturedStep, GeneratorSpec, Run, Space, TrainData

DEVIATION = 0.02  # of weights at the start


@dataclass(frozen=True, slots=True)
class TransformerParams:
    """Parameters, set with ``-g transformer:name=value``."""

    dim: int = 192
    """Width."""
    depth: int = 4
    """Layers."""
    heads: int = 4
    """Attention heads of each layer."""
    expand: int = 4
    """Hidden width of a layer's MLP, in multiples of `dim`."""
    dropout: float = 0.2
    """Share of units left out in training; less for under 20 passes over the rows, or many rows."""
    batch_size: int = 64
    """Texts per step."""
    learning_rate: float = 1.5e-3
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    warm_up: float = 0.04
    """Share of the budget over which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss, nats a token."""


class Layer(nn.Module):
    """Attention to the places so far, then an MLP, each added to what came in."""

    def __init__(self, dim: int, heads: int, expand: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ask, self.answer = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.wide, self.narrow = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        for linear in (self.ask, self.wide):
            nn.init.normal_(linear.weight, 0, 2 * DEVIATION)
        for linear in (self.answer, self.narrow):  # what all layers add stays of unit size
            nn.init.normal_(linear.weight, 0, 2 * DEVIATION / math.sqrt(2 * depth))

    def forward(self, x: Tensor, dropout: float, rng: torch.Generator | None) -> Tensor:
        """Of all places ``(n, t, dim)``."""
        query, key, value = self._asked(x)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + dropped(self._answered(seen), dropout, rng)
        return x + dropped(self._thought(x), dropout, rng)

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Of one place ``(n, 1, dim)``, after the keys and values of the past; and those now.

        Both are ``(n, 2, heads, t, width)``.
        """
        query, key, value = self._asked(x)
        past = torch.cat([past, torch.stack([key, value], 1)], 3)
        seen = F.scaled_dot_product_attention(query, past[:, 0], past[:, 1])
        x = x + self._answered(seen)
        return x + self._thought(x), past

    def _asked(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``(n, heads, t, width)``."""
        split = self.ask(self.before(x)).unflatten(2, (3, self.heads, -1))
        return split.permute(2, 0, 3, 1, 4).unbind(0)

    def _answered(self, seen: Tensor) -> Tensor:
        out: Tensor = self.answer(seen.transpose(1, 2).flatten(2))
        return out

    def _thought(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(F.gelu(self.wide(self.between(x))))
        return out


class Decoder(nn.Module):
    """Embeddings of token, place and class, layers, and the tokens' embeddings again.

    Parameters
    ----------
    dim, heads, expand, depth
        Widths and number of the layers.
    """

    events: Tensor

    def __init__(self, texts: Texts, *, dim: int, heads: int, expand: int, depth: int) -> None:
        super().__init__()
        self.dropout, self.heads, self.width = 0.0, heads, dim // heads
        self.token = nn.Embedding(texts.tokens + 1, dim)
        self.label = nn.Embedding(max(1, texts.classes), dim)
        self.place = nn.Parameter(DEVIATION * torch.randn(texts.length, dim))
        self.layers = nn.ModuleList(Layer(dim, heads, expand, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(texts.tokens))
        self.register_buffer("events", torch.ones(()))
        nn.init.normal_(self.token.weight, 0, DEVIATION)
        nn.init.normal_(self.label.weight, 0, DEVIATION)
        self.scale = 0.1 / DEVIATION  # of a token's embedding beside its place

    def forward(self, known: Tensor, y: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See `NextToken`."""
        token = dropped(self.token(known), self.dropout / 2, rng, by_row=False)
        x = self.scale * token + self.place[: known.shape[1]] + self.label(y)[:, None]
        x = dropped(x, self.dropout, rng)
        for layer in self.layers:
            x = layer(x, self.dropout, rng)
        return F.linear(self.norm(x), self.token.weight[:-1], self.bias)

    def begin(self, y: Tensor) -> Memory:
        """See `NextToken`: the class, and each layer's keys and values of no token."""
        none = torch.zeros(len(y), 2, self.heads, 0, self.width, device=y.device)
        return [self.label(y), *(none for _ in self.layers)]

    def step(self, token: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """See `NextToken`."""
        label, *past = memory
        x = self.scale * self.token(token) + self.place[past[0].shape[3]] + label
        x, now = x[:, None], []
        for layer, before in zip(self.layers, past, strict=True):
            x, after = layer.step(x, before)
            now.append(after)
        return F.linear(self.norm(x[:, 0]), self.token.weight[:-1], self.bias), [label, *now]


class Transformer:
    """The baseline ``transformer``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="transformer",
        version="1",
        family="autoregressive",
        kinds=("sequence",),
        labels="given",
        likelihood="exact",
        params=TransformerParams,
        reference="Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2018",
    )

    def __init__(self, params: TransformerParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"transformer models sequences, not {space.kind!r}: choose another")
        if params.dim % params.heads:
            raise UsageError(
                f"transformer got dim={params.dim} and heads={params.heads}: give a multiple of it"
            )
        self.params, self.texts, self.device = params, Texts.of(space), device
        self.net = self._build(0)

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of batches until they end."""
        p, texts = self.params, self.texts
        self.net = self._build(run.seed)
        crowded = crowding(self.net, train.n, texts.length)
        self.net.dropout = dropout_share(p.dropout, run.budget, train.n, crowded)
        training = Training.of(self.net, self._rng(run.seed), self.device)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        served = texts.served_at_once(p.batch_size, self.device)
        for x, y in train.batches(served, seed=run.seed, start=run.served):
            if training.steps == 0:
                calibrate(self.net, texts, x)
            for rows, labels in texts.batches(x, y, p.batch_size, training.rng):
                training.steps += 1
                rate = rate_at(run.fraction, p.learning_rate, p.warm_up)
                (nats,) = step(rows, labels, rate)
                run.progress(nll_nats=nats)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)
        self.net.requires_grad_(False)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw token after token, of the classes in `labels`."""
        y = classes_of("transformer", labels, n, self.texts, self.net.bias)
        return drawn(self.net, self.texts, y, self._rng(seed))

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``. Without noise `seed` and `draws` do not matter."""
        y = classes_of("transformer", labels, len(x), self.texts, x)
        return log_prob(self.net, self.texts, x, y)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> Decoder:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = Decoder(self.texts, dim=p.dim, heads=p.heads, expand=p.expand, depth=p.depth)
        return net.requires_grad_(False).to(self.device)

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, rate: float | Tensor
    ) -> tuple[Tensor]:
        """Update the weights once; the loss, nats a text."""
        labels = classes_of("transformer", y, len(x), self.texts, x)
        nats = mean_surprise(self.net, self.texts, x, labels, training.rng)
        training.update(nats / self.net.events, rate, self.params.clip)
        return (nats.detach(),)

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)
