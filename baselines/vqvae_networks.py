"""The networks of `vqvae`: from an image to a grid of codes and back, and the prior over codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.flow_inverse import Inverse
from genbench.baselines.flow_networks import Conditioner, Solver
from genbench.baselines.grey_levels import GreyLevels
from genbench.baselines.vae_image import Residual, sum_by_level
from genbench.generator import Space

LARGE = 16  # pixels a side: from there on a code stands for 4x4 pixels, else for 2x2
KEPT = 0.98  # share of a code's count and sum that survives a step
DEAD = 0.05  # of an even use: a code that is used less is put elsewhere,
DRAWN = 8  # to the farthest from its vector of so many encodings


class Codebook(nn.Module):
    """Vectors, each the mean of what the encoder gave it of late (van den Oord 2017, appendix)."""

    count: Tensor
    total: Tensor

    def __init__(self, codes: int, size: int) -> None:
        super().__init__()
        self.codes = codes
        self.register_buffer("count", torch.ones(codes))
        self.register_buffer("total", torch.randn(codes, size))

    def vectors(self) -> Tensor:
        """One for each code, (codes, size)."""
        return self.total / self.count[:, None]

    def nearest(self, e: Tensor) -> Tensor:
        """The codes, int64 (...), of encodings (..., size)."""
        vectors = self.vectors()
        return (vectors.square().sum(1) / 2 - e @ vectors.T).argmin(-1)

    @torch.no_grad()
    def begin(self, e: Tensor, rng: torch.Generator) -> None:
        """Begin at some of the encodings (n, size), each used evenly."""
        self.count.fill_(len(e) / self.codes)
        self.total.copy_(self._far(e, e.square().sum(1), rng) * self.count[:, None])

    @torch.no_grad()
    def move(self, e: Tensor, code: Tensor, rng: torch.Generator) -> None:
        """Move towards encodings (n, size) with codes (n,); codes out of use go to far ones."""
        chosen = self._far(e, (e - self.vectors()[code]).square().sum(1), rng)
        ones = torch.ones_like(e[:, :1])
        sums = sum_by_level(torch.cat([e, ones], 1), code, self.codes)
        self.total.lerp_(sums[:, :-1], 1 - KEPT)
        self.count.lerp_(sums[:, -1], 1 - KEPT)
        even = len(e) / self.codes
        dead = self.count < DEAD * even
        self.total.copy_(torch.where(dead[:, None], chosen * even, self.total))
        self.count.masked_fill_(dead, even)

    def _far(self, e: Tensor, distance: Tensor, rng: torch.Generator) -> Tensor:
        """For each code the farthest of some encodings drawn by chance: most are of blank paper."""
        drawn = torch.randint(len(e), (self.codes, DRAWN), generator=rng, device=e.device)
        farthest = distance[drawn].argmax(1, keepdim=True)
        return e[drawn.gather(1, farthest)[:, 0]]

    def perplexity(self) -> Tensor:
        """As many codes, used evenly, would be as hard to guess."""
        share = self.count / self.count.sum()
        return (-share * (share + 1e-12).log()).sum().exp()


class Coder(nn.Module):
    """Encoder, codebook and decoder; the decoder is a distribution over grey levels.

    Parameters
    ----------
    width, wide
        Channels at the higher and at the codes' resolution.
    codes, size
        Vectors of the codebook and their size.
    mixture
        Distributions over levels that all pixels share.
    """

    real: Tensor

    def __init__(
        self, space: Space, *, width: int, wide: int, codes: int, size: int, mixture: int
    ) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.shape, self.top = (height, columns), max(1, space.levels - 1)
        self.block = 2 if min(self.shape) >= LARGE else 1  # side of what convolutions see as one
        cell = 2 * self.block
        self.pad = (0, -columns % cell, 0, -height % cell)
        self.grid = (-(-height // cell), -(-columns // cell))
        inside = channels * self.block**2
        self.stem = nn.Conv2d(inside, width, 3, padding=1)
        # The encoder sees little beside its own cell: else blank paper, two thirds of the cells,
        # has as many codes as there are strokes around it, and the prior must guess them all.
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.inner = nn.Conv2d(wide, wide, 1)
        self.to_code = nn.Conv2d(wide, size, 1)
        self.book = Codebook(codes, size)
        self.from_code = nn.Conv2d(size, wide, 3, padding=1)
        self.decoder_body = nn.Sequential(Residual(wide), Residual(wide))
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.fine_body = Residual(width)
        self.out = nn.Conv2d(width, inside * mixture, 1)
        self.levels = GreyLevels(space.levels, mixture)
        real = self._blocks(torch.ones(1, channels, height, columns))
        self.register_buffer("real", real, persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """The encodings of uint8 images, row after row of the grid: (n, places, size)."""
        blocks = self._blocks(x.float() * (2 / self.top) - 1).permute(0, 3, 1, 2)
        seen = self.inner(F.relu(self.down(F.relu(self.stem(blocks)))))
        e: Tensor = self.to_code(F.relu(seen)).float()
        # Of one length, so that they cannot outgrow the codebook, which follows slowly.
        return F.layer_norm(e.flatten(2).transpose(1, 2), (e.shape[1],))

    def decode(self, vectors: Tensor) -> Tensor:
        """Mixture weights of every pixel in blocks: logits (n, h, w, channels, mixture)."""
        seen = vectors.transpose(1, 2).unflatten(2, self.grid)
        seen = self.decoder_body(self.from_code(seen.contiguous(memory_format=torch.channels_last)))
        fine = F.pixel_shuffle(self.up(F.relu(seen)), 2)
        logits: Tensor = self.out(F.relu(self.fine_body(fine))).permute(0, 2, 3, 1)
        return logits.unflatten(3, (-1, self.levels.mixture)).float()

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """log p(x | codes), nats, (n,), of uint8 images; padding does not count."""
        each = self.levels.log_prob(logits, self._blocks(x).long())
        return (each * self.real).flatten(1).sum(1)

    def image(self, level: Tensor) -> Tensor:
        """The uint8 images of levels in blocks (n, h, w, channels)."""
        x = F.pixel_shuffle(level.to(torch.uint8).permute(0, 3, 1, 2), self.block)
        return x[:, :, : self.shape[0], : self.shape[1]].contiguous()

    def _blocks(self, x: Tensor) -> Tensor:
        """Images as blocks of pixels, channels last."""
        return F.pixel_unshuffle(F.pad(x, self.pad), self.block).permute(0, 2, 3, 1)


class CodeConditioner(Conditioner):
    """The networks of `pixelcnn` for codes, which have vectors where levels have steps."""

    def __init__(self, codes: int, size: int, grid: tuple[int, int], classes: int, **widths: int):
        super().__init__(*grid, classes, plateaus=codes, soft_steps=size - 1, **widths)
        del self.step_at, self.step_rate
        self.code = nn.Embedding(codes, size)

    def features(self, v: Tensor) -> Tensor:
        """The vectors of codes (..., w) as (..., w * size)."""
        vectors: Tensor = self.code(v.long())
        return vectors.flatten(-2)


class Prior(nn.Module):
    """A `pixelcnn` over the grid of codes: each given the class, the rows above and those left."""

    def __init__(
        self, codes: int, size: int, grid: tuple[int, int], classes: int, **widths: int
    ) -> None:
        super().__init__()
        self.rows, self.width = grid
        self.net = CodeConditioner(codes, size, grid, classes, **widths)

    def log_prob(self, code: Tensor, y: Tensor) -> Tensor:
        """log p(codes | class), nats, (n,), of codes (n, places)."""
        logits = self.net(code.unflatten(1, (self.rows, self.width)), y).float()
        each = F.cross_entropy(logits.flatten(0, 2), code.flatten(), reduction="none")
        return -each.view_as(code).sum(1)

    def draw(self, z: Tensor, y: Tensor) -> Tensor:
        """The codes (n, places) that z in [0, 1), float64 (n, places), picks for classes (n,)."""
        code: Tensor = Inverse(self, len(z))(z.unflatten(1, (self.rows, self.width)), y)
        return code

    def solver(self) -> Solver:
        """The inverse of a code's CDF."""
        return _pick

    def from_rows(self, v: Tensor) -> Tensor:
        """Codes (n, places) of (n, rows, width)."""
        return v.long().flatten(1)


def _pick(z: Tensor, logits: Tensor) -> Tensor:
    ends = logits.double().softmax(1).cumsum(1)
    return (ends <= z[:, None]).sum(1).clamp_max(logits.shape[1] - 1)


class Terms(NamedTuple):
    """What one pass says of images."""

    reconstruction: Tensor  # log p(image | code), nats, (n,)
    prior: Tensor  # log p(code | class), nats, (n,)
    distance: Tensor  # squared, of the encodings from their vectors, (n,)
    encodings: Tensor  # (n, places, size)
    code: Tensor  # int64 (n, places)


class Network(nn.Module):
    """Coder and prior. The encoder learns from the decoder alone, the prior from codes alone."""

    def __init__(self, coder: Coder, prior: Prior) -> None:
        super().__init__()
        self.coder, self.prior = coder, prior

    def forward(self, x: Tensor, y: Tensor, *, mixed: bool = False) -> Terms:
        """The terms of uint8 images of classes `y`; `mixed`: bfloat16 ones on a card."""
        coder, kind = self.coder, "cuda" if mixed else "cpu"
        # No cache of weights: it would outlive the capture of a step.
        with torch.autocast(kind, torch.bfloat16, enabled=mixed, cache_enabled=False):
            e = coder.encode(x)
        code = coder.book.nearest(e.detach())
        vectors = coder.book.vectors()[code]
        straight = e + (vectors - e).detach()  # the vectors, with the gradient of the encodings
        with torch.autocast(kind, torch.bfloat16, enabled=mixed, cache_enabled=False):
            logits, prior = coder.decode(straight), self.prior.log_prob(code, y)
        distance = (e - vectors).square().sum((1, 2))
        return Terms(coder.log_prob(x, logits), prior, distance, e.detach(), code)
