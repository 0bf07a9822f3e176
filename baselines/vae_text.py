"""The network of ``vae`` for text: a code of the whole text, and a decoder that writes by it.

Bowman et al., "Generating Sentences from a Continuous Space" (2016, arXiv:1511.06349): an LSTM
reads a text both ways to its code, another writes it token by token, told the code and the class at
every one. A writer that strong does without the code (the posterior collapses onto the prior), so
tokens are hidden from it in training, the weight of the KL term rises slowly, and what each number
of the code may cost is free up to a bound (Kingma et al., 2016, arXiv:1606.04934). How many numbers
are in use is reported: those whose posterior mean varies (Burda et al., 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.baselines.next_token import calibrate, written
from genbench.baselines.recurrent import CLASS_WIDTH, Recurrent
from genbench.baselines.texts import Texts, mixed, surprise
from genbench.baselines.vae_latents import Gaussian, Terms, evenly, normal, uniform
from genbench.generator import Space

ACTIVE = 0.01  # variance of its posterior mean from which a number of the code is in use


class TextNetwork(nn.Module):
    """Encoder and decoder of texts.

    Parameters
    ----------
    hidden, embedding
        Widths of both LSTMs, the reading one's for each way a half.
    latent
        Numbers in the code.
    dropout, hide
        Shares of units, and of known tokens, that the decoder does without in training.
    free
        Nats of KL that the code may cost in training without counting, spread evenly over its
        numbers: a short code is worth as much to the decoder as a long one.
    """

    def __init__(
        self,
        space: Space,
        *,
        hidden: int,
        embedding: int,
        latent: int,
        dropout: float,
        hide: float,
        free: float,
    ) -> None:
        super().__init__()
        self.texts, self.latent, self.free = Texts.of(space), latent, free / latent
        texts = self.texts
        self.label = nn.Embedding(max(1, texts.classes), CLASS_WIDTH)
        self.token = nn.Embedding(texts.tokens, embedding)
        self.reader = nn.LSTM(
            embedding + CLASS_WIDTH, hidden // 2, batch_first=True, bidirectional=True
        )
        self.posterior = nn.Linear(2 * (hidden // 2), 2 * latent)
        self.writer = Recurrent(texts, hidden=hidden, embedding=embedding, told=latent)
        self.writer.dropout, self.writer.unknown = dropout, hide
        nn.init.normal_(self.token.weight, 0, 0.1)

    def calibrate(self, x: Tensor) -> None:
        """Start from the shares of the tokens in the first rows."""
        calibrate(self.writer, self.texts, x)

    @property
    def latent_size(self) -> int:
        """Numbers in a code."""
        return self.latent

    @property
    def noise_size(self) -> int:
        """Numbers of noise for a text: a code, and one for each token."""
        return self.latent + self.texts.length

    def codes(self, x: Tensor, y: Tensor) -> Tensor:
        """Means of the posteriors of texts of classes `y`, ``(n, latent_size)``."""
        return self._read(x, y).mean

    def expected(self, z: Tensor, y: Tensor) -> Tensor:
        """The text whose every token is the likeliest after those before, ``(n, length)``."""
        memory, texts = self.writer.begin(y, z), self.texts
        token, written = torch.full_like(y, texts.start), []
        for _ in range(texts.length):
            logits, memory = self.writer.step(token, memory)
            token = logits.argmax(1)
            written.append(token)
        return texts.closed(torch.stack(written, 1))

    def drawn(self, noise: Tensor, y: Tensor) -> Tensor:
        """A text drawn as `generate` draws, all chance taken from `noise` ``(n, noise_size)``."""
        z, dice = noise.split([self.latent, self.texts.length], 1)
        memory = self.writer.begin(y, z)
        return written(self.writer, self.texts, memory, evenly(dice.double()), thinned=False)

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Terms:
        """The terms of texts ``(n, length)`` of classes `y`, at codes drawn once.

        Without an `rng` at the means of the posteriors. In training, with all that it does without.
        """
        x = self.texts.trimmed(x)
        with mixed(x.device, self.training):
            q = self._read(x, y)
            prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
            z = q.sample(rng)
            logits = self.writer(self.texts.shifted(x), y, rng if self.training else None, z)
        log_px = -surprise(logits, x, self.texts.events(x))
        each = 0.5 * ((2 * q.log_std).exp() + q.mean.square() - 1) - q.log_std  # (n, latent)
        active = (q.mean.detach().var(0, correction=0) > ACTIVE).sum().float()
        charged = each.mean(0).clamp_min(self.free).sum()
        return Terms(
            log_px, q.kl(prior), q.log_prob(z) - prior.log_prob(z), charged=charged, active=active
        )

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """Texts ``(n, length)`` of classes `y`."""
        z = normal((len(y), self.latent), rng, y.device)
        dice = uniform((len(y), self.texts.length), rng, y.device)
        return written(self.writer, self.texts, self.writer.begin(y, z), dice)

    def _read(self, x: Tensor, y: Tensor) -> Gaussian:
        """The posterior of the code of texts: of what was read on average over their events."""
        label = self.label(y)[:, None].expand(-1, x.shape[1], -1)
        read, _ = self.reader(torch.cat([self.token(x), label], 2))
        events = self.texts.events(x)[:, :, None]
        mean = (read.float() * events).sum(1) / events.sum(1)
        return Gaussian.of(self.posterior(mean))
