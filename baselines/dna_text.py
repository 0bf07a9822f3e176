"""The half of ``dna`` for text: tokens are blotted out, and restored from those around them.

The noise of a text is a share of its tokens that cannot be read; an LSTM that reads the others both
ways says what they were. To generate, all of a text is drawn from nothing, a smaller share is
blotted out at random and drawn again, and so on over several levels: what was drawn badly at first
is drawn anew among better neighbours. Its descendants, Austin et al., "Structured Denoising
Diffusion Models in Discrete State-Spaces" (2021, arXiv:2107.03006), and Sahoo et al. (2024,
arXiv:2406.07524), walk back without return and have a likelihood.

How long a text is, is drawn first, from the lengths of its class that training met, as in
Ghazvininejad et al., "Mask-Predict" (2019): the network then never has to decide where a text ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.texts import Texts, choice, dropout_share, dropped, mixed, surprise
from genbench.generator import Batch, Space

DEVIATION = 0.1  # of embeddings at the start
FREQUENCIES = 6  # sines and cosines of the share that is blotted out
NEVER = 1e-30  # weight of a length that no text had
SAMPLE_CHUNK = 500  # texts sampled at once, of like length: it bounds memory and saves padding


class TextDenoiser(nn.Module):
    """What the tokens of a text were, given those that can be read and the share that cannot.

    Parameters
    ----------
    dim, depth
        Width, each way, and layers.
    """

    lengths: Tensor
    frequencies: Tensor
    never: Tensor

    def __init__(self, texts: Texts, *, dim: int, depth: int) -> None:
        super().__init__()
        self.blot, self.dropout = texts.tokens, 0.0
        self.token = nn.Embedding(texts.tokens + 1, dim)
        self.place = nn.Parameter(DEVIATION * torch.randn(texts.length, dim))
        self.label = nn.Embedding(max(1, texts.classes), dim)
        self.level = nn.Linear(2 * FREQUENCIES, dim)
        self.recurrent = nn.LSTM(dim, dim, depth, batch_first=True, bidirectional=True)
        self.back = nn.Linear(2 * dim, dim)
        self.bias = nn.Parameter(torch.zeros(texts.tokens))
        nn.init.normal_(self.token.weight, 0, DEVIATION)
        nn.init.normal_(self.label.weight, 0, DEVIATION)
        self.register_buffer("frequencies", math.pi / 2 * 2.0 ** torch.arange(FREQUENCIES))
        is_pad = torch.arange(texts.tokens) == (-1 if texts.pad is None else texts.pad)
        self.register_buffer("never", -1e4 * is_pad.float(), persistent=False)
        self.register_buffer("lengths", torch.zeros(max(1, texts.classes), texts.length + 1))

    def forward(
        self, x: Tensor, share: Tensor, y: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """Logits ``(n, t, tokens)`` of rows ``(n, t)``, a share ``(n, 1)`` of which is blotted."""
        angles = share * self.frequencies
        told = self.level(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(y)
        hidden = self.token(x) + self.place[: x.shape[1]] + told[:, None]
        hidden = dropped(hidden, self.dropout, rng)
        hidden, _ = self.recurrent(hidden)
        hidden = self.back(dropped(hidden, self.dropout, rng))
        logits = F.linear(hidden, self.token.weight[:-1], self.bias)
        return logits + self.never


class TextHalf:
    """The dealings of `dna` with texts; `params` are those of `genbench.baselines.dna`."""

    losses = ("nats_a_token",)

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.params, self.texts, self.device = params, Texts.of(space), device
        self.batch_size: int = params.text_batch_size
        self.served = self.texts.served_at_once(self.batch_size, device)
        self.learning_rate: float = params.text_learning_rate

    def network(self) -> TextDenoiser:
        """A new network, from torch's global random state."""
        p = self.params
        return TextDenoiser(self.texts, dim=p.text_width, depth=p.text_depth)

    def prepare(self, net: Any, budget: int, n: int) -> None:
        """Dropout by the passes over the rows."""
        net.dropout = dropout_share(self.params.text_dropout, budget, n)

    def see(self, x: Tensor, y: Tensor | None, first: bool, *nets: Any) -> None:
        """How long the texts of each class are, and at first the shares of the tokens: counted."""
        written = self._written(x)
        at, one = (self._classes(x, y), written.sum(1)), torch.ones(len(x), device=x.device)
        count = torch.ones(self.texts.tokens, device=x.device)
        count.index_add_(0, x.flatten(), written.flatten().float())
        for net in nets:
            net.lengths.index_put_(at, one, accumulate=True)
            if first:
                net.bias.data.copy_((count / count.sum()).log())

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What is served, as batches of texts of like length."""
        return self.texts.batches(x, y, self.batch_size, rng)

    def loss(
        self, net: Any, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Nats of the tokens that were blotted out, and the same for the report.

        Shares are evenly spread over 0 .. 1, and each counts alike.
        """
        classes, written = self._classes(x, y), self._written(x)
        n = len(x)
        even = (torch.arange(n, device=x.device) + self._dice((n,), rng)) / n
        share = even[torch.argsort(self._dice((n,), rng))][:, None]
        blotted = self._blotted(written, share, rng)
        with mixed(self.device):
            logits = net(torch.where(blotted, net.blot, x), share, classes, rng)
        nats = surprise(logits, x, blotted) / blotted.sum(1).clamp_min(1)
        tokens = written.sum(1)  # the mean of a share counts as often as its text has tokens
        loss = (nats * tokens).sum() / tokens.sum().clamp_min(1)
        return loss, (loss.detach(),)

    def levels(self) -> list[tuple[float, ...]]:
        """Shares that are blotted out, from all on down."""
        levels: int = self.params.text_levels
        return [(1 - i / levels,) for i in range(levels)]

    def canvases(
        self, net: Any, n: int, labels: Tensor | None, rng: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Places of rows, blots as long as texts of their classes are, and labels: by length."""
        y = torch.zeros(n, dtype=torch.int64, device=self.device) if labels is None else labels
        counts = net.lengths[y if self.texts.classes else torch.zeros_like(y)]
        counts = torch.where(counts.sum(1, keepdim=True) > 0, counts, net.lengths.sum(0))
        dice = torch.rand(n, generator=rng, device=self.device, dtype=torch.float64)
        length = choice((counts + NEVER).log(), dice)
        order = torch.argsort(length, stable=True)
        places = torch.arange(self.texts.length, device=self.device)
        for at in torch.split(order, SAMPLE_CHUNK):
            on = places < length[at][:, None]
            x = torch.where(on, self.texts.tokens, self.texts.pad or 0)
            yield at, self.texts.trimmed(x), y[at]

    def step_back(
        self, net: Any, rng: torch.Generator, x: Tensor, y: Tensor | None, share: Any
    ) -> tuple[Tensor]:
        """A share of the tokens blotted out, and drawn again."""
        blotted = self._blotted(self._written(x), share, rng)
        shares = torch.ones(len(x), 1, device=x.device) * share
        with mixed(self.device):
            logits = net(torch.where(blotted, net.blot, x), shares, self._classes(x, y))
        dice = self._dice(x.shape, rng)
        drawn = choice(logits.float().flatten(0, 1), dice.flatten().double()).view_as(x)
        return (torch.where(blotted, drawn, x),)

    def examples(self, net: Any, places: list[Tensor], parts: list[Tensor]) -> Tensor:
        """Rows as long as the space's, in the order in which they were asked for."""
        length, fill = self.texts.length, self.texts.pad or 0
        x = torch.zeros(sum(map(len, parts)), length, dtype=torch.int64, device=self.device)
        for at, part in zip(places, parts, strict=True):
            x[at] = F.pad(part, (0, length - part.shape[1]), value=fill)
        return x

    def _blotted(self, written: Tensor, share: Any, rng: torch.Generator) -> Tensor:
        """A share of each row's tokens, bool: rounded up, so that it is one at least."""
        order = self._dice(written.shape, rng).masked_fill(~written, 2).argsort(1).argsort(1)
        return (order < (share * written.sum(1, keepdim=True)).ceil()) & written

    def _written(self, x: Tensor) -> Tensor:
        """The places of rows that hold a token and no padding, bool."""
        if self.texts.pad is None:
            return torch.ones_like(x, dtype=torch.bool)
        return self.texts.events(x) & (x != self.texts.pad)

    def _classes(self, x: Tensor, y: Tensor | None) -> Tensor:
        return torch.zeros_like(x[:, 0]) if y is None or not self.texts.classes else y

    def _dice(self, shape: Any, rng: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=rng, device=self.device)
