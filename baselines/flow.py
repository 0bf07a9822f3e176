"""Row-autoregressive flow with smooth monotone maps: a continuous normalizing flow, exact log-det.

Pixels are dequantised by U[0, 1) and every scalar u is sent to z = F(u), where F is a monotone map
whose shape depends on what came before: on the class, on the rows above (a causal transformer and
the row directly above) and on the pixels to the left (a masked MLP). The Jacobian is triangular, so
log p(u) = sum log F'(u), with z uniform. F is a mixture of smooth plateaus, F = sum_k w_k G_k, each
G_k the CDF of a uniform convolved with a logistic, cut to the range of images and renormalised.
Where the plateaus lie and how sharp they are is learned and shared by all scalars; the networks
give the weights. Nothing knows where the grey levels are. Sampling inverts F, scalar by scalar.
Points are rows of one scalar, on the whole line.

Papers: MAF (Papamakarios et al. 2017, arXiv:1705.07057), monotone mixture maps (Ho et al. 2019,
Flow++, arXiv:1902.00275), MADE (Germain et al. 2015, arXiv:1502.03509), uniform dequantisation
(Theis et al. 2016, arXiv:1511.01844).

What it reaches, and how long it takes, stands in the published records (`reports/`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import UsageError
from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class FlowParams:
    """Parameters of `Flow`. 0 stands for the default of the kind of space, see `BY_KIND`."""

    dim: int = 64  #: width of the transformer over rows
    depth: int = 2  #: transformer layers
    heads: int = 2  #: attention heads
    expand: int = 2  #: hidden width of a transformer layer's MLP, in multiples of `dim`
    units: int = 0  #: hidden units per scalar in each layer of the masked MLP
    plateaus: int = 0  #: pieces of each monotone map
    steps: int = 0  #: learned soft steps that describe a scalar to the networks
    batch_size: int = 0  #: examples per step
    lr: float = 6e-3  #: Adam's rate after warm-up, from where it falls to 0 along a cosine
    warm_up: float = 0.03  #: share of the budget over which the rate rises from 0
    clip: float = 1.0  #: largest norm of a gradient of the loss (bits/dim, or nats for points)
    ema: float = 0.999  #: decay per step of the averaged weights, which are the ones used
    sharpest: float = 0.02  #: smallest scale of a plateau's edge (grey levels, or 1/256 of range)


BY_KIND: dict[str, dict[str, int]] = {
    "image": {"units": 6, "plateaus": 8, "steps": 2, "batch_size": 64},
    "points": {"units": 64, "plateaus": 64, "steps": 32, "batch_size": 1000},
}


class MixtureLogDensity(torch.autograd.Function):
    """log sum_k w_k h_k sigmoid(p_k) sigmoid(-q_k) with its gradient by hand, to save passes.

    p_k = rate_k (v - a_k) and q_k = rate_k (v - b_k) are the distances to a plateau's edges.
    """

    @staticmethod
    def forward(
        ctx: Any, v: Tensor, logits: Tensor, a: Tensor, b: Tensor, rate: Tensor, height: Tensor
    ) -> Tensor:
        v = v[..., None]
        left = torch.addcmul(-a * rate, v, rate).sigmoid_()  # (..., k)
        right = torch.addcmul(b * rate, v, -rate).sigmoid_()
        weights = logits.softmax(-1)
        share = (left * right).mul_(height).mul_(weights)
        density = share.sum(-1, keepdim=True).clamp_min_(1e-37)
        share /= density  # posterior probabilities of the pieces
        ctx.save_for_backward(v, weights, share, left, right, a, b, rate, height)
        return density.log()[..., 0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        v, weights, share, left, right, a, b, rate, height = ctx.saved_tensors
        grad, k = grad[..., None], len(a)
        share = share * grad
        d_logits = torch.addcmul(share, weights, grad, value=-1)
        basis = torch.cat([torch.ones_like(v), v], -1).view(-1, 2).T  # (2, rows)
        total = basis[0] @ share.view(-1, k)
        to_p, v_to_p = basis @ torch.addcmul(share, share, left, value=-1).view(-1, k)
        to_q, v_to_q = basis @ torch.addcmul(share, share, right, value=-1).view(-1, k)
        d_rate = v_to_p - a * to_p + b * to_q - v_to_q
        return None, d_logits, -rate * to_p, rate * to_q, d_rate, total / height


class Plateaus(nn.Module):
    """Monotone maps F(v) = sum_k w_k G_k(v) of [0, 1] (`bounded`) or the line onto (0, 1)."""

    home: Tensor
    tile: Tensor

    def __init__(self, n: int, bounded: bool, floor: float) -> None:
        super().__init__()
        self.bounded, self.floor = bounded, floor
        # Tiles, narrow near both ends of a bounded range, where data like to sit.
        edges = torch.linspace(0, 1, n + 1)
        if bounded:
            edges = (1 - torch.cos(math.pi * edges)) / 2
        width = edges.diff()
        scale = width * 0.1
        if not bounded:
            scale[[0, -1]] *= 10  # tails
        self.register_buffer("home", (edges[1:] + edges[:-1]) / 2)
        self.register_buffer("tile", width.clone())
        self.shift = nn.Parameter(torch.zeros(n))  # of the centre, in tiles
        self.log_width = nn.Parameter(width.log())
        self.log_scale = nn.Parameter(scale.log())

    def pieces(self) -> tuple[Tensor, Tensor, Tensor]:
        """Left edges, right edges and edge scales, each ``(n,)``."""
        centre = self.home + self.shift * self.tile
        if self.bounded:
            centre = centre.clamp(0, 1)
        half = self.log_width.exp() / 2
        return centre - half, centre + half, self.log_scale.exp() + self.floor

    def cdf(self, v: Tensor) -> Tensor:
        """G_k(v), (..., k); over [0, 1] cut and renormalised, so that G(0) = 0 and G(1) = 1."""
        a, b, s = self.pieces()
        cdf = self._on_line(v, a, b, s)
        if self.bounded:
            low, high = self._on_line(v.new_tensor([0.0, 1.0]), a, b, s)
            cdf = (cdf - low) / (high - low)
        return cdf

    @staticmethod
    def _on_line(v: Tensor, a: Tensor, b: Tensor, s: Tensor) -> Tensor:
        rate, v = 1 / s, v[..., None]
        left, right = torch.addcmul(-a * rate, v, rate), torch.addcmul(-b * rate, v, rate)
        # The default threshold of 20 would leave steps of 2e-9 in F.
        return (F.softplus(left, threshold=60) - F.softplus(right, threshold=60)) * (s / (b - a))

    def log_density(self, v: Tensor, logits: Tensor) -> Tensor:
        """log F'(v) for weights softmax(logits): the log-determinant's terms, shaped as `v`."""
        a, b, s = self.pieces()
        # sigmoid(p) - sigmoid(q) = sigmoid(p) sigmoid(-q) (1 - exp(q - p)), all terms positive.
        height = -torch.expm1((a - b) / s) / (b - a)
        if self.bounded:
            low, high = self._on_line(v.new_tensor([0.0, 1.0]), a, b, s)
            height = height / (high - low)
        result: Tensor = MixtureLogDensity.apply(v, logits, a, b, 1 / s, height)
        return result

    def knots(self) -> Tensor:
        """Ordered places between which every F is nearly straight, dense around the edges."""
        a, b, s = self.pieces()
        around = s.new_tensor([-9, -5, -3, -2, -1, 0, 1, 2, 3, 5, 9])[:, None] * s
        span = (0.0, 1.0) if self.bounded else (-9.0, 10.0)
        even = torch.linspace(*span, 33, device=s.device, dtype=s.dtype)
        places = torch.cat([even, (a + around).flatten(), (b + around).flatten()])
        return places.clamp(*span).sort().values

    def inverse(self, z: Tensor, logits: Tensor, knots: Tensor, table: Tensor) -> Tensor:
        """The v with F(v) = z; `table` is `cdf(knots)`. Bracketed secant steps (Illinois)."""
        weights = logits.softmax(-1)
        heights = weights @ table.T  # (n, knots)
        cell = torch.searchsorted(heights, z[:, None].contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[cell[:, 0] - 1], knots[cell[:, 0]]
        f_low = heights.gather(1, cell - 1)[:, 0] - z
        f_high = heights.gather(1, cell)[:, 0] - z
        v, was_below = low, None
        for _ in range(5):
            slope = (high - low) / (f_high - f_low).clamp_min(1e-30)
            v = torch.minimum(torch.maximum(low - f_low * slope, low), high)
            f = (weights * self.cdf(v)).sum(-1) - z
            below = f < 0
            again = below == was_below if was_below is not None else torch.zeros_like(below)
            low, high = torch.where(below, v, low), torch.where(below, high, v)
            # An end kept twice counts half, or the secant would creep.
            kept = torch.where(again, 0.5, 1.0)
            f_low, f_high = (
                torch.where(below, f, f_low * kept),
                torch.where(below, f_high * kept, f),
            )
            was_below = below
        return v


class Block(nn.Module):
    """A pre-norm causal transformer layer; `past` holds keys and values of earlier rows."""

    def __init__(self, dim: int, heads: int, expand: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)

    def forward(self, h: Tensor, past: list[Tensor] | None = None) -> Tensor:
        n, rows, dim = h.shape
        qkv = self.qkv(self.norm1(h)).view(n, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, kv = qkv[0], qkv[1:]
        if past is not None:
            past.append(kv)
            kv = torch.cat(past, 3)
        k, v = kv
        a = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        h = h + self.out(a.transpose(1, 2).reshape(n, rows, dim))
        mixed: Tensor = h + self.down(F.relu(self.up(self.norm2(h))))
        return mixed


class Masked(nn.Linear):
    """A linear layer from groups to groups: group j sees groups before j (`strict`) or up to j."""

    mask: Tensor

    def __init__(self, n_in: int, n_out: int, groups: int, strict: bool) -> None:
        super().__init__(n_in * groups, n_out * groups)
        self.n_in, self.n_out, self.strict = n_in, n_out, strict
        order = torch.ones(groups, groups).tril(-1 if strict else 0)
        mask = order.repeat_interleave(n_out, 0).repeat_interleave(n_in, 1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)

    def group(self, x: Tensor, j: int) -> Tensor:
        """Group `j` of the output; of `x` only the groups that it sees need to be there."""
        rows = slice(j * self.n_out, (j + 1) * self.n_out)
        seen = (j if self.strict else j + 1) * self.n_in
        return F.linear(x[:, :seen], self.weight[rows, :seen], self.bias[rows])


class Conditioner(nn.Module):
    """Weights of the monotone map of every scalar, from the class and all scalars before it."""

    def __init__(self, rows: int, width: int, classes: int, n_out: int, p: FlowParams) -> None:
        super().__init__()
        self.rows, self.width = rows, width
        self.step_at = nn.Parameter(torch.linspace(0, 1, p.steps + 2)[1:-1])
        self.step_rate = nn.Parameter(torch.full((p.steps,), 4.0 * (p.steps + 1)))
        n_in = p.steps + 1
        self.label = nn.Embedding(max(1, classes), p.dim)
        self.place = nn.Parameter(torch.randn(rows, p.dim) * 0.1)
        self.embed = nn.Linear(width * n_in, p.dim)
        self.blocks = nn.ModuleList(Block(p.dim, p.heads, p.expand) for _ in range(p.depth))
        self.norm = nn.LayerNorm(p.dim)
        self.context = nn.Linear(p.dim, width * p.units)
        self.above = nn.Linear(width * n_in, width * p.units, bias=False)
        self.first = Masked(n_in, p.units, width, strict=True)
        self.second = Masked(p.units, p.units, width, strict=False)
        self.last = Masked(p.units, n_out, width, strict=False)

    def features(self, v: Tensor) -> Tensor:
        """Soft steps of scalars (..., w) as (..., w * n_in)."""
        steps = torch.sigmoid((v[..., None] - self.step_at) * F.softplus(self.step_rate))
        return torch.cat([2 * v[..., None] - 1, 2 * steps - 1], -1).flatten(-2)

    def forward(self, v: Tensor, y: Tensor) -> Tensor:
        """All at once: scalars (n, rows, width) to logits (n, rows, width, plateaus)."""
        x = self.features(v)
        h = torch.cat([self.label(y)[:, None], self.embed(x[:, :-1])], 1) + self.place
        for block in self.blocks:
            h = block(h)
        context = self.context(self.norm(h)) + self.above(F.pad(x[:, :-1], (0, 0, 1, 0)))
        hidden = F.relu(self.first(x) + context)
        hidden = F.relu(self.second(hidden)) + hidden
        logits: Tensor = self.last(hidden)
        return logits.reshape(*v.shape, -1)

    def begin_row(self, x: Tensor | None, y: Tensor, past: list[list[Tensor]]) -> Tensor:
        """Context (n, width * units) of the next row, after one with features `x` (None: none)."""
        h = self.label(y) if x is None else self.embed(x)
        h = (h + self.place[len(past[0])])[:, None]
        for block, seen in zip(self.blocks, past, strict=True):
            h = block(h, seen)
        context: Tensor = self.context(self.norm(h[:, 0]))
        return context if x is None else context + self.above(x)

    def scalar(self, j: int, x: Tensor, context: Tensor, hidden: list[Tensor]) -> Tensor:
        """Logits (n, plateaus) of scalar `j` from features `x` of those before; fills `hidden`."""
        here = slice(j * self.first.n_out, (j + 1) * self.first.n_out)
        hidden[0][:, here] = F.relu(self.first.group(x, j) + context[:, here])
        hidden[1][:, here] = F.relu(self.second.group(hidden[0], j)) + hidden[0][:, here]
        return self.last.group(hidden[1], j)


class Density(nn.Module):
    """The flow u <-> z: scalars in units of their range, the conditioner and the monotone maps."""

    low: Tensor
    range: Tensor

    def __init__(self, space: Space, p: FlowParams) -> None:
        super().__init__()
        image = space.kind == "image"
        self.channels, rows, width = space.shape if image else (1, space.dims, 1)
        # Points: the first batch decides, per coordinate.
        size = () if image else (rows, 1)
        self.register_buffer("low", torch.zeros(size))
        self.register_buffer("range", torch.full(size, float(max(1, space.levels))))
        floor = p.sharpest / (space.levels if image else 256)
        self.maps = Plateaus(p.plateaus, image, floor)
        self.net = Conditioner(rows, width * self.channels, space.classes, p.plateaus, p)

    def logits(self, v: Tensor, y: Tensor) -> Tensor:
        with _mixed_precision(v.device):
            out: Tensor = self.net(v, y)
        return out.to(v.dtype)

    def forward(self, u: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """z in (0, 1), (n, rows, width), and the log-determinant of u -> z, nats, (n,)."""
        v = self._to_rows(u)
        weights = self.logits(v, y).softmax(-1)
        return (self.maps.cdf(v) * weights).sum(-1), self.log_prob(u, y)

    def log_prob(self, u: Tensor, y: Tensor) -> Tensor:
        """log p(u | y), nats, (n,): z is uniform, so this is the log-determinant."""
        v = self._to_rows(u)
        log_slopes = self.maps.log_density(v, self.logits(v, y))
        return (log_slopes - self.range.log()).flatten(1).sum(1)

    def inverse(self, z: Tensor, y: Tensor) -> Tensor:
        """u of z, scalar by scalar."""
        v, x, net = torch.zeros_like(z), None, self.net
        past: list[list[Tensor]] = [[] for _ in net.blocks]
        knots = self.maps.knots()
        table = self.maps.cdf(knots)
        for r in range(net.rows):
            with _mixed_precision(z.device):
                context = net.begin_row(x, y, past)
            x = z.new_zeros(len(z), net.width * net.first.n_in)
            hidden = [torch.zeros_like(context) for _ in range(2)]
            for j in range(net.width):
                with _mixed_precision(z.device):
                    logits = net.scalar(j, x, context, hidden).to(z.dtype)
                v[:, r, j] = self.maps.inverse(z[:, r, j], logits, knots, table)
                x[:, j * net.first.n_in : (j + 1) * net.first.n_in] = net.features(v[:, r, j, None])
        u = v * self.range + self.low  # (n, rows, columns * channels)
        return u.view(len(u), net.rows, -1, self.channels).permute(0, 3, 1, 2)

    def _to_rows(self, u: Tensor) -> Tensor:
        u = u[..., None] if u.dim() == 2 else u.permute(0, 2, 3, 1).flatten(2)
        return (u - self.low) / self.range


class Flow:
    """The generator; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="flow",
        version="1",
        family="flow",
        kinds=("image", "points"),
        labels="given",
        likelihood="dequantized",
        params=FlowParams,
        reference="Papamakarios et al. 2017, arXiv:1705.07057; Ho et al. 2019, arXiv:1902.00275",
    )

    def __init__(self, params: FlowParams, space: Space, device: torch.device) -> None:
        usual = {k: v for k, v in BY_KIND[space.kind].items() if not getattr(params, k)}
        self.params, self.space, self.device = replace(params, **usual), space, device
        self.density = self._new_density(0, device)

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of freshly dequantised batches until they end."""
        p = self.params
        density = self._new_density(run.seed, run.device)
        average = self.density = copy.deepcopy(density)
        rng = _generator(run.seed, run.device)
        groups = [
            {"params": list(density.net.parameters()), "speed": 1.0},
            {"params": list(density.maps.parameters()), "speed": 4.0},  # few, with far to go
        ]
        fused = run.device.type in ("cpu", "cuda")
        optimizer = torch.optim.Adam(groups, lr=p.lr, betas=(0.9, 0.99), fused=fused)
        if (state := run.restore()) is not None:
            density.load_state_dict(state["density"])
            average.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            rng.set_state(state["rng"].cpu())
        image = self.space.kind == "image"
        unit = self.space.dims * math.log(2) if image else 1.0
        for x, y in train.batches(p.batch_size, seed=run.seed, start=run.served):
            if not image and state is None and run.served == len(x):
                for part in (density, average):
                    _set_range(part, x)
            warm = min(1.0, run.fraction / p.warm_up)
            for group in optimizer.param_groups:
                cosine = (1 + math.cos(math.pi * run.fraction)) / 2
                group["lr"] = p.lr * group["speed"] * warm * cosine
            u = self._dequantise(x, rng)
            loss = -density.log_prob(u, self._labels(y, len(x))).mean() / unit
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(density.parameters(), p.clip)
            optimizer.step()
            step = run.served / p.batch_size
            decay = min(p.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), density.parameters(), strict=True):
                    slow.lerp_(fast, 1 - decay)
            run.progress(**{"nll_bits_per_dim" if image else "nll_nats": loss.detach()})
            run.checkpoint(
                lambda: {
                    "density": density.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "rng": rng.get_state(),
                }
            )

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Invert uniform z, in chunks; images are floored to grey levels."""
        rng, y = _generator(seed, self.device), self._labels(labels, n)
        return torch.cat([self._sample(y[i : i + 2500], rng) for i in range(0, max(1, n), 2500)])

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y) in nats; images: log-mean-exp over `draws` of the dequantisation noise."""
        rng, y = _generator(seed, self.device), self._labels(labels, len(x))
        draws = draws if self.space.kind == "image" else 1  # points have no such noise
        parts = []
        for i in range(0, max(1, len(x)), 500):
            rows, label = x[i : i + 500], y[i : i + 500]
            each = [self.density.log_prob(self._dequantise(rows, rng), label) for _ in range(draws)]
            parts.append(torch.stack(each).logsumexp(0) - math.log(draws))
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """Averaged weights and the data range."""
        return self.density.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.density.load_state_dict(state)

    def _new_density(self, seed: int, device: torch.device) -> Density:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return Density(self.space, self.params).to(device)

    def _dequantise(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if self.space.kind == "points":
            return x
        return x + torch.rand(x.shape, generator=rng, device=rng.device).to(x.device)

    def _labels(self, y: Tensor | None, n: int) -> Tensor:
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if y is None:
            raise UsageError(
                f"flow has {self.space.classes} classes and was given no labels: pass labels"
            )
        return y

    def _sample(self, y: Tensor, rng: torch.Generator) -> Tensor:
        rows, width = self.density.net.rows, self.density.net.width
        z = torch.rand((len(y), rows, width), generator=rng, device=rng.device).to(self.device)
        u = self.density.inverse(z.clamp(1e-7, 1 - 1e-7), y)
        if self.space.kind == "points":
            return u.reshape(len(y), -1)
        return u.floor().clamp(0, self.space.levels - 1).to(torch.uint8)


def _set_range(density: Density, x: Tensor) -> None:
    """Let the range of points be three standard deviations of the first batch, either way."""
    deviation = x.std(0, unbiased=False)[:, None].clamp_min(1e-3)
    density.range.copy_(6 * deviation)
    density.low.copy_(x.mean(0)[:, None] - 3 * deviation)


def _generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device if device.type == "cuda" else "cpu").manual_seed(seed)


def _mixed_precision(device: torch.device) -> torch.autocast:
    """bfloat16 networks on a GPU, where they help; densities always stay float32."""
    on_gpu = device.type == "cuda"
    return torch.autocast("cuda" if on_gpu else "cpu", torch.bfloat16, enabled=on_gpu)
