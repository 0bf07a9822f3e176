"""The network that judges texts: convolutions over tokens, the largest answer of each anywhere.

Kim 2014, Convolutional Neural Networks for Sentence Classification, arXiv:1408.5882.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.downstream.networks import JudgeNet
from genbench.generator import Space

EMBEDDED, WIDTHS, CHANNELS = 64, (2, 3, 4), 64


class TextConvNet(JudgeNet):
    """Embedded tokens, convolutions over two to four of them, class logits.

    Each text is preceded and followed by padding, so that its start and its end are seen.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.embedding = nn.Embedding(space.levels, EMBEDDED)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(EMBEDDED, CHANNELS, width, bias=False) for width in WIDTHS
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(CHANNELS) for _ in WIDTHS)
        self.head = nn.Linear(CHANNELS * len(WIDTHS), space.classes)
        self._pad = 0 if space.pad is None else space.pad

    def logits(self, seen: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of token ids ``(n, length)``."""
        ids = F.pad(seen, (1, max(WIDTHS) - 1), value=self._pad)
        embedded = self.embedding(ids).transpose(1, 2)  # (n, EMBEDDED, length + 4)
        found = [
            norm(convolution(embedded)).relu().amax(2)
            for convolution, norm in zip(self.convolutions, self.norms, strict=True)
        ]
        logits: Tensor = self.head(F.dropout(torch.cat(found, 1), 0.5, self.training))
        return logits
