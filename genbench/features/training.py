"""Training of the extractors' classifiers, on a suite's train split and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.features.network import ClassifierNet
from genbench.generator import Space


@dataclass(frozen=True)
class Recipe:
    """How one extractor is trained; chosen on the validation split.

    Parameters
    ----------
    epochs, batch_size
        Passes over the train split; rows per step.
    rate
        Peak of the one-cycle learning rate of AdamW.
    shift
        Largest random translation in pixels, per image.
    smoothing
        Label smoothing of the cross entropy.
    seed
        Seeds the initial weights, the order, the shifts and the dropout.
    channels
        See `ClassifierNet`.
    """

    epochs: int = 10
    batch_size: int = 128
    rate: float = 4e-3
    weight_decay: float = 1e-2
    shift: int = 1
    smoothing: float = 0.0
    seed: int = 0
    channels: tuple[int, ...] = (32, 64)


def train_classifier_net(
    x: Tensor,
    y: Tensor,
    space: Space,
    recipe: Recipe,
    *,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> ClassifierNet:
    """Train a `ClassifierNet` on grey-level images `x` and labels `y`; returned in eval mode.

    The global random state is left as it was found. `report` is called with the number of epochs
    done and the mean loss of the last.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = ClassifierNet(space.shape, space.classes, recipe.channels)
        net.to(memory_format=torch.channels_last)
        steps = recipe.epochs * -(-len(x) // recipe.batch_size)
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps)
        for epoch in range(recipe.epochs):
            total = 0.0
            for rows in torch.split(torch.randperm(len(x)), recipe.batch_size):
                images = shifted(x[rows].float() / (space.levels - 1), recipe.shift)
                loss = F.cross_entropy(net(images), y[rows], label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += loss.item() * len(rows)
            report(epoch + 1, total / len(x))
    return net.eval()


def shifted(x: Tensor, most: int) -> Tensor:
    """Each image of ``(n, C, H, W)`` translated by up to `most` pixels, zeros moving in."""
    if most == 0:
        return x
    n, _, height, width = x.shape
    padded = F.pad(x, (most, most, most, most))
    top, left = torch.randint(0, 2 * most + 1, (2, n, 1))
    rows = (top + torch.arange(height))[:, None, :, None]
    columns = (left + torch.arange(width))[:, None, None, :]
    index = torch.arange(n)[:, None, None, None]
    channel = torch.arange(x.shape[1])[None, :, None, None]
    return padded[index, channel, rows, columns]
