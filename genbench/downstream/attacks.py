"""Attacks on a classifier within a greatest change per pixel: FGSM and PGD."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.downstream.networks import Network


def fgsm(classifier: Network, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """The fast gradient sign method: one step of the full size uphill in the loss.

    Parameters
    ----------
    x
        Grey-level images ``(n, C, H, W)`` on the classifier's device, any numeric dtype.
    y
        int64 labels ``(n,)``.
    epsilon
        Greatest change of a pixel, as a share of the grey range.

    Returns
    -------
    Tensor
        float32 grey levels within `epsilon` of `x` and within the range.

    References
    ----------
    Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples, arXiv:1412.6572.
    """
    top = float(classifier.space.levels - 1)
    x = x.float()
    return (x + epsilon * top * _slope(classifier, x, y).sign()).clamp(0, top)


def pgd(
    classifier: Network, x: Tensor, y: Tensor, epsilon: float, *, steps: int, seed: int
) -> Tensor:
    """Projected gradient descent from a random start, in steps of 2.5 epsilon / `steps`.

    See `fgsm` for the arguments and the result.

    References
    ----------
    Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks,
    arXiv:1706.06083.
    """
    top = float(classifier.space.levels - 1)
    x = x.float()
    reach, step = epsilon * top, 2.5 * epsilon * top / steps
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    found = (x + reach * (2 * noise - 1)).clamp(0, top)
    for _ in range(steps):
        found = found + step * _slope(classifier, found, y).sign()
        found = found.clamp(x - reach, x + reach).clamp(0, top)
    return found


def _slope(classifier: Network, x: Tensor, y: Tensor) -> Tensor:
    """Gradient of each image's cross-entropy with respect to its pixels."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(classifier.net(x), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
    return slope
