"""The fixed classifier of the downstream protocols: a two-convolution net and its training loop.

It is the same for every arm of every protocol: same initial weights for the same seed, same number
of optimiser steps, rows fed from memory. Its version is part of every downstream signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import kinds
from genbench.errors import MetricError
from genbench.generator import CapturedStep, Space, captures
from genbench.seeds import derive_seed

NAME = "two-conv"
VERSION = "1"
BETA2 = 0.999  # Adam's memory of squared gradients
PEAK_RATE = 4e-3  # chosen on MNIST's validation rows: 10,000 rows, 500 steps of 128

Array = NDArray[Any]


class TwoConvNet(nn.Module):
    """Two 3x3 convolutions with batch normalisation, a hidden layer of 128 units, class logits.

    Images of 16 pixels and more first become four channels of half the size (2x2 space-to-depth):
    a third of the time at the same accuracy.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        depth, height, width = space.shape
        layers: list[nn.Module] = []
        if min(height, width) >= 16:
            # Odd sizes get one more black row or column: pixels are in [-1, 1] here.
            layers += [nn.ConstantPad2d((0, width % 2, 0, height % 2), -1.0), nn.PixelUnshuffle(2)]
            depth, height, width = 4 * depth, -(-height // 2), -(-width // 2)
        for channels in (32, 64):
            layers += [nn.Conv2d(depth, channels, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
            depth, height, width = channels, height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(depth * height * width, 128), nn.ReLU()]
        layers += [nn.Dropout(0.3), nn.Linear(128, space.classes)]
        self.layers = nn.Sequential(*layers)
        self._top = float(space.levels - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of grey-level images ``(n, C, H, W)``."""
        # Centred pixels train in fewer steps than those in [0, 1].
        logits: Tensor = self.layers(images.float() / (self._top / 2) - 1)
        return logits


@dataclass(frozen=True)
class Classifier:
    """A trained `TwoConvNet` in eval mode, with the space it reads and where it runs."""

    net: TwoConvNet
    space: Space
    device: torch.device


def train_classifier(
    x: Tensor | Array,
    y: Tensor | Array,
    space: Space,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    transform: Callable[[Tensor], Tensor] | None = None,
    class_weights: Sequence[float] | None = None,
) -> Classifier:
    """Train the fixed classifier with Adam and a one-cycle learning rate.

    Every step sees exactly `batch_size` rows of a stream of reshuffled epochs, so that arms with
    few rows take as many steps as arms with many. Same seed, machine and threads: same weights.
    The global random state is left as it was found.

    Parameters
    ----------
    x, y
        uint8 images ``(n, C, H, W)`` and int64 labels ``(n,)``.
    steps, batch_size
        Optimiser steps, rows per step.
    seed
        Decides the initial weights, the order and the dropout.
    transform
        Applied to every batch of images; may draw from torch's global random state.
    class_weights
        Weight of each class in the loss; None for equal ones.

    Raises
    ------
    MetricError
        ``not_applicable`` if the space has no labelled images of at least 8x8 pixels.
    """
    check_space(space)
    target = torch.device(device)
    images, labels = _tensor(x).to(target), _tensor(y).to(target)
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "classifier"))
        net = TwoConvNet(space).to(target).to(memory_format=torch.channels_last)
        weights = (
            None
            if class_weights is None
            else torch.tensor(class_weights, dtype=torch.float32, device=target)
        )
        optimizer = _optimizer(net)

        def step(rows: Tensor, rate: float | Tensor, momentum: float | Tensor) -> tuple[()]:
            (group,) = optimizer.param_groups
            group["lr"], group["betas"] = rate, (momentum, BETA2)
            optimizer.zero_grad()
            batch = images[rows] if transform is None else transform(images[rows])
            F.cross_entropy(net(batch), labels[rows], weights).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return ()

        train = CapturedStep(step, target)
        order = _order(len(images), steps * batch_size).to(target).view(steps, batch_size)
        for rows, cycle in zip(order, _one_cycle(steps), strict=True):
            train(rows, *cycle)
    return Classifier(net.eval().requires_grad_(False), space, target)


def load_classifier(state: dict[str, Tensor], space: Space, device: torch.device) -> Classifier:
    """The classifier whose ``net.state_dict()`` is `state`."""
    with torch.device("meta"):  # no initial weights: loading draws no random numbers
        net = TwoConvNet(space)
    net.load_state_dict(state, assign=True)
    net = net.to(device).to(memory_format=torch.channels_last)
    return Classifier(net.eval().requires_grad_(False), space, device)


def predict(
    classifier: Classifier, x: Tensor | Array, *, batch_size: int = 250
) -> NDArray[np.float32]:
    """Class probabilities, float32 ``(n, classes)``."""
    images = _tensor(x)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            rows = images[start : start + batch_size].to(classifier.device)
            parts.append(classifier.net(rows).softmax(1).cpu())
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def check_space(space: Space) -> None:
    """Refuse what the fixed classifier cannot read."""
    if not kinds.of(space.kind).classifiable(space):
        raise MetricError(
            f"the downstream classifier reads images of at least 8x8 pixels, the suite has "
            f"{space.kind} of shape {space.shape}: leave [downstream] out",
            status="not_applicable",
        )
    if space.classes < 2:
        raise MetricError(
            "the suite has no class labels to train a classifier on: leave [downstream] out",
            status="not_applicable",
        )


def _optimizer(net: nn.Module) -> torch.optim.Adam:
    """Adam whose rate and momentum may change from step to step, also within a captured one."""
    if captures(next(net.parameters()).device):  # the fused kernel takes no momentum as a tensor
        return torch.optim.Adam(net.parameters(), foreach=False, capturable=True)
    return torch.optim.Adam(net.parameters(), fused=True)


def _one_cycle(steps: int) -> Iterator[tuple[float, float]]:
    """The rate and the momentum of each step: torch's one-cycle schedule, of an idle optimiser."""
    optimizer = torch.optim.Adam([torch.zeros(())], betas=(0.9, BETA2))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(steps):
        (group,) = optimizer.param_groups
        yield group["lr"], group["betas"][0]
        optimizer.step()
        schedule.step()


def _order(n: int, total: int) -> Tensor:
    """`total` row numbers: as many whole permutations of ``0 .. n - 1`` as it takes."""
    epochs = -(-total // n)
    return torch.cat([torch.randperm(n) for _ in range(epochs)])[:total]


def _tensor(values: Tensor | Array) -> Tensor:
    return (
        torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    )
