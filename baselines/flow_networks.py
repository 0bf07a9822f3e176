"""The networks of `flow`: from what came before a scalar to the weights of its monotone map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.flow_maps import Plateaus
from genbench.generator import Space

POINTS_LEVELS = 256  # the sharpest edge of points is that of images of so many grey levels
DEVIATIONS = 3  # from the mean of points to either end of their range

# The place of a scalar in its row. It is an int64 tensor, (1,), for a graph that serves all places.
Place = int | Tensor

# From z in (0, 1), (n,), and the logits of n scalars, (n, k), to these scalars in units of their
# range, (n,): the inverse of each one's CDF.
Solver = Callable[[Tensor, Tensor], Tensor]


def take(x: Tensor, place: Place) -> Tensor:
    """``x[:, place]``."""
    return x[:, place] if isinstance(place, int) else x.index_select(1, place)[:, 0]


def put(x: Tensor, place: Place, value: Tensor) -> None:
    """``x[:, place] = value``."""
    if isinstance(place, int):
        x[:, place] = value
    else:
        x.index_copy_(1, place, value[:, None])


class Block(nn.Module):
    """A pre-norm causal transformer layer; `past` holds keys and values of earlier rows."""

    def __init__(self, dim: int, heads: int, expand: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)

    def forward(self, x: Tensor, past: list[Tensor] | None = None) -> Tensor:
        n, rows, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, rows, 3, self.heads, dim // self.heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, n, heads, rows, dim / heads)
        q, kv = qkv[0], qkv[1:]
        if past is not None:
            past.append(kv)
            kv = torch.cat(past, 3)
        k, v = kv
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, rows, dim))
        y: Tensor = x + self.down(F.relu(self.up(self.norm2(x))))
        return y


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

    def group(self, x: Tensor, j: Place) -> Tensor:
        """Group `j` of the output; of `x`, (n, groups, n_in), those that it does not see are 0."""
        bias = self.bias.view(-1, self.n_out)
        weight = self.weight.view(*bias.shape, -1)
        if isinstance(j, int):
            seen = j if self.strict else j + 1
            return F.linear(x[:, :seen].flatten(1), weight[j, :, : seen * self.n_in], bias[j])
        return F.linear(x.flatten(1), weight.index_select(0, j)[0], bias.index_select(0, j)[0])


class Conditioner(nn.Module):
    """Weights of the monotone map of every scalar, from the class and all scalars before it."""

    def __init__(
        self,
        rows: int,
        width: int,
        classes: int,
        *,
        dim: int,
        depth: int,
        heads: int,
        expand: int,
        units: int,
        plateaus: int,
        soft_steps: int,
    ) -> None:
        super().__init__()
        self.step_at = nn.Parameter(torch.linspace(0, 1, soft_steps + 2)[1:-1])
        self.step_rate = nn.Parameter(torch.full((soft_steps,), 4.0 * (soft_steps + 1)))
        n_in = soft_steps + 1
        self.label = nn.Embedding(max(1, classes), dim)
        self.place = nn.Parameter(torch.randn(rows, dim) * 0.1)
        self.embed = nn.Linear(width * n_in, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, expand) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.context = nn.Linear(dim, width * units)
        self.above = nn.Linear(width * n_in, width * units, bias=False)
        self.first = Masked(n_in, units, width, strict=True)
        self.second = Masked(units, units, width, strict=False)
        self.last = Masked(units, plateaus, width, strict=False)

    def features(self, v: Tensor) -> Tensor:
        """Soft steps of scalars (..., w) as (..., w * n_in)."""
        steps = torch.sigmoid((v[..., None] - self.step_at) * F.softplus(self.step_rate))
        return torch.cat([2 * v[..., None] - 1, 2 * steps - 1], -1).flatten(-2)

    def forward(self, v: Tensor, y: Tensor) -> Tensor:
        """All at once: scalars (n, rows, width) to logits (n, rows, width, plateaus)."""
        x = self.features(v)
        above = torch.cat([self.label(y)[:, None], self.embed(x[:, :-1])], 1) + self.place
        for block in self.blocks:
            above = block(above)
        context = self.context(self.norm(above)) + self.above(F.pad(x[:, :-1], (0, 0, 1, 0)))
        hidden = F.relu(self.first(x) + context)
        hidden = F.relu(self.second(hidden)) + hidden
        logits: Tensor = self.last(hidden)
        return logits.reshape(*v.shape, -1)

    def begin_row(self, x: Tensor | None, y: Tensor, past: list[list[Tensor]]) -> Tensor:
        """Context (n, width * units) of the next row, after one with features `x` (None: none)."""
        above = self.label(y) if x is None else self.embed(x)
        above = (above + self.place[len(past[0])])[:, None]
        for block, seen in zip(self.blocks, past, strict=True):
            above = block(above, seen)
        context: Tensor = self.context(self.norm(above[:, 0]))
        return context if x is None else context + self.above(x)

    def scalar(self, j: Place, x: Tensor, context: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """Logits (n, plateaus) of scalar `j` from features `x` of those before; fills `hidden`.

        All of them are ``(n, width, ...)``, and zeros from `j` on, but for the context.
        """
        first, second = hidden
        put(first, j, F.relu(self.first.group(x, j) + take(context, j)))
        put(second, j, F.relu(self.second.group(first, j)) + take(first, j))
        return self.last.group(second, j)


class Density(nn.Module):
    """The flow u <-> z: scalars in units of their range, the conditioner and the monotone maps.

    An image is rows of ``columns * channels`` scalars, a point rows of one.

    Parameters
    ----------
    sharpest
        Smallest scale of a plateau's edge, in grey levels.
    widths
        Those of the `Conditioner`.
    """

    low: Tensor
    range: Tensor

    def __init__(self, space: Space, *, plateaus: int, sharpest: float, **widths: int) -> None:
        super().__init__()
        self.image = space.kind == "image"
        self.channels, rows, columns = space.shape if self.image else (1, space.dims, 1)
        size = () if self.image else (rows, 1)
        self.register_buffer("low", torch.zeros(size))
        self.register_buffer("range", torch.full(size, float(max(1, space.levels))))
        levels = space.levels if self.image else POINTS_LEVELS
        self.maps = Plateaus(plateaus, self.image, sharpest / levels)
        self.rows, self.width = rows, columns * self.channels
        self.net = Conditioner(rows, self.width, space.classes, plateaus=plateaus, **widths)

    def calibrate(self, x: Tensor) -> None:
        """Fit the range of points, by coordinate, to the first batch; that of images is known."""
        if not self.image:
            deviation = x.std(0, unbiased=False)[:, None].clamp_min(1e-3)
            self.range.copy_(2 * DEVIATIONS * deviation)
            self.low.copy_(x.mean(0)[:, None] - DEVIATIONS * deviation)

    def forward(self, u: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """z in (0, 1), (n, rows, width), and the log-determinant of u -> z, nats, (n,)."""
        v = self.to_rows(u)
        weights = self._logits(v, y).softmax(-1)
        return (self.maps.cdf(v) * weights).sum(-1), self.log_prob(u, y)

    def log_prob(self, u: Tensor, y: Tensor) -> Tensor:
        """log p(u | y), nats, (n,): z is uniform, so this is the log-determinant."""
        v = self.to_rows(u)
        log_slopes = self.maps.log_density(v, self._logits(v, y))
        return (log_slopes - self.range.log()).flatten(1).sum(1)

    def solver(self) -> Solver:
        """The inverse of the maps as they lie now."""
        cdfs, knots = self.maps.cdfs(), self.maps.knots()
        return partial(self.maps.inverse, cdfs=cdfs, knots=knots, table=cdfs(knots))

    def to_rows(self, u: Tensor) -> Tensor:
        """Scalars in units of their range, (n, rows, width)."""
        u = u.permute(0, 2, 3, 1).flatten(2) if self.image else u[..., None]
        return (u - self.low) / self.range

    def from_rows(self, v: Tensor) -> Tensor:
        """Undo `to_rows`: (n, channels, rows, columns), or (n, d)."""
        u = v * self.range + self.low
        if not self.image:
            return u[..., 0]
        return u.view(*v.shape[:2], -1, self.channels).permute(0, 3, 1, 2)

    def _logits(self, v: Tensor, y: Tensor) -> Tensor:
        with _mixed_precision(v.device):
            out: Tensor = self.net(v, y)
        return out.to(v.dtype)


def _mixed_precision(device: torch.device) -> torch.autocast:
    """bfloat16 networks on a GPU, where they help; densities always stay float32."""
    on_gpu = device.type == "cuda"
    return torch.autocast(
        "cuda" if on_gpu else "cpu", torch.bfloat16, enabled=on_gpu, cache_enabled=False
    )
