"""A classifier of colour images that learns in a few epochs, and how it is trained.

After airbench (Jordan 2024, arXiv:2404.00498), narrower: a frozen 2 x 2 convolution that whitens
patches, three groups of two 3 x 3 convolutions that begin as identities, batch norms whose gain
stays one; SGD with Nesterov momentum, the loss summed over a batch, label smoothing, flips that
alternate from epoch to epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.features.shifting import shifted

PATCHES = 100_000  # that whitening is estimated from
LOGIT_SCALE = 1 / 9
MOMENTUM = 0.85
DECOUPLED = 1024 * (1 + 1 / (1 - MOMENTUM))  # by which rates and decay of the paper are divided
BIAS_RATE = 64.0  # times as fast as weights
WARM_UP = 0.2  # of all steps
BIASED_EPOCHS = 3  # in which the whitening's biases learn


class _Norm(nn.BatchNorm2d):
    """Batch norm without a gain to learn, which forgets fast."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad_(False)


class _Group(nn.Sequential):
    """Two convolutions, the first of which halves the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            _Norm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            _Norm(outputs),
            nn.ReLU(),
        )


class WhitenedNet(nn.Module):
    """A classifier of images of 16 pixels and more whose pooled maps serve as the feature space.

    Parameters
    ----------
    shape
        ``(C, H, W)`` of one image.
    classes
        Number of logits.
    channels
        Width of each of the three groups; the last is the number of features.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, shape: tuple[int, ...], classes: int, channels: tuple[int, ...] = (64, 192, 192)
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape[0], 1, 1))
        self.register_buffer("spread", torch.ones(shape[0], 1, 1))
        self.whiten = nn.Conv2d(shape[0], 2 * 4 * shape[0], 2)
        widths = (2 * 4 * shape[0], *channels)
        self.groups = nn.Sequential(*map(_Group, widths, widths[1:]))
        self.head = nn.Linear(channels[-1], classes, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """Largest values of each map, float32 ``(n, channels[-1])``, of images in [0, 1]."""
        y = F.relu(self.whiten((x - self.mean) / self.spread))
        found: Tensor = self.groups(y).amax((2, 3))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Class logits float32 ``(n, classes)``."""
        logits: Tensor = self.head(self.features(x))
        return logits


@dataclass(frozen=True)
class WhitenedRecipe:
    """The hyperparameters of one training; chosen on the validation split.

    Parameters
    ----------
    epochs, batch_size
        Passes over the train split; rows per step, of which the last few of an epoch are left out.
    rate, weight_decay
        As in the paper: of batches of 1,024, before they are divided by `DECOUPLED`.
    shift
        Largest random translation in pixels, per image; what moves in is mirrored.
    flip
        Whether images are mirrored every other epoch.
    smoothing
        Label smoothing of the cross entropy.
    seed
        Seeds the initial weights, the order and the shifts.
    channels
        See `WhitenedNet`.
    """

    epochs: int
    batch_size: int = 512
    rate: float = 11.5
    weight_decay: float = 0.0153
    shift: int = 2
    flip: bool = True
    smoothing: float = 0.2
    seed: int = 0
    channels: tuple[int, ...] = (64, 192, 192)


def train_whitened(
    x: Tensor,
    y: Tensor,
    top: int,
    classes: int,
    recipe: WhitenedRecipe,
    *,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> WhitenedNet:
    """Train a `WhitenedNet` under bfloat16 autocast; returned in eval mode, its weights float32.

    `x` is uint8 ``(n, C, H, W)`` in ``0 .. top``, `y` int64 ``(n,)``. The global random state is
    left as it was found. `report` is called with the number of epochs done and the last mean loss.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = WhitenedNet(tuple(x.shape[1:]), classes, recipe.channels)
        _begin(net, x.float() / top)
        net.to(memory_format=torch.channels_last)
        size = min(recipe.batch_size, len(x))
        optimizer, steps = _optimizer(net, recipe, size), recipe.epochs * (len(x) // size)
        pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step / steps))
        mirrored = torch.rand(len(x)) < 0.5
        for epoch in range(recipe.epochs):
            net.whiten.bias.requires_grad_(epoch < BIASED_EPOCHS)  # type: ignore[union-attr]
            total = 0.0
            for rows in torch.split(torch.randperm(len(x))[: len(x) // size * size], size):
                images = shifted(x[rows].float() / top, recipe.shift, "reflect")
                if recipe.flip:
                    turned = mirrored[rows] ^ bool(epoch % 2)
                    images[turned] = images[turned].flip(3)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = net(images.contiguous(memory_format=torch.channels_last))
                loss = F.cross_entropy(
                    logits.float() * LOGIT_SCALE, y[rows],
                    label_smoothing=recipe.smoothing, reduction="sum",
                )  # fmt: skip
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                pace.step()
                total += loss.item()
            report(epoch + 1, total / (len(x) // size * size))
        net.head.weight.data.mul_(LOGIT_SCALE)
    return net.eval()


def halved(net: nn.Module) -> dict[str, Tensor]:
    """The state for a file, and into `net`: weights in half precision, statistics as they are."""
    small = {name: p.data.copy_(p.half()).half() for name, p in net.named_parameters()}
    return {**net.state_dict(), **small}


@torch.no_grad()
def _begin(net: WhitenedNet, x: Tensor) -> None:
    """Mean and spread of the training images, whitening of their patches, identities elsewhere."""
    spread, mean = torch.std_mean(x, (0, 2, 3), keepdim=True)
    net.mean.copy_(mean[0])
    net.spread.copy_(spread[0])
    few = x[torch.randperm(len(x))[: max(PATCHES // (x.shape[2] * x.shape[3]), 50)]]
    patches = F.unfold((few - mean) / spread, 2).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    weight = (vectors / (values + 5e-4).sqrt()).T.reshape(-1, *net.whiten.weight.shape[1:])
    net.whiten.weight.copy_(torch.cat([weight, -weight])).requires_grad_(False)
    assert net.whiten.bias is not None
    net.whiten.bias.zero_()
    for conv in _convolutions(net):
        nn.init.dirac_(conv.weight[: conv.weight.shape[1]])


def _convolutions(net: WhitenedNet) -> Iterator[nn.Conv2d]:
    return (module for module in net.groups.modules() if isinstance(module, nn.Conv2d))


def _optimizer(net: WhitenedNet, recipe: WhitenedRecipe, size: int) -> torch.optim.SGD:
    """SGD whose weight decay does not depend on the rates."""
    rate, decay = recipe.rate / DECOUPLED, recipe.weight_decay * size / DECOUPLED
    groups = []
    for flat, own in ((True, rate * BIAS_RATE), (False, rate)):
        parameters = [p for p in net.parameters() if (p.dim() == 1) == flat and p.requires_grad]
        groups.append({"params": parameters, "lr": own, "weight_decay": decay / own})
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def _pace(done: float) -> float:
    """The rate at this share of all steps, as a share of the highest."""
    return 0.2 + 0.8 * done / WARM_UP if done < WARM_UP else (1 - done) / (1 - WARM_UP) + 0.02
