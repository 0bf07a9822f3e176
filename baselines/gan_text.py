"""The half of ``gan`` that makes text: an LSTM writes, another reads and judges.

A token is a choice, and no gradient passes one. Here the generator writes tokens drawn from its
distributions, the discriminator reads them as they are, and its slope is passed on to the
distributions as if they had been what it read: the straight-through estimator of Bengio et al.
(2013, arXiv:1308.3432) and, for texts, of Kusner & Hernandez-Lobato (2016, arXiv:1611.04051), who
have Jang et al.'s Gumbel-softmax (2017, arXiv:1611.01144). The other way is a policy gradient, Yu
et al., "SeqGAN" (2017, arXiv:1609.05473), whose beginning this has: no GAN finds a language from
noise, so for most of the budget the generator learns next tokens by maximum likelihood, and the
game then begins from there. Both parts serve rows of the one budget.

What the game must not do is forget: it goes on beside the likelihood, whose slope stays the larger.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.adversarial_augmentation import DiffAugment
from genbench.baselines.next_token import calibrate, mean_surprise, written
from genbench.baselines.recurrent import CLASS_WIDTH, Recurrent
from genbench.baselines.texts import Texts, choice, dropout_share, mixed
from genbench.baselines.vae_latents import evenly
from genbench.generator import Batch, Space


class TextGenerator(nn.Module):
    """Noise for each token -> a text, token by token, as rows of ones and zeros with a slope."""

    def __init__(self, texts: Texts, *, hidden: int, embedding: int) -> None:
        super().__init__()
        self.texts = texts
        self.writer = Recurrent(texts, hidden=hidden, embedding=embedding)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Texts as ``(n, length, tokens)`` of noise ``(n, length)`` from N(0, 1).

        Ones where a token was drawn, zeros elsewhere; the slope is that of the probabilities. On a
        CPU nothing is written when all texts have ended, and the rest is zeros.
        """
        texts, dice = self.texts, evenly(z)
        token, going = torch.full_like(y, texts.start), torch.ones_like(y, dtype=torch.bool)
        memory, rows = self.writer.begin(y), []
        for place in range(texts.length):
            logits, memory = self.writer.step(token, memory)
            likely = logits.float().softmax(1)
            token = choice(logits.detach().float(), dice[:, place])
            rows.append(F.one_hot(token, texts.tokens) + likely - likely.detach())
            going = going & (token != texts.pad)
            if texts.pad is not None and y.device.type == "cpu" and not bool(going.any()):
                break
        return F.pad(torch.stack(rows, 1), (0, 0, 0, texts.length - len(rows)))


class TextDiscriminator(nn.Module):
    """A bidirectional LSTM over a text up to its end, and a score of the mean and the class."""

    def __init__(self, texts: Texts, *, hidden: int, embedding: int) -> None:
        super().__init__()
        self.token = nn.Linear(texts.tokens, embedding, bias=False)
        self.label = nn.Embedding(max(1, texts.classes), CLASS_WIDTH)
        self.reader = nn.LSTM(
            embedding + CLASS_WIDTH, hidden // 2, batch_first=True, bidirectional=True
        )
        self.inner = nn.Linear(2 * (hidden // 2), hidden)
        self.score = nn.Linear(hidden, 1)
        nn.init.normal_(self.token.weight, 0, 0.1)

    def forward(self, x: Tensor, y: Tensor, events: Tensor) -> Tensor:
        """Scores ``(n,)`` of texts ``(n, t, tokens)`` that end where `events` ``(n, t)`` end."""
        label = self.label(y)[:, None].expand(-1, x.shape[1], -1)
        seen = events[:, :, None].to(x.dtype)
        read, _ = self.reader(torch.cat([self.token(x * seen), label], 2))
        mean = (read.float() * seen).sum(1) / seen.sum(1)
        score: Tensor = self.score(F.leaky_relu(self.inner(mean), 0.2))
        return score.squeeze(1)


class TextHalf:
    """The GAN's dealings with texts; `params` are those of `genbench.baselines.gan`."""

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.params, self.texts, self.device = params, Texts.of(space), device
        self.batch_size: int = params.text_batch_size
        self.served = self.texts.served_at_once(self.batch_size, device)
        self.learning_rates = (params.text_learning_rate, params.text_discriminator_learning_rate)
        self.beta1 = 0.9
        self.temperature = 1.0
        self.pretraining: float = params.text_pretraining
        self.latent = self.texts.length
        DiffAugment(params.augment, space)  # which says that it is for images

    def generator(self) -> nn.Module:
        """A new generator, from torch's global random state."""
        p = self.params
        net = TextGenerator(self.texts, hidden=p.text_hidden, embedding=p.text_embedding)
        return net.to(self.device)

    def discriminator(self) -> nn.Module:
        """A new discriminator, from torch's global random state."""
        p = self.params
        net = TextDiscriminator(self.texts, hidden=p.text_hidden, embedding=p.text_embedding)
        return net.to(self.device)

    def memory(self) -> None:
        """No energy distance is taken of texts."""

    def prepare(self, generator: Any, budget: int, n: int) -> None:
        """Dropout of the likelihood by the passes over the rows."""
        writer = generator.writer
        writer.dropout = dropout_share(self.params.text_dropout, budget, n)
        writer.unknown = writer.dropout / 2

    def begin(self, x: Tensor, *generators: Any) -> None:
        """The shares of the tokens, from the first rows."""
        for generator in generators:
            calibrate(generator.writer, self.texts, x)

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What was served, as batches of texts of like length; without classes all are of one."""
        parts = self.texts.batches(x, y, self.batch_size, rng)
        return [
            Batch(part, torch.zeros_like(part[:, 0]) if y_ is None else y_) for part, y_ in parts
        ]

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """The noise that becomes texts, ``(n, length)``."""
        return torch.randn(n, self.texts.length, generator=rng, device=self.device)

    def autocast(self) -> torch.autocast:
        """bfloat16 nets where the device has such units."""
        return mixed(self.device)

    def teach(
        self, generator: Any, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Nats of a batch's texts; adds the likelihood's gradients to the generator's and cuts all.

        Without classes `batches` has made all texts of one.
        """
        assert y is not None
        net = generator.writer
        nats = mean_surprise(net, self.texts, x, y, rng)
        (nats / net.events).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(generator.parameters(), self.params.text_clip)
        return (nats.detach(),)

    def real(self, x: Tensor, generator: Any, rng: torch.Generator) -> Tensor:
        """Texts as the discriminator reads them: ``(n, length, tokens)``, ones and zeros."""
        ones = F.one_hot(x, self.texts.tokens).float()
        return F.pad(ones, (0, 0, 0, self.texts.length - x.shape[1]))

    def judge(
        self, discriminator: nn.Module, inputs: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The margins m, D's loss (its gradients are left in D) and the generator's at its fakes.

        `inputs` ``(2 n, length, tokens)`` are as many fakes behind the real texts, with a gradient.
        """
        n = len(inputs) // 2
        token = inputs.detach().argmax(2)
        events = self.texts.events(token)
        read = self.texts.trimmed(token).shape[1]
        classes = torch.zeros_like(token[:n, 0]) if y is None else y
        with self.autocast():
            scores = discriminator(inputs[:, :read], classes.repeat(2), events[:, :read]).float()
        margin = scores[:n] - scores[n:]
        loss = F.softplus(-margin).mean()
        torch.autograd.backward(loss, inputs=[inputs, *discriminator.parameters()])
        # From D's gradient at its fakes to the generator's: see the half of images.
        m = margin.detach()
        at_fakes = torch.zeros_like(inputs) if inputs.grad is None else inputs.grad
        return m, loss.detach(), -at_fakes[n:] * m.clamp(max=60).exp().view(-1, 1, 1)

    def steer(
        self, pull: Tensor, energy: Any, inputs: Tensor, y: Tensor | None, memory: None
    ) -> Tensor:
        """The generator's slope at its fakes: the discriminator's `pull`, by the game's weight."""
        return pull * energy

    def energy(self, fraction: float) -> float:
        """Weight of the game beside the likelihood: rises over a fifth of it."""
        played = (fraction - self.pretraining) / max(1e-9, 1 - self.pretraining)
        weight: float = self.params.text_game * min(1.0, max(0.0, 5 * played))
        return weight

    def examples(self, generator: Any, z: Tensor, y: Tensor | None) -> Tensor:
        """Texts ``(n, length)`` of noise and classes."""
        classes = torch.zeros(len(z), dtype=torch.int64, device=z.device) if y is None else y
        net = generator.writer
        return written(net, self.texts, net.begin(classes), evenly(z.double()))
