"""The modules that ``vae`` offers to be looked into: of codes, and of noise, to examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.baselines.vae_colour import ColourNetwork
from genbench.baselines.vae_image import ImageNetwork
from genbench.baselines.vae_points import PointNetwork
from genbench.baselines.vae_sound import SoundNetwork
from genbench.baselines.vae_text import TextNetwork
from genbench.errors import UsageError

Network = ImageNetwork | ColourNetwork | PointNetwork | SoundNetwork | TextNetwork


class Decoder(nn.Module):
    """The mean example, or likeliest text, of codes ``(n, latent_size)`` and classes ``(n,)``."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of the space."""
        return self.net.expected(z, _classes(self.net, labels, z))


class Sampler(nn.Module):
    """An example as it is drawn, given noise ``(n, noise_size)`` and classes ``(n,)``."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of the space."""
        return self.net.drawn(noise, _classes(self.net, labels, noise))


def _classes(net: Network, labels: Tensor | None, rows: Tensor) -> Tensor:
    """Labels, or zeros for as many rows where there are no classes."""
    if labels is not None:
        return labels
    if net.label.num_embeddings > 1:
        raise UsageError(f"vae decodes {net.label.num_embeddings} classes: pass labels int64 (n,)")
    return torch.zeros(rows.shape[0], dtype=torch.int64, device=rows.device)
