"""A generative adversarial network: small convolutional nets for images, an MLP for points.

Loss: the relativistic pairing loss (Jolicoeur-Martineau, 2019). The discriminator D minimises
softplus(-m) and the generator softplus(m), where m = D(real) - D(fake) and both rows of a pair have
the same class. Kept stable by spectral normalisation (Miyato et al., 2018) on images and by a zero-
centred gradient penalty on real and fake points (R1 + R2; Huang et al., 2024). Classes enter D by
projection (Miyato & Koyama, 2018) and a shift of its last layer, and D also learns to prefer a real
image's own class to a wrong one (matching-aware; Reed et al., 2016). The image nets follow DCGAN
(Radford et al., 2016) but work at half resolution: 2x2 pixels are one position with four channels,
which costs a quarter. Two dense layers bend the noise first, as in StyleGAN (Karras et al., 2019),
and D ends in a dense layer over the whole image: next to the convolutions both are cheap. Samples
come from an average of the generator's weights (Yazici et al., 2019) whose batch-normalisation
statistics are recomputed at the end.

For images the generator also descends the energy distance between its fakes and the real images of
their class (Szekely & Rizzo, 2013; Bellemare et al., 2017): real ones attract, fakes repel each
other, so that fewer rare shapes of a class are dropped. It counts most at the start, when shapes
are found or lost. Samples are drawn from noise a little wider than in training, the opposite of the
truncation of Brock et al. (2019): a generator dwells on the shapes that are common.

What it made of MNIST (validation rows; TSTR is the accuracy of a classifier trained on samples).
150,000 images, one seed: FID 10.0 without the energy term, 8.0 with it, 3.3 with batches of 32 for
48; 2.6 with the bent noise, which took TSTR from 96.3 to 96.9 %, and D's dense layer, which knows
the class, to 97.1 %. 300,000 images, three seeds, by the noise at sampling: 1 gives FID 1.6, recall
0.80 and TSTR 97.65 %; 1.05 gives 1.8, 0.82 and 97.72 %; 1.1 gives 2.3, 0.83 and 97.79 %. Worse:
discrete styles, sub-classes by k-means, pairs judged together (PacGAN), a memory of 1,024, bent
noise added to the noise in place of standing beside it, an encoder whose codes must give back real
images (recall 0.87, precision 0.77). No better: R1, other rates, decays and gains, batches of 24, a
wider D, the energy distance of D's features, noise on D's images, resampling by D's scores.

Both nets are updated simultaneously: the one backward pass of D also gives the slope dD/dx at each
fake, from which the generator's gradient follows, so D is never run a second time.

Points, 8 Gaussians, 60,000 examples: every mode gets 10.8 to 12.3 % of the samples within 3 sd.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from genbench.errors import ContractError
from genbench.generator import GeneratorSpec, Run, Space, TrainData, to_uint8

CLASS_WIDTH = 32  # numbers that tell the generator the class
RECENT = 64  # batches of labels kept to recompute the batch normalisation
CHUNK = 1000  # samples drawn at once, to bound memory


@dataclass(frozen=True, slots=True)
class Params:
    """What can be set with ``-g gan:name=value``."""

    lr: float = 5e-4
    """Adam's rate for the image generator; constant for half of the budget, then linear to zero."""
    lr_d: float = 1e-3
    """The same for the image discriminator, which falls behind at the generator's rate."""
    beta1: float = 0.5
    """Adam's momentum: low, because the other net keeps moving the target."""
    batch_size: int = 32
    """Real images per step, and as many fakes."""
    latent: int = 64
    """Dimension of the Gaussian noise that becomes an image."""
    mapping: int = 128
    """Units of each of the two dense layers that bend noise and class in the image generator."""
    width_g: int = 32
    """Channels of the image generator at half resolution; three times as many at a quarter."""
    width_d: int = 24
    """Channels of the image discriminator at half resolution; doubled at each halving."""
    head: int = 256
    """Units of the layer with which the image discriminator sees the whole image at once."""
    gain: float = 6.0
    """Factor on D's scores for images, which spectral normalisation alone keeps too close."""
    matching: float = 0.03
    """Weight of D's preference for the right class of a real image."""
    energy: float = 1.0
    """Weight of the energy distance between fake and real images of a class."""
    energy_start: float = 6.0
    """How many times that weight it has at first; falls to once over a third of the budget."""
    memory: int = 256
    """Latest images of each kind that a batch's energy distance is measured with."""
    ema: float = 0.999
    """Share of the averaged generator that survives a step."""
    temperature: float = 1.08
    """Standard deviation of the noise of sampled images, 1 in training: more draws rarer shapes."""
    points_lr: float = 1e-3
    """The rate of both nets for points."""
    points_batch_size: int = 128
    """Real points per step."""
    points_latent: int = 8
    """Dimension of the Gaussian noise that becomes a point."""
    points_width: int = 128
    """Units of each of the three hidden layers of both MLPs."""
    points_penalty: float = 0.02
    """Weight of the squared slope of D: more is smoother and safer, less is sharper."""


class ImageGenerator(nn.Module):
    """Noise and class, bent -> a quarter-resolution grid -> doubled -> 2x2 pixels per position.

    Both doublings rearrange channels (Shi et al., 2016), at a quarter of a transposed convolution's
    cost; the FID after 80,000 MNIST images was the same (47.6 against 46.9, validation rows).
    """

    def __init__(self, space: Space, p: Params) -> None:
        super().__init__()
        self.grid, self.patch = _grid(space)
        self.size = space.shape[1:]
        self.classes = nn.Embedding(space.classes, CLASS_WIDTH) if space.classes else None
        inputs, w = p.latent + (CLASS_WIDTH if space.classes else 0), p.width_g
        coarse = 3 * w
        bent = inputs + p.mapping
        self.mapping = nn.ModuleList(_bend(size, p.mapping) for size in (inputs, bent))
        self.dense = nn.Linear(bent, coarse * self.grid[0] * self.grid[1], bias=False)
        self.compose = nn.Conv2d(coarse, coarse, 3, 1, 1, bias=False)
        self.up = nn.Sequential(nn.Conv2d(coarse, 4 * w, 1, bias=False), nn.PixelShuffle(2))
        self.refine = nn.Conv2d(w, w, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (coarse, coarse, w, w))
        self.pixels = nn.Conv2d(w, space.shape[0] * self.patch**2, 3, 1, 1)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        if self.classes is not None:
            z = torch.cat([z, self.classes(y)], 1)
        h = z
        for layer in self.mapping:
            h = torch.cat([layer(h), z], 1)
        # (n, h, w, c) seen as (n, c, h, w) is channels-last, the layout that convolves fastest.
        h = self.dense(h).unflatten(1, (*self.grid, -1)).permute(0, 3, 1, 2)
        h = F.relu(self.norms[0](h))
        h = h + self.norms[1](self.compose(h))
        h = F.relu(self.norms[2](self.up(h)))
        h = F.relu(self.norms[3](self.refine(h)))
        x = torch.tanh(F.pixel_shuffle(self.pixels(h), self.patch))
        return x[:, :, : self.size[0], : self.size[1]]


def _bend(inputs: int, outputs: int) -> nn.Module:
    """A dense layer of the noise."""
    linear = nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(linear, nn.BatchNorm1d(outputs), nn.ReLU())


class ImageDiscriminator(nn.Module):
    """Three convolutions down to an eighth of the resolution, a dense layer, a score per class."""

    def __init__(self, space: Space, p: Params) -> None:
        super().__init__()
        (rows, columns), self.patch = _grid(space)
        cell = 2 * self.patch
        self.pad = (0, cell * columns - space.shape[2], 0, cell * rows - space.shape[1])
        w = p.width_d
        convs = (
            nn.Conv2d(space.shape[0] * self.patch**2, w, 3, 1, 1),
            nn.Conv2d(w, 2 * w, 4, 2, 1),
            nn.Conv2d(2 * w, 4 * w, 3, 2, 1),
        )
        self.convs = nn.ModuleList(spectral_norm(conv) for conv in convs)
        features = 4 * w * ((rows + 1) // 2) * ((columns + 1) // 2)
        self.whole = spectral_norm(nn.Linear(features, p.head))
        self.score = spectral_norm(nn.Linear(p.head, 1))
        self.shift = nn.Embedding(space.classes, p.head) if space.classes else None
        classes = nn.Embedding(space.classes, p.head) if space.classes else None
        self.classes = None if classes is None else spectral_norm(classes)

    def features(self, x: Tensor) -> Tensor:
        """What is seen in images whatever their class, ``(n, head)``."""
        h = F.pixel_unshuffle(F.pad(x, self.pad), self.patch)
        h = h.contiguous(memory_format=torch.channels_last)
        for conv in self.convs:
            h = F.leaky_relu(conv(h), 0.2)
        seen: Tensor = self.whole(h.flatten(1))
        return seen

    def judge(self, seen: Tensor, y: Tensor | None) -> Tensor:
        """The scores, as examples of their class, of images with these features, ``(n,)``."""
        h = F.leaky_relu(seen if self.shift is None else seen + self.shift(y), 0.2)
        score: Tensor = self.score(h).squeeze(1)
        return score if self.classes is None else score + (self.classes(y) * h).sum(1)


class Mlp(nn.Module):
    """Three hidden layers: both nets for points; a class is one more input."""

    def __init__(self, inputs: int, outputs: int, classes: int, width: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, CLASS_WIDTH) if classes else None
        first = inputs + (CLASS_WIDTH if classes else 0)
        self.hidden = nn.ModuleList(nn.Linear(size, width) for size in (first, width, width))
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        h = x if self.classes is None else torch.cat([x, self.classes(y)], 1)
        for layer in self.hidden:
            h = F.leaky_relu(layer(h), 0.2)
        out: Tensor = self.last(h)
        return out


class PointGenerator(Mlp):
    """Noise -> standardised points; holds the centre and scale that undo the standardisation."""

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, p: Params) -> None:
        super().__init__(p.points_latent, space.dims, space.classes, p.points_width)
        self.register_buffer("centre", torch.zeros(space.dims))
        self.register_buffer("scale", torch.ones(()))


def _grid(space: Space) -> tuple[tuple[int, int], int]:
    """Rows and columns of the generator's first grid, and pixels per side of its last positions."""
    _, height, width = space.shape
    patch = 2 if min(height, width) >= 16 else 1
    return (-(-height // (2 * patch)), -(-width // (2 * patch))), patch


@dataclass
class Memory:
    """The latest real images and fakes, as rows of pixels, and their classes, in the same order."""

    size: int
    real: Tensor | None = None
    fake: Tensor | None = None
    y: Tensor | None = None

    def energy_slope(self, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """At each fake f the direction that raises its class's energy distance; remembers both.

        The distance is 2 E|f - r| - E|f - f'| - E|r - r'| for real images r of the class; where one
        class has n fakes, its slope at each is 2 / n times what this returns.
        """
        reals, fakes = _joined(self.real, real.flatten(1)), _joined(self.fake, fake.flatten(1))
        own, n = fakes[-len(fake) :], len(fake)
        same = own.new_ones(n, len(fakes))
        if y is not None:
            labels = _joined(self.y, y)
            same = (y.unsqueeze(1) == labels).to(own.dtype)
            self.y = self._latest(labels)
        self.real, self.fake = self._latest(reals), self._latest(fakes)
        others = same.clone()
        others[:, -n:].fill_diagonal_(0)
        slope = _mean_direction(own, reals, same) - _mean_direction(own, fakes, others)
        return slope.view_as(fake)

    def _latest(self, rows: Tensor) -> Tensor:
        return rows[max(0, len(rows) - self.size) :]


def _joined(old: Tensor | None, new: Tensor) -> Tensor:
    return new if old is None else torch.cat([old, new])


def _mean_direction(x: Tensor, to: Tensor, weight: Tensor) -> Tensor:
    """Mean over the rows of `to` of the unit vectors from there to each row of `x`, weighted."""
    share = weight / weight.sum(1, keepdim=True).clamp_min(1)
    share = share / torch.cdist(x, to).clamp_min(0.1)
    return x * share.sum(1, keepdim=True) - share @ to


@dataclass
class _Trained:
    """What changes during training, and with the count of steps all that a checkpoint needs."""

    g: nn.Module
    d: Any  # ImageDiscriminator or Mlp
    averaged: nn.Module
    g_adam: torch.optim.Adam
    d_adam: torch.optim.Adam
    rng: torch.Generator
    memory: Memory
    step: int = 0
    recent: tuple[Tensor | None, ...] = ()

    def state(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        return parts | {
            "rng": self.rng.get_state(),
            "step": self.step,
            "recent": list(self.recent),
            "memory": [self.memory.real, self.memory.fake, self.memory.y],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        self.step, self.recent = state["step"], tuple(state["recent"])
        self.memory.real, self.memory.fake, self.memory.y = state["memory"]


_PARTS = ("g", "d", "averaged", "g_adam", "d_adam")


# The margins m, D's loss, and the generator's gradient at its fakes.
_Judgement = tuple[Tensor, Tensor, Tensor]


class GAN:
    """The baseline ``gan``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="gan",
        version="1",
        family="gan",
        kinds=("image", "points"),
        labels="given",
        likelihood=None,
        params=Params,
        reference="Goodfellow et al. 2014, Generative Adversarial Nets; Radford et al. 2016, DCGAN",
    )

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        self.params = params
        self.space = space
        self.device = device
        self.image = space.kind == "image"
        self.latent = params.latent if self.image else params.points_latent
        self.averaged: nn.Module | None = None

    def fit(self, train: TrainData, run: Run) -> None:
        """Train both nets, then keep the averaged generator."""
        p = self.params
        size = p.batch_size if self.image else p.points_batch_size
        rates = (p.lr, p.lr_d) if self.image else (p.points_lr, p.points_lr)
        t = self._start(run.seed)
        if (state := run.restore()) is not None:
            t.load(state)
        for x, y in train.batches(size, seed=run.seed, start=run.served):
            if len(x) == 1:
                continue  # batch normalisation needs two rows
            if t.step == 0 and not self.image:
                _standardise(x, t)
            for adam, rate in zip((t.g_adam, t.d_adam), rates, strict=True):
                adam.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - run.fraction))
            early = max(0.0, 1 - 3 * run.fraction)
            energy = p.energy * (1 + early * (p.energy_start - 1))
            g_loss, d_loss = self._step(t, x, y, energy)
            decay = min(p.ema, (1 + t.step) / (10 + t.step))
            torch._foreach_lerp_(list(t.averaged.parameters()), list(t.g.parameters()), 1 - decay)
            t.step, t.recent = t.step + 1, (*t.recent[1 - RECENT :], y)
            run.progress(generator_loss=g_loss, discriminator_loss=d_loss)
            run.checkpoint(t.state)
        self._renormalise(t, size)
        self.averaged = t.averaged.eval()

    def _start(self, seed: int) -> _Trained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            g, d = self._generator(), self._discriminator()
        betas = (self.params.beta1 if self.image else 0.0, 0.99)
        fused = self.device.type in (
            "cpu",
            "cuda",
        )  # one kernel for all tensors, where there is one
        return _Trained(
            g,
            d,
            copy.deepcopy(g).requires_grad_(False),
            torch.optim.Adam(g.parameters(), betas=betas, fused=fused),
            torch.optim.Adam(d.parameters(), betas=betas, fused=fused),
            torch.Generator().manual_seed(seed),  # on the CPU: the same draws for every device
            Memory(self.params.memory),
        )

    def _generator(self) -> nn.Module:
        p, s = self.params, self.space
        net = ImageGenerator(s, p) if self.image else PointGenerator(s, p)
        return net.to(self.device)

    def _discriminator(self) -> nn.Module:
        p, s = self.params, self.space
        net = ImageDiscriminator(s, p) if self.image else Mlp(s.dims, 1, s.classes, p.points_width)
        return net.to(self.device)

    def _step(
        self, t: _Trained, x: Tensor, y: Tensor | None, energy: float
    ) -> tuple[Tensor, Tensor]:
        """Update both nets once; the losses of the generator and the discriminator."""
        z = torch.randn(len(x), self.latent, generator=t.rng).to(self.device)
        with self._autocast():
            fake = t.g(z, y)
        inputs = torch.cat([self._real(x, t), fake.detach().float()]).requires_grad_()
        judge = self._judge_images if self.image else self._judge_points
        margin, d_loss, pull = judge(t, inputs, y)
        if self.image and energy:
            slope = t.memory.energy_slope(*inputs.detach().chunk(2), y)
            pull = pull + energy / len(x) * slope
        fake.backward(pull.to(fake.dtype))
        for adam in (t.d_adam, t.g_adam):
            adam.step()
            adam.zero_grad()
        return F.softplus(margin).mean(), d_loss

    def _judge_images(self, t: _Trained, inputs: Tensor, y: Tensor | None) -> _Judgement:
        n, gain = len(inputs) // 2, self.params.gain
        with parametrize.cached():  # the normalised weights, once for both uses
            with self._autocast():
                h = t.d.features(inputs)
                scores = gain * t.d.judge(h, None if y is None else torch.cat([y, y])).float()
            margin = scores[:n] - scores[n:]
            loss = d_loss = F.softplus(-margin).mean()
            if y is not None and self.space.classes > 1:
                step = torch.randint(1, self.space.classes, (n,), generator=t.rng).to(self.device)
                wrong = gain * t.d.judge(h[:n].float(), (y + step) % self.space.classes)
                loss = loss + self.params.matching * F.softplus(wrong - scores[:n]).mean()
        torch.autograd.backward(loss, inputs=[inputs, *t.d.parameters()])
        # D's gradient at its fake i is slope_i * sigmoid(-m_i) / n, slope = dD/dx; the generator's
        # is -slope_i * sigmoid(m_i) / n, and the ratio of the sigmoids is exp(m_i).
        m = margin.detach()
        pull = -_grad(inputs)[n:] * m.clamp(max=60).exp().view(-1, 1, 1, 1)
        return m, d_loss.detach(), pull

    def _judge_points(self, t: _Trained, inputs: Tensor, y: Tensor | None) -> _Judgement:
        n = len(inputs) // 2
        scores = t.d(inputs, None if y is None else torch.cat([y, y])).view(-1)
        margin = scores[:n] - scores[n:]
        d_loss = F.softplus(-margin).mean()
        (slope,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
        penalty = self.params.points_penalty * slope.square().sum(1).mean()
        torch.autograd.backward(d_loss + penalty, inputs=list(t.d.parameters()))
        m = margin.detach()
        return m, d_loss.detach(), -slope[n:].detach() * (torch.sigmoid(m) / n).unsqueeze(1)

    def _autocast(self) -> torch.autocast:
        """bfloat16 image nets on CUDA; float32 elsewhere."""
        mixed = self.image and self.device.type == "cuda"
        return torch.autocast("cuda" if mixed else "cpu", torch.bfloat16, enabled=mixed)

    def _real(self, x: Tensor, t: _Trained) -> Tensor:
        """Data as the discriminator sees it: images spread over their grey step, in [-1, 1]."""
        if isinstance(t.g, PointGenerator):
            return (x - t.g.centre) / t.g.scale
        top = self.space.levels - 1
        noise = torch.rand(x.shape, generator=t.rng).to(self.device) - 0.5
        return (x + noise).clamp(0, top) * (2 / top) - 1

    @torch.no_grad()
    def _renormalise(self, t: _Trained, size: int) -> None:
        """Batch statistics of what is sampled: no training step has seen it."""
        norms = [m for m in t.averaged.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
        t.averaged.train()
        for i, y in enumerate(t.recent if norms else ()):
            for norm in norms:
                norm.momentum = 1 / (i + 1)  # so that each batch counts the same
            n = size if y is None else len(y)
            t.averaged(self._noise(n, t.rng), y)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` examples of the classes in `labels`."""
        net = self._fitted()
        rng = torch.Generator().manual_seed(seed)
        z = self._noise(n, rng)
        out = []
        for i in range(0, n, CHUNK):
            x = net(z[i : i + CHUNK], None if labels is None else labels[i : i + CHUNK])
            if isinstance(net, PointGenerator):
                out.append(x * net.scale + net.centre)
            else:
                out.append(to_uint8(x, -1, 1, self.space.levels))
        return torch.cat(out)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        """What samples are made of, ``(n, latent)``."""
        z = torch.randn(n, self.latent, generator=rng).to(self.device)
        return z * self.params.temperature if self.image else z

    def _fitted(self) -> nn.Module:
        if self.averaged is None:
            raise ContractError("gan has no weights yet: call fit or load_state_dict first")
        return self.averaged

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged generator."""
        return dict(self._fitted().state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        with torch.random.fork_rng(devices=[]):
            net = self._generator()
        net.load_state_dict(state)
        self.averaged = net.requires_grad_(False).eval()


def _standardise(x: Tensor, t: _Trained) -> None:
    """Centre and scale of the points, from the first batch."""
    centre = x.mean(0)
    scale = (x - centre).square().mean().sqrt().clamp_min(1e-6)
    for net in (t.g, t.averaged):
        if isinstance(net, PointGenerator):
            net.centre.copy_(centre)
            net.scale.copy_(scale)


def _grad(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad
