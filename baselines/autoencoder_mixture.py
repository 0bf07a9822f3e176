"""The distribution that ``autoencoder`` lays over its codes: a mixture of Gaussians per class.

Fitted by k-means, then by expectation and maximisation (Dempster et al. 1977), for all classes at
once. No step branches on a value, so that it runs on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KMEANS_ROUNDS, EM_ROUNDS = 10, 30
MOST_ROWS = 4000  # of a class; more are left out
PRIOR_ROWS = 4.0  # what the class's own covariance counts beside a component's rows
LEAST_VARIANCE = 1e-3  # added to every direction: the codes have deviation 1


class ClassMixtures(nn.Module):
    """`components` full Gaussians for each of so many classes, in `size` dimensions."""

    share: Tensor
    mean: Tensor
    root: Tensor

    def __init__(self, classes: int, components: int, size: int) -> None:
        super().__init__()
        shape = (max(1, classes), components)
        self.register_buffer("share", torch.full(shape, 1 / components))  # sums to 1 per class
        self.register_buffer("mean", torch.zeros(*shape, size))
        self.register_buffer("root", torch.eye(size).expand(*shape, size, size).clone())

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes ``(n, size)`` of classes ``(n,)`` from standard normal noise ``(n, 1 + size)``.

        The first number chooses the component, the others the place in it.
        """
        y = torch.zeros_like(noise[:, 0], dtype=torch.int64) if labels is None else labels
        chance = 0.5 * (1 + torch.erf(noise[:, :1] * math.sqrt(0.5)))
        k = (self.share[y].cumsum(1) <= chance).sum(1).clamp_max(self.share.shape[1] - 1)
        return self.mean[y, k] + (self.root[y, k] @ noise[:, 1:, None]).squeeze(2)

    @torch.no_grad()
    def fit(self, codes: Tensor, y: Tensor, rng: torch.Generator) -> None:
        """Fit to codes ``(n, size)`` of classes ``(n,)``; a class without any gets others' rows."""
        classes, components, size = self.mean.shape
        rows = _by_class(codes, y, classes, rng)  # (classes, m, size)
        centre = rows.mean(1, keepdim=True)
        own = (rows - centre).transpose(1, 2) @ (rows - centre) / rows.shape[1]
        ridge = LEAST_VARIANCE * torch.eye(size, device=codes.device)
        belongs = _kmeans(rows, components, rng)  # (classes, m, components)
        for _ in range(EM_ROUNDS):
            count = belongs.sum(1)  # (classes, components)
            self.share.copy_((count + 1 / components) / (rows.shape[1] + 1))
            # Of a component without rows the middle of the class, which the prior's rows stand for.
            total = belongs.transpose(1, 2) @ rows + centre
            self.mean.copy_(total / (count + 1)[..., None])
            self.root.copy_(torch.linalg.cholesky(self._spread(rows, belongs, own) + ridge))
            belongs = self._belongs(rows)

    def _spread(self, rows: Tensor, belongs: Tensor, own: Tensor) -> Tensor:
        """Covariances of the components, each with `PRIOR_ROWS` of a share of the class's own."""
        _, components, size = self.mean.shape
        prior = own[:, None] / components ** (2 / size)
        off = rows[:, None] - self.mean[:, :, None]  # (classes, components, m, size)
        outer = (off * belongs.transpose(1, 2)[..., None]).transpose(2, 3) @ off
        count = belongs.sum(1)[..., None, None]
        return (outer + PRIOR_ROWS * prior) / (count + PRIOR_ROWS)

    def _belongs(self, rows: Tensor) -> Tensor:
        """The probability of each component given each row, ``(classes, m, components)``."""
        off = (rows[:, :, None] - self.mean[:, None]).permute(0, 2, 3, 1)  # (c, k, size, m)
        white = torch.linalg.solve_triangular(self.root, off, upper=False)
        volume = torch.diagonal(self.root, dim1=2, dim2=3).log().sum(2)
        fit = self.share.log() - volume
        return (fit[..., None] - 0.5 * white.square().sum(2)).softmax(1).transpose(1, 2)


def _by_class(codes: Tensor, y: Tensor, classes: int, rng: torch.Generator) -> Tensor:
    """As many codes of each class, at random, ``(classes, m, size)``: those of small ones return.

    Static in shape, whatever the classes' shares are.
    """
    mixed = torch.randperm(len(codes), generator=rng, device=rng.device).to(codes.device)
    order = mixed[torch.argsort(y[mixed], stable=True)]
    wanted = torch.arange(classes, device=codes.device)
    first = torch.searchsorted(y[order].contiguous(), wanted)
    count = torch.searchsorted(y[order].contiguous(), wanted, right=True) - first
    none = count == 0
    first, count = first.masked_fill(none, 0), count.masked_fill(none, len(codes))
    m = torch.arange(min(MOST_ROWS, len(codes)), device=codes.device)
    return codes[order[first[:, None] + m % count[:, None]]]


def _kmeans(rows: Tensor, components: int, rng: torch.Generator) -> Tensor:
    """Which centre each row belongs to, one-hot ``(classes, m, components)``."""
    first = torch.randint(rows.shape[1], (components,), generator=rng, device=rng.device)
    centres = rows[:, first.to(rows.device)]
    for _ in range(KMEANS_ROUNDS):
        nearest = torch.cdist(rows, centres).argmin(2)
        belongs = nn.functional.one_hot(nearest, components).to(rows)
        count = belongs.sum(1)[..., None]
        mean = belongs.transpose(1, 2) @ rows / count.clamp_min(1)
        centres = torch.where(count > 0, mean, centres)
    return belongs
