"""A pixel's distribution over grey levels, as `pixelcnn` and `vqvae` have it.

It is a mixture of a few distributions that all pixels share and that are learned; a network gives
the weights. That is a softmax over all levels at a sixteenth of its price, and 81 % black pixels
cost next to nothing. `vae` has the same, with its gradient by hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.vae_image import TABLE_GAIN, UNIFORM, LevelMixture


class GreyLevels(nn.Module):
    """The shared distributions P_k, k < `mixture`, over 0 .. `levels` - 1.

    They start as bumps that cover the scale.
    """

    def __init__(self, levels: int, mixture: int) -> None:
        super().__init__()
        self.levels, self.mixture = levels, mixture
        centre = torch.linspace(0, levels - 1, mixture)[:, None]
        t = (torch.arange(levels) - centre) * (mixture / levels)
        self.table = nn.Parameter((-0.5 * t.square()).clamp_min(-8) / TABLE_GAIN)  # (k, levels)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Tilt the bumps to the grey levels of the first batch: it saves hundreds of steps."""
        level = x.flatten().long()
        count = torch.ones(self.levels, device=x.device)
        count.index_add_(0, level, torch.ones_like(level, dtype=count.dtype))
        self.table.add_((count / count.sum()).log() / TABLE_GAIN)

    def distributions(self) -> Tensor:
        """P_k(level), (k, levels); a trace of uniform keeps each possible, its logarithm finite."""
        return F.softmax(self.table * TABLE_GAIN, 1) * (1 - UNIFORM) + UNIFORM / self.levels

    def log_prob(self, logits: Tensor, level: Tensor) -> Tensor:
        """log sum_k w_k P_k(level), nats, of int64 levels (...) and logits of w (..., k)."""
        table = self.distributions().t().contiguous()
        result: Tensor = LevelMixture.apply(logits.to(table.dtype), level, table)
        return result

    def mean(self, logits: Tensor) -> Tensor:
        """The expected level (...) for logits (..., k)."""
        each = self.distributions() @ torch.arange(
            self.levels, dtype=self.table.dtype, device=self.table.device
        )
        return logits.to(each.dtype).softmax(-1) @ each

    def ladder(self) -> Tensor:
        """k + P_k(at most level) at k * levels + level, float64: one search draws from any P_k."""
        steps = self.distributions().double().cumsum(1)
        rungs = torch.arange(self.mixture, device=steps.device)[:, None]
        return (steps / steps[:, -1:] + rungs).flatten()

    def draw(self, z: Tensor, logits: Tensor, ladder: Tensor) -> Tensor:
        """The int64 levels (...) that z in [0, 1), float64, picks from the mixtures.

        z picks the component; where in that one's share it lies is uniform again, and picks the
        level.
        """
        weights = logits.double().softmax(-1)
        ends = weights.cumsum(-1)
        k = (ends <= z[..., None]).sum(-1).clamp_max(self.mixture - 1)
        share, end = (x.gather(-1, k[..., None])[..., 0] for x in (weights, ends))
        place = ((z - end) / share.clamp_min(1e-30) + 1).clamp(0, 1)
        level = torch.searchsorted(ladder, k + place, right=True) - k * self.levels
        return level.clamp(0, self.levels - 1)
