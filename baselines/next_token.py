"""What `lstm` and `transformer` share: texts token by token, each given all before it.

A network of theirs says the logits of every token at once, for training and scoring; or it goes
token by token and remembers, to sample at the price of a token each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genbench.baselines.texts import Texts, choice, chunks, mixed, surprise
from genbench.generator import optimizer_options

SAMPLE_CHUNK = 2500  # texts sampled at once, to bound memory
SCORE_CHUNK = 500  # texts scored at once
CROWDED = 0.8  # share of texts that go on, below which those that ended are taken out

Memory = list[Tensor]  # of each row what its network knows of the tokens so far, rows first


class NextToken(Protocol):
    """A network of the next token; its modules and buffers are those of an `nn.Module`."""

    events: Tensor  # decided tokens of an average text
    bias: Tensor  # of the logits

    def __call__(self, known: Tensor, y: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Logits ``(n, t, tokens)`` of all tokens, given those before them, with dropout by `rng`.

        `known` are `Texts.shifted` rows ``(n, t)``, `y` classes ``(n,)``.
        """

    def begin(self, y: Tensor) -> Memory:
        """The memory of texts of classes `y` before their first token."""

    def step(self, token: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Logits ``(n, tokens)`` of the token after these, ``(n,)``; and the memory then."""


@torch.no_grad()
def calibrate(net: NextToken, texts: Texts, x: Tensor) -> None:
    """Start from the shares of the tokens in the first rows, which saves hundreds of steps."""
    events = texts.events(x)
    net.events.copy_(events.sum(1).float().mean())
    count = torch.ones(texts.tokens, device=x.device)
    count.index_add_(0, x.flatten(), events.flatten().float())
    net.bias.copy_((count / count.sum()).log())


def crowding(net: nn.Module, n: int, length: int) -> float:
    """Weights of a network for each token that `n` rows of this length have room for."""
    return sum(p.numel() for p in net.parameters()) / max(1, n * length)


def log_prob(net: NextToken, texts: Texts, x: Tensor, y: Tensor) -> Tensor:
    """log p(x | y), nats, ``(n,)``, of texts ``(n, length)``, in float32."""
    parts = []
    for rows, labels in chunks(x, y, SCORE_CHUNK):
        rows = texts.trimmed(rows)
        logits = net(texts.shifted(rows), labels)
        parts.append(-surprise(logits, rows, texts.events(rows)))
    return torch.cat(parts)


def drawn(net: NextToken, texts: Texts, y: Tensor, rng: torch.Generator) -> Tensor:
    """A text for each class in `y`, ``(n, length)``, token after token."""
    parts = [torch.zeros(0, texts.length, dtype=torch.int64, device=y.device)]
    for labels in torch.split(y, SAMPLE_CHUNK):
        dice = torch.rand(
            len(labels), texts.length, generator=rng, device=y.device, dtype=torch.float64
        )
        parts.append(written(net, texts, net.begin(labels), dice))
    return torch.cat(parts)


def written(
    net: NextToken, texts: Texts, memory: Memory, dice: Tensor, *, thinned: bool = True
) -> Tensor:
    """A text for each row of dice ``(n, length)`` over [0, 1), of networks with this memory.

    On a CPU rows are `thinned`: those whose text has ended are taken out.
    """
    n, device = len(dice), dice.device
    x = torch.full((n, texts.length), texts.pad or 0, dtype=torch.int64, device=device)
    rows = torch.arange(n, device=device)
    token = torch.full((n,), texts.start, dtype=torch.int64, device=device)
    for place in range(texts.length):
        logits, memory = net.step(token, memory)
        token = choice(logits, dice[rows, place])
        x[rows, place] = token
        if thinned and texts.pad is not None and device.type == "cpu":
            on = (token != texts.pad).nonzero().squeeze(1)
            if len(on) < CROWDED * len(token):
                rows, token, memory = rows[on], token[on], [part[on] for part in memory]
    return texts.closed(x)


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: nn.Module
    adam: torch.optim.Adam
    rng: torch.Generator
    steps: int = 0

    @classmethod
    def of(cls, net: nn.Module, rng: torch.Generator, device: torch.device) -> Training:
        """The state at the start, of a network with fresh weights."""
        net.requires_grad_(True)
        adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99), **optimizer_options(device))
        return cls(net, adam, rng)

    def update(self, loss: Tensor, rate: float | Tensor, clip: float) -> None:
        """Move the weights down the loss, whose gradient is cut to the norm `clip`."""
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), clip)
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
            "rng": self.rng.get_state(),
            "steps": self.steps,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.rng.set_state(state["rng"].cpu())
        self.steps = state["steps"]


def mean_surprise(
    net: NextToken, texts: Texts, x: Tensor, y: Tensor, rng: torch.Generator
) -> Tensor:
    """Nats of a batch's texts on average, with dropout; networks in bfloat16 where that helps."""
    with mixed(x.device):
        logits = net(texts.shifted(x), y, rng)
    return surprise(logits, x, texts.events(x)).mean()


def rate_at(fraction: float, highest: float, warm_up: float) -> float:
    """Adam's rate by the share of the budget: risen until `warm_up`, then along a cosine to 0."""
    return highest * min(1.0, fraction / warm_up) * (1 + math.cos(math.pi * fraction)) / 2
