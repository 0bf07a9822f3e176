"""A hierarchical variational autoencoder whose decoder is a distribution over grey levels.

Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), with two levels of latents: a vector z1
and a small map z2 whose prior and posterior both look at z1, as in Sonderby et al., "Ladder
Variational Autoencoders" (2016). Burda et al., "Importance Weighted Autoencoders" (2016), is the
bound that `log_prob` gives for more than one draw.

An image's pixel is a categorical over its grey levels: a mixture of a few level distributions that
all pixels share and the network weighs, so that 81 % black pixels cost next to nothing. A point is
a mixture of Gaussians with learned scales. `sample` draws from exactly these.

What it reaches on MNIST, and how long it takes, stands in the published records (`reports/`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import UsageError
from genbench.generator import GeneratorSpec, Run, Space, TrainData

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
TABLE_GAIN = 20.0  # the level distributions learn this much faster than the rest
UNIFORM = 1e-4  # share of the uniform distribution in every shared level distribution
BETA2 = 0.99  # Adam's memory of squared gradients: short, because training is short
CHUNK = 1000  # rows times draws that go through the network at once, outside of training


@dataclass(frozen=True)
class VAEParams:
    """What ``-g vae:name=value`` sets."""

    batch_size: int = 64
    """Images per step."""
    points_batch_size: int = 256
    """Points per step."""
    lr: float = 3e-3
    """Adam's rate at the start; it falls to 0 along a cosine."""
    width: int = 16
    """Channels at half resolution."""
    wide: int = 40
    """Channels at quarter resolution."""
    latent: int = 32
    """Size of z1."""
    latent_channels: int = 4
    """Channels of the map z2 at quarter resolution."""
    mixture: int = 16
    """Grey-level distributions that all pixels share, or Gaussians of a point's decoder."""
    points_width: int = 128
    """Units of the hidden layers for points."""
    points_latent: int = 2
    """Size of the latent vector for points."""
    weight_decay: float = 0.0
    """Adam's L2 penalty."""
    warmup: float = 0.1
    """Share of the budget in which the weight of the KL terms rises from 0 to 1."""
    ema: float = 0.998
    """Decay per step of the averaged weights, which sample and score."""


class Gaussian(NamedTuple):
    """A diagonal normal distribution."""

    mean: Tensor
    log_std: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:  # (n,)
        t = (z - self.mean) * (-self.log_std).exp()
        return (-0.5 * t.square() - self.log_std - LOG_ROOT_2PI).flatten(1).sum(1)

    def kl(self, prior: Gaussian) -> Tensor:  # (n,)
        ratio = self.log_std - prior.log_std
        shift = (self.mean - prior.mean) * (-prior.log_std).exp()
        return (0.5 * ((2 * ratio).exp() + shift.square() - 1) - ratio).flatten(1).sum(1)


def gaussian(parameters: Tensor) -> Gaussian:
    """Split a network's output (float32 from here on) along channels; bound the log-scale."""
    mean, log_std = parameters.float().chunk(2, 1)
    return Gaussian(mean, 4 * torch.tanh(log_std / 4))


class Terms(NamedTuple):
    """What one pass gives for each row, in nats, ``(n,)``."""

    reconstruction: Tensor  # log p(x | z)
    kl: Tensor  # KL(q(z | x) | p(z)), in closed form given the levels above
    ratio: Tensor  # log q(z | x) - log p(z) at the z drawn; its expectation is kl


class LevelMixture(torch.autograd.Function):
    """log sum_k w_k table[level, k] per pixel, w = softmax(logits).

    The gradient by hand: it needs each component's share of the sum and nothing else, which makes a
    training step a fifth shorter.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, level: Tensor, table: Tensor) -> Tensor:
        weights = logits.softmax(-1)
        share = F.embedding(level, table).mul_(weights)
        total = share.sum(-1, keepdim=True)
        share /= total
        ctx.save_for_backward(weights, share, level, table)
        return total.squeeze(-1).log()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, share, level, table = ctx.saved_tensors
        share = share * grad[..., None]
        by_level = torch.zeros_like(table).index_add_(0, level.flatten(), share.flatten(0, -2))
        return torch.addcmul(share, weights, grad[..., None], value=-1), None, by_level / table


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return out


class ImageNet(nn.Module):
    """Encoder, prior and decoder for images, on 2x2 pixel blocks and on 4x4 ones."""

    def __init__(self, space: Space, params: VAEParams) -> None:
        super().__init__()
        c, h, w = space.shape
        fine, wide = params.width, params.wide
        self.levels, self.k, self.latent = space.levels, params.mixture, params.latent
        self.size = (h, w)
        self.pad = (0, -w % 4, 0, -h % 4)
        self.grid = ((h + 3) // 4, (w + 3) // 4)
        self.map = (params.latent_channels, *self.grid)
        cells = wide * self.grid[0] * self.grid[1]
        self.label = nn.Embedding(max(1, space.classes), wide)
        # encoder
        self.stem = nn.Conv2d(4 * c, fine, 3, padding=1)
        self.down = nn.Conv2d(fine, wide, 3, stride=2, padding=1)
        self.encoder_body = Residual(wide)
        self.q1 = nn.Linear(cells, 2 * params.latent)
        self.q2 = nn.Conv2d(2 * wide, 2 * params.latent_channels, 1)
        # decoder; the prior of z2 is a part of it
        self.z1_in = nn.Linear(params.latent + wide, cells)
        self.top = Residual(wide)
        self.p2 = nn.Conv2d(wide, 2 * params.latent_channels, 1)
        self.z2_in = nn.Conv2d(params.latent_channels, wide, 1)
        self.decoder_body = Residual(wide)
        self.up = nn.Conv2d(wide, 4 * fine, 1)
        self.fine_body = Residual(fine)
        self.out = nn.Conv2d(fine, 4 * c * params.mixture, 1)
        # The shared level distributions start as bumps that cover the scale.
        centre = torch.linspace(0, space.levels - 1, params.mixture)[:, None]
        t = (torch.arange(space.levels) - centre) * (params.mixture / space.levels)
        self.table = nn.Parameter((-0.5 * t.square()).clamp_min(-8) / TABLE_GAIN)  # (k, levels)
        real = self.blocks(torch.ones(1, c, h, w)).flatten(1)
        self.real: Tensor
        self.register_buffer("real", real, persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Tilt the bumps to the grey levels of the first batch: it saves hundreds of steps."""
        level = x.flatten().long()
        count = torch.ones(self.levels, device=x.device)
        count.index_add_(0, level, torch.ones_like(level, dtype=count.dtype))
        self.table.add_((count / count.sum()).log() / TABLE_GAIN)

    def blocks(self, x: Tensor) -> Tensor:
        """(n, c, h, w) as 2x2 blocks, channels last: (n, h / 2, w / 2, 4 c)."""
        return F.pixel_unshuffle(F.pad(x, self.pad), 2).permute(0, 2, 3, 1)

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        blocks = self.blocks(x.float() * (2 / (self.levels - 1)) - 1).contiguous()
        h = self.down(F.relu(self.stem(blocks.permute(0, 3, 1, 2))))
        out: Tensor = self.encoder_body(h + self.label(y)[:, :, None, None])
        return out

    def decode_top(self, z1: Tensor, y: Tensor) -> Tensor:
        h = self.z1_in(torch.cat([z1, self.label(y)], 1)).unflatten(1, (-1, *self.grid))
        out: Tensor = self.top(h.contiguous(memory_format=torch.channels_last))
        return out

    def decode(self, h: Tensor, z2: Tensor) -> Tensor:
        """Mixture weights of every pixel: (n, h / 2, w / 2, 4 c, k) logits, float32."""
        h = F.pixel_shuffle(self.up(F.relu(self.decoder_body(h + self.z2_in(z2)))), 2)
        logits: Tensor = self.out(F.relu(self.fine_body(h))).permute(0, 2, 3, 1)
        return logits.reshape(*logits.shape[:3], -1, self.k).float()

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Terms:
        h = self.encode(x, y)
        q1 = gaussian(self.q1(F.relu(h).flatten(1)))
        p1 = Gaussian(torch.zeros_like(q1.mean), torch.zeros_like(q1.mean))
        z1 = q1.draw(draw(torch.randn, q1.mean.shape, rng, x.device))
        top = self.decode_top(z1, y)
        p2 = gaussian(self.p2(F.relu(top)))
        q2 = gaussian(self.q2(F.relu(torch.cat([h, top], 1))))
        z2 = q2.draw(draw(torch.randn, q2.mean.shape, rng, x.device))
        return Terms(
            self.log_likelihood(x, self.decode(top, z2)),
            q1.kl(p1) + q2.kl(p2),
            q1.log_prob(z1) - p1.log_prob(z1) + q2.log_prob(z2) - p2.log_prob(z2),
        )

    def level_distributions(self) -> Tensor:
        """(k, levels). A trace of uniform keeps every level possible and the logarithm finite."""
        return F.softmax(self.table * TABLE_GAIN, 1) * (1 - UNIFORM) + UNIFORM / self.levels

    def log_likelihood(self, x: Tensor, logits: Tensor) -> Tensor:  # (n,)
        table = self.level_distributions().t().contiguous()
        pixel: Tensor = LevelMixture.apply(logits, self.blocks(x).long(), table)
        return (pixel.flatten(1) * self.real).sum(1)

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        n, device = len(y), y.device
        top = self.decode_top(draw(torch.randn, (n, self.latent), rng, device), y)
        z2 = gaussian(self.p2(F.relu(top))).draw(draw(torch.randn, (n, *self.map), rng, device))
        weight = self.decode(top, z2).double().softmax(4).cumsum(4)
        pick, place = draw(torch.rand, (2, *weight.shape[:4]), rng, device)
        k = (weight <= pick[..., None]).sum(4).clamp_max(self.k - 1)
        # Entry (k, v) of the ladder is k + P_k(level <= v): one search draws from any P_k.
        steps = self.level_distributions().double().cumsum(1)
        ladder = (steps / steps[:, -1:] + torch.arange(self.k, device=device)[:, None]).flatten()
        level = torch.searchsorted(ladder, k + place, right=True) - k * self.levels
        image = level.clamp(0, self.levels - 1).to(torch.uint8).permute(0, 3, 1, 2)
        return F.pixel_shuffle(image, 2)[:, :, : self.size[0], : self.size[1]].contiguous()


class PointsNet(nn.Module):
    """The same with one level of latents, for vectors."""

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, params: VAEParams) -> None:
        super().__init__()
        self.d, self.k, self.latent = space.dims, params.mixture, params.points_latent
        self.label = nn.Embedding(max(1, space.classes), 8)
        self.encoder = self.mlp(self.d + 8, params.points_width, 2 * self.latent)
        self.decoder = self.mlp(self.latent + 8, params.points_width, self.k * (1 + 2 * self.d))
        with torch.no_grad():  # Gaussians that start apart and small find the modes in few steps
            bias = self.decoder.get_parameter("4.bias").view(self.k, -1)
            bias[:, 1 : 1 + self.d].normal_()
            bias[:, 1 + self.d :].fill_(-1.0)
        self.register_buffer("centre", torch.zeros(self.d))
        self.register_buffer("scale", torch.ones(self.d))

    @staticmethod
    def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
        first, last = nn.Linear(inputs, width), nn.Linear(width, outputs)
        return nn.Sequential(first, nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)

    def calibrate(self, x: Tensor) -> None:
        """Fix the scale that the network works on from the first batch."""
        self.centre.copy_(x.mean(0))
        self.scale.copy_(x.std(0, correction=0).clamp_min(1e-6))

    def decode(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture for x given z: log-weights (n, k), means and log-scales (n, k, d)."""
        out = self.decoder(torch.cat([z, self.label(y)], 1)).float().unflatten(1, (self.k, -1))
        weight, mean, log_std = out.split([1, self.d, self.d], 2)
        return weight[:, :, 0].log_softmax(1), mean, 6 * torch.tanh(log_std / 6)

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Terms:
        x = (x - self.centre) / self.scale
        q = gaussian(self.encoder(torch.cat([x, self.label(y)], 1)))
        prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
        z = q.draw(draw(torch.randn, q.mean.shape, rng, x.device))
        weight, mean, log_std = self.decode(z, y)
        t = (x[:, None] - mean) * (-log_std).exp()
        density = (-0.5 * t.square() - log_std - LOG_ROOT_2PI).sum(2)  # (n, k)
        log_px = torch.logsumexp(weight + density, 1) - self.scale.log().sum()
        return Terms(log_px, q.kl(prior), q.log_prob(z) - prior.log_prob(z))

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        n, device = len(y), y.device
        z = draw(torch.randn, (n, self.latent), rng, device)
        weight, mean, log_std = self.decode(z, y)
        pick = draw(torch.rand, (n, 1), rng, device)
        k = (weight.double().exp().cumsum(1) <= pick).sum(1).clamp_max(self.k - 1)
        row = torch.arange(n, device=device)
        x = mean[row, k] + log_std[row, k].exp() * draw(torch.randn, (n, self.d), rng, device)
        return x * self.scale + self.centre


def draw(
    kind: Callable[..., Tensor], shape: Sequence[int], rng: torch.Generator, device: torch.device
) -> Tensor:
    """Numbers from `rng` on `device`; uniform ones are float64, so that ties do not matter."""
    dtype = torch.float64 if kind is torch.rand else torch.float32
    return kind(shape, generator=rng, dtype=dtype, device=rng.device).to(device)


def schedule(fraction: float) -> float:
    """Factor on the rate: a short rise, then a cosine to 0."""
    return min(1.0, fraction / 0.02) * 0.5 * (1 + math.cos(math.pi * fraction))


class VAE:
    """See the module's docstring and `genbench.generator.DensityGenerator`."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="vae",
        version="1",
        family="vae",
        kinds=("image", "points"),
        labels="given",
        likelihood="lower-bound",
        params=VAEParams,
        reference="Kingma & Welling 2014; Sonderby et al. 2016; Burda et al. 2016",
    )

    def __init__(self, params: VAEParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.net = self.build(0)

    def build(self, seed: int) -> ImageNet | PointsNet:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if self.space.kind == "points":
                return PointsNet(self.space, self.params).to(self.device)
            return ImageNet(self.space, self.params).to(self.device)

    def rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if self.space.classes == 0:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"vae got labels=None in a space of {self.space.classes} classes: pass int64 (n,)"
            )
        return labels.to(self.device)

    def autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA; float32 elsewhere, which is faster without bfloat16 units."""
        cuda = self.device.type == "cuda"
        return torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=cuda)

    def fit(self, train: TrainData, run: Run) -> None:
        p, points = self.params, self.space.kind == "points"
        net, rng = self.build(run.seed).train(), self.rng(run.seed)
        self.net = copy.deepcopy(net).requires_grad_(False)  # the averaged weights
        averaged = list(self.net.state_dict().values())
        fused = self.device.type in ("cpu", "cuda")
        optimizer = torch.optim.Adam(
            net.parameters(), p.lr, betas=(0.9, BETA2), fused=fused, weight_decay=p.weight_decay
        )
        unit = "nats" if points else "bits_per_dim"
        scale = 1.0 if points else 1 / (self.space.dims * math.log(2))
        saved = run.restore()
        if saved is not None:
            net.load_state_dict(saved["net"])
            self.net.load_state_dict(saved["ema"])
            optimizer.load_state_dict(saved["optimizer"])
            rng.set_state(saved["rng"])

        batch_size = p.points_batch_size if points else p.batch_size
        for x, labels in train.batches(batch_size, seed=run.seed, start=run.served):
            if run.served == len(x):
                net.calibrate(x)
            optimizer.param_groups[0]["lr"] = p.lr * schedule(run.fraction)
            with self.autocast():
                terms = net(x, self.classes(len(x), labels), rng)
            reconstruction, kl = -terms.reconstruction.mean(), terms.kl.mean()
            loss = reconstruction + min(1.0, run.fraction / p.warmup) * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step = -(-run.served // batch_size)
            for kept, now in zip(averaged, net.state_dict().values(), strict=True):
                kept.lerp_(now, max(1 - p.ema, 10 / (9 + step)))
            rec, kl = reconstruction.detach() * scale, kl.detach() * scale
            run.progress(**{f"elbo_{unit}": rec + kl}, reconstruction=rec, kl=kl)
            run.checkpoint(
                lambda: {
                    "net": net.state_dict(),
                    "ema": self.net.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "rng": rng.get_state(),
                }
            )
        self.net.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = self.rng(seed)
        with self.autocast():
            parts = [self.net.generate(y, rng) for y in torch.split(self.classes(n, labels), CHUNK)]
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """The ELBO, or for `draws` > 1 the importance-weighted bound, nats, ``(n,)``."""
        rng, y, bounds = self.rng(seed), self.classes(len(x), labels), []
        pairs = torch.arange(len(x), device=self.device).repeat_interleave(draws)
        for rows in torch.split(pairs, CHUNK):
            with self.autocast():
                terms = self.net(x[rows], y[rows], rng)
            bounds.append(terms.reconstruction - (terms.kl if draws == 1 else terms.ratio))
        bound = torch.cat(bounds).double().view(len(x), draws)
        return torch.logsumexp(bound, 1) - math.log(draws)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict(dict(state))
