"""The density of `realnvp`: coupling layers over images at two scales, or over points.

A coupling layer leaves one half of its scalars as they are; a network that sees them, and the
class, scales and shifts the other half. Its Jacobian is triangular and its inverse as cheap as it
is itself, whatever the network. Before it every channel is brought to mean 0 and deviation 1, by
constants that the first batch sets and training moves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.colour import COLOURS, is_colour
from genbench.errors import UsageError
from genbench.generator import Space

MARGIN = 0.05  # of the range of grey levels, at either end, so that no logit is infinite
SHARPEST = 2.0  # the most that a layer may scale by at the start, as a logarithm
# Of four channels, the two that a coupling moves, layer after layer. Once 2x2 pixels are the
# channels of one position, 0 and 3 are the white fields of a checkerboard, 1 and 2 the black ones.
CHECKERBOARD = ((0, 3), (1, 2), (0, 3), (1, 2), (0, 1), (2, 3))
CHANNELS = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))
# Of colour images a coupling moves green, then the colours beside it, given the others, and then
# fields of a checkerboard: a channel of a pixel is told best by its other channels.
COLOUR_MASKS = (("colour", (1,)), ("colour", (0, 2)), ("field", (1, 2)), ("field", (0, 3)))


class ImageNet(nn.Module):
    """Kept channels and class -> scales and shifts.

    Two 3x3 convolutions around a residual block of 1x1 ones. With 3x3 ones inside as well, five
    times the work, it learned no faster by example.
    """

    def __init__(self, kept: int, width: int, moved: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(kept, width, 3, padding=1)
        self.label = nn.Embedding(classes, width)
        self.first = nn.Conv2d(width, width, 1)
        self.second = nn.Conv2d(width, width, 1)
        self.out = nn.Conv2d(width, 2 * moved, 3, padding=1)
        nn.init.zeros_(self.label.weight)

    def forward(self, kept: Tensor, y: Tensor) -> Tensor:
        x = self.stem(kept.contiguous(memory_format=torch.channels_last))
        x = x + self.label(y)[:, :, None, None]
        x = x + self.second(F.relu(self.first(F.relu(x))))
        out: Tensor = self.out(F.relu(x))
        return out


class ColourNet(nn.Module):
    """The same for colour, with one convolution in the residual block: of `inner` x `inner` pixels.

    Of one, for which there are twice the layers in a given time, `realnvp` learns faster.
    """

    def __init__(self, kept: int, width: int, moved: int, classes: int, *, inner: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(kept, width, 3, padding=1)
        self.label = nn.Embedding(classes, width)
        self.inner = nn.Conv2d(width, width, inner, padding=inner // 2)
        self.out = nn.Conv2d(width, 2 * moved, 3, padding=1)
        for start in (self.label.weight, self.out.weight, self.out.bias):
            nn.init.zeros_(start)  # nothing moves before training

    def forward(self, kept: Tensor, y: Tensor) -> Tensor:
        x = self.stem(kept.contiguous(memory_format=torch.channels_last))
        x = x + self.label(y)[:, :, None, None].to(x.dtype)  # else all that follows is float32
        x = x + self.inner(F.relu(x))
        out: Tensor = self.out(F.relu(x))
        return out


class PointsNet(nn.Module):
    """Dense layers: kept coordinates and class -> scales and shifts."""

    def __init__(self, kept: int, width: int, moved: int, classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, width)
        self.stem = nn.Linear(kept, width) if kept else None  # points of one coordinate keep none
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 2 * moved)

    def forward(self, kept: Tensor, y: Tensor) -> Tensor:
        x = self.label(y) if self.stem is None else self.stem(kept) + self.label(y)
        out: Tensor = self.out(F.silu(self.hidden(F.silu(x))))
        return out


class Coupling(nn.Module):
    """One layer: normalise every channel, then scale and shift those that move.

    Parameters
    ----------
    moved
        The channels that move, of `channels`; axis 1 is that of channels.
    sites
        Scalars per channel, as ``(1, 1)`` for an image's rows and columns and ``()`` for points.
    """

    moved: Tensor
    kept: Tensor
    order: Tensor

    def __init__(
        self,
        moved: list[int],
        channels: int,
        sites: tuple[int, ...],
        net: type,
        width: int,
        classes: int,
    ) -> None:
        super().__init__()
        kept = [i for i in range(channels) if i not in moved]
        for name, places in (("moved", moved), ("kept", kept)):
            self.register_buffer(name, torch.tensor(places, dtype=torch.int64), persistent=False)
        order = torch.tensor(kept + moved).argsort()
        self.register_buffer("order", order, persistent=False)
        self.shift = nn.Parameter(torch.zeros(1, channels, *sites))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, *sites))
        self.log_sharp = nn.Parameter(torch.zeros(1, len(moved), *sites))
        self.net: nn.Module = net(len(kept), width, len(moved), classes)
        nn.init.zeros_(self.net.get_parameter("out.weight"))  # nothing moves before training
        nn.init.zeros_(self.net.get_parameter("out.bias"))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the constants that normalise, from a batch."""
        axes = [0, *range(2, x.dim())]
        self.shift.copy_(-x.mean(axes, keepdim=True))
        deviation = x.std(axes, correction=0, keepdim=True)
        self.log_scale.copy_(-deviation.clamp_min(1e-3).log())

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The layer at ``(n, channels, ...)``, and the logarithm of its determinant, ``(n,)``."""
        x = (x + self.shift) * self.log_scale.exp()
        kept, moved = x.index_select(1, self.kept), x.index_select(1, self.moved)
        log_scale, shift = self._affine(kept, y)
        x = torch.cat([kept, moved * log_scale.exp() + shift], 1).index_select(1, self.order)
        sites = x[0, 0].numel()
        return x, log_scale.flatten(1).sum(1) + self.log_scale.sum() * sites

    def inverse(self, x: Tensor, y: Tensor) -> Tensor:
        """Undo `forward`."""
        kept, moved = x.index_select(1, self.kept), x.index_select(1, self.moved)
        log_scale, shift = self._affine(kept, y)
        moved = (moved - shift) * (-log_scale).exp()
        x = torch.cat([kept, moved], 1).index_select(1, self.order)
        return x * (-self.log_scale).exp() - self.shift

    def _affine(self, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of scales, bounded so that training cannot run away, and shifts."""
        raw, shift = self.net(kept, y).float().chunk(2, 1)
        return torch.tanh(raw / SHARPEST) * SHARPEST * self.log_sharp.exp(), shift


def masked(channels: int, mask: tuple[str, tuple[int, ...]]) -> list[int]:
    """The channels of 2x2 blocks of colour pixels that a mask of `COLOUR_MASKS` moves."""
    part, which = mask
    each = channels // COLOURS  # block by block the reds, the greens, the blues
    return [i for i in range(channels) if (i // each if part == "colour" else i % 4) in which]


class Prior(nn.Module):
    """A Gaussian with a mean and a deviation of its own for every scalar of every class."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(classes, *shape))
        self.log_std = nn.Parameter(torch.zeros(classes, *shape))

    def log_prob(self, z: Tensor, y: Tensor) -> Tensor:
        """Log-density at ``(n, *shape)``, nats, ``(n,)``."""
        mean, log_std = self.mean.index_select(0, y), self.log_std.index_select(0, y)
        density = -0.5 * ((z - mean) * (-log_std).exp()).square() - log_std
        return density.flatten(1).sum(1) - z[0].numel() * math.log(2 * math.pi) / 2

    def place(self, noise: Tensor, y: Tensor) -> Tensor:
        """Standard normal noise as draws."""
        return self.mean.index_select(0, y) + self.log_std.index_select(0, y).exp() * noise


class Density(nn.Module):
    """The flow from images or points to Gaussian noise.

    Stages of couplings, at most two; behind the first half of the channels are done (Dinh et al.
    2017, section 3.6). Each stage of images begins by making 2x2 positions the channels of one.

    Parameters
    ----------
    layers
        Couplings of each stage; one stage for points.
    widths
        Channels, or units, of their networks, by stage.

    Raises
    ------
    UsageError
        If a side of an image is odd.
    """

    done: Tensor
    goes_on: Tensor
    order: Tensor

    def __init__(self, space: Space, layers: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels, self.image = space.levels, space.kind == "image"
        self.colour = is_colour(space)
        shape, classes = space.shape, max(1, space.classes)
        self.stages, self.priors = nn.ModuleList(), nn.ModuleList()
        if self.image and (shape[1] % 2 or shape[2] % 2):
            raise UsageError(
                f"realnvp halves images and {shape[1]} x {shape[2]} pixels is odd: "
                "choose even sides, or another generator"
            )
        if self.image and (shape[1] % 4 or shape[2] % 4):
            layers, widths = layers[:1], widths[:1]  # they can be halved once
        last = len(layers) - 1
        for i, (count, width) in enumerate(zip(layers, widths, strict=True)):
            if self.image:
                shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
            self.stages.append(
                nn.ModuleList(self._coupling(shape, width, i, k, classes) for k in range(count))
            )
            if i < last:
                done = self._done(shape[0])
                goes_on = [j for j in range(shape[0]) if j not in done]
                self.register_buffer("done", torch.tensor(done), persistent=False)
                self.register_buffer("goes_on", torch.tensor(goes_on), persistent=False)
                order = torch.tensor(done + goes_on).argsort()
                self.register_buffer("order", order, persistent=False)
                self.priors.append(Prior((len(done), *shape[1:]), classes))
                shape = (len(goes_on), *shape[1:])
        self.priors.append(Prior(shape, classes))

    def _coupling(
        self, shape: tuple[int, ...], width: int, stage: int, k: int, classes: int
    ) -> Coupling:
        channels = shape[0]
        if not self.image:  # every other coordinate, in turn
            moved = [i for i in range(channels) if (i + k) % 2] or [0]
            return Coupling(moved, channels, (), PointsNet, width, classes)
        if self.colour:
            moved = masked(channels, COLOUR_MASKS[k % len(COLOUR_MASKS)])
            return Coupling(moved, channels, (1, 1), ColourNet, width, classes)
        masks = CHANNELS if stage else CHECKERBOARD
        moved = [i for i in range(channels) if i % 4 in masks[k % len(masks)]]
        return Coupling(moved, channels, (1, 1), ImageNet, width, classes)

    def _done(self, channels: int) -> list[int]:
        """The channels that no second stage follows: half of the fields where there are colours."""
        return masked(channels, COLOUR_MASKS[-1]) if self.colour else list(range(channels // 2))

    def forward(self, x: Tensor, y: Tensor, *, calibrate: bool = False) -> Tensor:
        """Log-density at float rows of the space, dequantised if it has levels, nats, ``(n,)``."""
        total = x.new_zeros(len(x))
        if self.image:
            x = MARGIN + (1 - 2 * MARGIN) * x / self.levels
            slope = math.log((1 - 2 * MARGIN) / self.levels) - x.log() - (1 - x).log()
            x, total = x.logit(), slope.flatten(1).sum(1)
        for stage, prior in zip(self.stages, self.priors, strict=True):
            x = F.pixel_unshuffle(x, 2) if self.image else x
            for layer in stage:  # type: ignore[union-attr, unused-ignore]
                if calibrate:
                    layer.calibrate(x)
                x, log_det = layer(x, y)
                total = total + log_det
            z = x
            if stage is not self.stages[-1]:
                x, z = x.index_select(1, self.goes_on), x.index_select(1, self.done)
            total = total + prior.log_prob(z, y)
        return total

    def inverse(self, noise: list[Tensor], y: Tensor) -> Tensor:
        """Float rows of the space of standard normal `noise`, a tensor per stage as `shapes`."""
        x = None
        for stage, prior, e in reversed(list(zip(self.stages, self.priors, noise, strict=True))):
            z = prior.place(e, y)
            x = z if x is None else torch.cat([z, x], 1).index_select(1, self.order)
            for layer in reversed(stage):
                x = layer.inverse(x, y)
            x = F.pixel_shuffle(x, 2) if self.image else x
        assert x is not None
        if self.image:
            x = (x.sigmoid() - MARGIN) * (self.levels / (1 - 2 * MARGIN))
        return x

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the noise of each stage, without ``n``."""
        return [tuple(prior.mean.shape[1:]) for prior in self.priors]
