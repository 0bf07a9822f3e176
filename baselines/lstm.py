"""A recurrent network that says the next token: exact likelihood, the classic of language models.

Hochreiter & Schmidhuber, "Long Short-Term Memory" (1997); as a generator of text, Graves,
"Generating Sequences With Recurrent Neural Networks" (2013, arXiv:1308.0850). One layer, whose
outputs are compared with the embeddings of the tokens (Press & Wolf, 2017) and whose dropout is one
mask for all of a text (Gal & Ghahramani, 2016). The class enters beside every token.

The loss is the sum over a text's tokens, the end among them: a mean over a batch of texts that were
sorted by length would count short texts more, and samples would be too short.

What to expect at `standard`: see ``docs/baselines.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from genbench.baselines.next_token import (
    Training,
    calibrate,
    crowding,
    drawn,
    log_prob,
    mean_surprise,
    rate_at,
)
from genbench.baselines.recurrent import Recurrent
from genbench.baselines.texts import Texts, classes_of, dropout_share
from genbench.errors import UsageError
from genbench.generator import CapturedStep, GeneratorSpec, Run, Space, TrainData

LARGE = 500  # tokens from which a vocabulary is one of pieces of words, not of letters


@dataclass(frozen=True, slots=True)
class LSTMParams:
    """Parameters, set with ``-g lstm:name=value``."""

    hidden: int = 0
    """Units of the recurrent layer; 0: 384, or 512 for vocabularies of 500 tokens and more."""
    embedding: int = 0
    """Numbers that a token becomes; 0: 128, or 192 for such vocabularies."""
    dropout: float = 0.35
    """Share of units left out in training; less for under 20 passes over the rows, or many rows."""
    batch_size: int = 64
    """Texts per step."""
    learning_rate: float = 3e-3
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    warm_up: float = 0.04
    """Share of the budget over which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss, nats a token."""


class LSTM:
    """The baseline ``lstm``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="lstm",
        version="2",
        family="autoregressive",
        kinds=("sequence",),
        labels="given",
        likelihood="exact",
        params=LSTMParams,
        reference="Hochreiter & Schmidhuber 1997; Graves 2013, arXiv:1308.0850",
    )

    def __init__(self, params: LSTMParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"lstm models sequences, not {space.kind!r}: choose another")
        self.params, self.texts, self.device = params, Texts.of(space), device
        self.net = self._build(0)

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of batches until they end."""
        p, texts = self.params, self.texts
        self.net = self._build(run.seed)
        crowded = crowding(self.net, train.n, texts.length)
        self.net.dropout = dropout_share(p.dropout, run.budget, train.n, crowded)
        self.net.unknown = self.net.dropout / 2
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
        y = classes_of("lstm", labels, n, self.texts, self.net.bias)
        return drawn(self.net, self.texts, y, self._rng(seed))

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``. Without noise `seed` and `draws` do not matter."""
        y = classes_of("lstm", labels, len(x), self.texts, x)
        return log_prob(self.net, self.texts, x, y)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> Recurrent:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        p, large = self.params, self.texts.tokens >= LARGE
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = Recurrent(
                self.texts,
                hidden=p.hidden or (512 if large else 384),
                embedding=p.embedding or (192 if large else 128),
            )
        return net.requires_grad_(False).to(self.device)

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, rate: float | Tensor
    ) -> tuple[Tensor]:
        """Update the weights once; the loss, nats a text."""
        labels = classes_of("lstm", y, len(x), self.texts, x)
        nats = mean_surprise(self.net, self.texts, x, labels, training.rng)
        training.update(nats / self.net.events, rate, self.params.clip)
        return (nats.detach(),)

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)
