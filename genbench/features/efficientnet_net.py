"""EfficientNet-Lite0, for inference: plain convolutions into which the batch norms are folded.

Tan & Le 2019, arXiv:1905.11946, table 1 at its smallest; the Lite variant of 2020 leaves out
squeeze-and-excitation, has ReLU6 for swish, and keeps the first and the last stage as they are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

STEM, HEAD, CLASSES = 32, 1280, 1000
# Blocks, kernel, stride of the first, expansion, channels: of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Convolution(nn.Module):
    """A convolution with a bias that pads as TensorFlow does: what is odd goes right and below."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, apart: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=inputs if apart else 1)
        total = max(kernel - stride, 0)  # of sides that the stride divides
        self._pad = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, outputs, H / stride, W / stride)``."""
        y: Tensor = self.conv(F.pad(x, self._pad) if any(self._pad) else x)
        return y


class Block(nn.Module):
    """Inverted bottleneck: expand, convolve each channel apart, project; add where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = Convolution(inputs, width) if expansion > 1 else None
        self.depthwise = Convolution(width, width, kernel, stride, apart=True)
        self.project = Convolution(width, outputs)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, outputs, H / stride, W / stride)``."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        z: Tensor = self.project(F.relu6(self.depthwise(y), inplace=True))
        return z.add_(x) if self._adds else z


class EfficientNetLite0(nn.Module):
    """The network for images whose sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        blocks, inputs = [], STEM
        for count, kernel, stride, expansion, outputs in STAGES:
            for place in range(count):
                first = stride if place == 0 else 1
                blocks.append(Block(inputs, outputs, kernel, first, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(inputs, HEAD)
        self.classes = nn.Linear(HEAD, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features float32 ``(n, 1280)`` of images ``(n, 3, H, W)`` as it was trained on."""
        x = self.blocks(F.relu6(self.stem(x), inplace=True))
        return F.relu6(self.head(x), inplace=True).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits float32 ``(n, 1000)`` of ImageNet's classes."""
        logits: Tensor = self.classes(self.features(x))
        return logits
