"""The recurrent network of the next token: `lstm`, and the text halves of `vae` and `gan`.

One LSTM whose outputs are compared with the embeddings of the tokens (Press & Wolf, 2017) and whose
dropout is one mask for all of a text (Gal & Ghahramani, 2016). The class, and what else it is told
of a text, enters beside every token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.next_token import Memory
from genbench.baselines.texts import Texts, dropped

CLASS_WIDTH = 32  # numbers that tell the network the class


class Recurrent(nn.Module):
    """An embedding, an LSTM, and the embedding again as the last layer.

    Parameters
    ----------
    hidden, embedding
        Widths.
    told
        Numbers that it is told of a text, beside the class.

    Attributes
    ----------
    dropout, unknown
        Shares of units, and of whole tokens, that are left out where there is an `rng`.
    """

    events: Tensor

    def __init__(self, texts: Texts, *, hidden: int, embedding: int, told: int = 0) -> None:
        super().__init__()
        self.dropout, self.unknown = 0.0, 0.0
        self.token = nn.Embedding(texts.tokens + 1, embedding)
        self.label = nn.Embedding(max(1, texts.classes), CLASS_WIDTH)
        self.recurrent = nn.LSTM(embedding + CLASS_WIDTH + told, hidden, batch_first=True)
        self.back = nn.Linear(hidden, embedding)
        self.bias = nn.Parameter(torch.zeros(texts.tokens))
        self.register_buffer("events", torch.ones(()))
        nn.init.normal_(self.token.weight, 0, 0.1)

    def forward(
        self,
        known: Tensor,
        y: Tensor,
        rng: torch.Generator | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """See `NextToken`; `told` is ``(n, told)``."""
        token = dropped(self.token(known), self.unknown, rng, by_row=False)
        beside = self._beside(y, told)[:, None].expand(-1, known.shape[1], -1)
        inputs = dropped(torch.cat([token, beside.to(token.dtype)], 2), self.dropout, rng)
        out, _ = self.recurrent(inputs)
        return self._logits(out, rng)

    def begin(self, y: Tensor, told: Tensor | None = None) -> Memory:
        """See `NextToken`: what it is told, and the layer's two states."""
        zero = torch.zeros(len(y), self.recurrent.hidden_size, device=y.device)
        return [self._beside(y, told), zero, zero]

    def step(self, token: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """See `NextToken`."""
        beside, *state = memory
        inputs = torch.cat([self.token(token), beside], 1)[:, None]
        _, new = self.recurrent(inputs, tuple(part[None].contiguous() for part in state))
        return self._logits(new[0][0]), [beside, *(part[0] for part in new)]

    def _beside(self, y: Tensor, told: Tensor | None) -> Tensor:
        label: Tensor = self.label(y)
        return label if told is None else torch.cat([label, told], 1)

    def _logits(self, out: Tensor, rng: torch.Generator | None = None) -> Tensor:
        back = dropped(self.back(dropped(out, self.dropout, rng)), self.dropout, rng)
        return F.linear(back, self.token.weight[:-1], self.bias)
