"""The classifier that image extractors are: three convolutions, a feature layer, class logits."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 128


class ClassifierNet(nn.Module):
    """A small convolutional classifier whose last hidden layer serves as the feature space.

    Images of 16 pixels and more, even in both, first become four channels of half the size (2x2
    space-to-depth). Each 3x3 convolution is followed by batch normalisation and ReLU, and by 2x2
    max pooling where the map is larger than four pixels.

    Parameters
    ----------
    shape
        ``(C, H, W)`` of one image.
    classes
        Number of logits.
    channels
        Width of each convolution.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, channels: tuple[int, ...] = (32, 64)
    ) -> None:
        super().__init__()
        depth, height, width = shape
        layers: list[nn.Module] = []
        if min(height, width) >= 16 and height % 2 == width % 2 == 0:
            layers += [nn.PixelUnshuffle(2)]
            depth, height, width = 4 * depth, height // 2, width // 2
        for channel in channels:
            layers += [nn.Conv2d(depth, channel, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channel), nn.ReLU()]
            depth = channel
            if min(height, width) > 4:
                layers += [nn.MaxPool2d(2)]
                height, width = height // 2, width // 2
        self.body = nn.Sequential(*layers)
        self.hidden = nn.Linear(depth * height * width, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """Features after the ReLU, ``(n, 128)``, of images ``(n, C, H, W)`` in [0, 1]; float32."""
        return F.relu(self.hidden(self.body(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Class logits float32 ``(n, classes)``; dropout of the features while training."""
        logits: Tensor = self.head(F.dropout(self.features(x), 0.3, self.training))
        return logits
