"""A classifier of texts: embeddings, convolutions over a few tokens, the greatest of each.

Kim, "Convolutional Neural Networks for Sentence Classification" (2014, arXiv:1408.5882), with a
feature layer before the classes. It reads token ids; padding before and after a text is a token
like others, so that it sees where texts begin and end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.features.learning import descend
from genbench.features.network import FEATURES

WIDTHS = (2, 3, 4, 5)  # tokens that a convolution sees


class WordNet(nn.Module):
    """A classifier of texts ``(length,)`` whose last hidden layer serves as the feature space.

    Parameters
    ----------
    shape
        ``(length,)``.
    classes
        Number of logits.
    channels
        The width of each layer: tokens of the vocabulary, numbers that each becomes, filters of
        each convolution.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, channels: tuple[int, ...] = (1500, 48, 64)
    ) -> None:
        super().__init__()
        tokens, embedding, filters = channels
        self.token = nn.Embedding(tokens, embedding)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, filters, w) for w in WIDTHS)
        self.hidden = nn.Linear(filters * len(WIDTHS), FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """Features after the ReLU, float32 ``(n, 128)``, of token ids int64 ``(n, length)``."""
        return self._features(x, 0.0)

    def _features(self, x: Tensor, left_out: float) -> Tensor:
        """Features; with that share of the numbers that tokens become, and of filters, left out."""
        around = F.pad(x, (WIDTHS[-1] - 1, WIDTHS[-1] - 1))  # with the padding's id
        token = F.dropout(self.token(around), left_out, self.training).transpose(1, 2)
        found = torch.cat([F.relu(layer(token)).amax(2) for layer in self.convolutions], 1)
        return F.relu(self.hidden(F.dropout(found, left_out, self.training)))

    def forward(self, x: Tensor, left_out: float = 0.0) -> Tensor:
        """Class logits float32 ``(n, classes)``; with dropout while training."""
        logits: Tensor = self.head(F.dropout(self._features(x, left_out), left_out, self.training))
        return logits


@dataclass(frozen=True)
class WordRecipe:
    """The hyperparameters of one training; chosen on the validation split.

    Parameters
    ----------
    channels
        See `WordNet`.
    epochs, batch_size
        Passes over the train split; rows per step.
    rate, weight_decay, smoothing
        Peak of the one-cycle learning rate of AdamW, its decay; label smoothing.
    dropout
        Share of numbers left out between layers.
    unknown
        Share of tokens that are blotted out, each text anew.
    seed
        Seeds the initial weights, the order, what is blotted out and the dropout.
    """

    channels: tuple[int, ...]
    epochs: int
    batch_size: int = 64
    rate: float = 3e-3
    weight_decay: float = 1e-2
    smoothing: float = 0.05
    dropout: float = 0.3
    unknown: float = 0.1
    seed: int = 0


UNKNOWN = 1  # the token that stands for what a vocabulary lacks


def train_words(
    x: Tensor,
    y: Tensor,
    classes: int,
    recipe: WordRecipe,
    *,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> WordNet:
    """Train a `WordNet` on token ids int64 ``(n, length)`` and labels int64 ``(n,)``.

    Returned in eval mode. The global random state is left as it was found. `report` is called with
    the number of epochs done and the mean loss of the last.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = WordNet(tuple(x.shape[1:]), classes, recipe.channels)

        def logits_of(rows: Tensor) -> Tensor:
            texts = x[rows]
            blotted = (torch.rand(texts.shape) < recipe.unknown) & (texts > UNKNOWN)
            found: Tensor = net(texts.masked_fill(blotted, UNKNOWN), recipe.dropout)
            return found

        descend(net, logits_of, y, recipe, report)
    return net.eval()
