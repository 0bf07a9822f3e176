"""The optional methods of a generator that can be looked into, held against the contract.

See `genbench.generator.CodedGenerator`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genbench.errors import ContractError
from genbench.generator import Space

METHODS = ("encode", "decode", "reconstruct", "sampler")
SIZES = {"encode": "latent_size", "decode": "latent_size", "sampler": "noise_size"}


class Coded:
    """The codes of a fitted generator.

    Raises
    ------
    ContractError
        If it offers a method without the size that belongs to it, or a decoder or sampler that is
        no module; and, from every call, if what came back is not what the contract says.
    """

    def __init__(self, generator: Any, space: Space) -> None:
        self.generator, self.space = generator, space
        self.offered = tuple(name for name in METHODS if getattr(generator, name, None) is not None)
        self.sizes = {SIZES[name]: self._size(name) for name in self.offered if name in SIZES}
        for name in ("decode", "sampler"):
            if name in self.offered and not isinstance(getattr(generator, name), nn.Module):
                given = type(getattr(generator, name)).__name__
                raise self._breach(
                    f"{name} is a {given}, expected a torch.nn.Module: make it a property that "
                    "returns one"
                )

    def __bool__(self) -> bool:
        return bool(self.offered)

    @property
    def encodes(self) -> bool:
        """Whether it has codes of examples."""
        return "encode" in self.offered

    @property
    def decodes(self) -> bool:
        """Whether it has examples of codes."""
        return "decode" in self.offered

    @property
    def reconstructs(self) -> bool:
        """Whether it gives examples back: by itself, or by encoding and decoding."""
        return "reconstruct" in self.offered or (self.encodes and self.decodes)

    @property
    def takes_labels(self) -> bool:
        """Whether its modules are told classes."""
        return self.generator.spec.labels == "given" and self.space.classes > 0

    @property
    def latent_size(self) -> int:
        """Numbers in a code."""
        return self.sizes["latent_size"]

    @property
    def noise_size(self) -> int:
        """Numbers of noise that the sampler takes for an example."""
        return self.sizes["noise_size"]

    @torch.no_grad()
    def encode(self, x: Tensor, *, first: int = 0) -> Tensor:
        """Codes, float32 ``(n, latent_size)``; `first` numbers the first row in complaints."""
        z = self.generator.encode(x)
        wanted = (len(x), self.latent_size)
        if not isinstance(z, Tensor) or tuple(z.shape) != wanted or z.dtype != torch.float32:
            raise self._breach(
                f"encode() returned {_told(z)}, expected float32 {wanted}: latent_size is "
                f"{self.latent_size}"
            )
        if z.device.type != "meta" and not (finite := z.isfinite().all(1)).all():
            row = first + int(finite.int().argmin())
            raise self._breach(f"encode() is not finite for row {row}")
        return z

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Examples of codes; of the classes in `labels` where it takes any."""
        x: Tensor = self.generator.decode(z, labels if self.takes_labels else None)
        return self._checked("decode(z, labels)", x, len(z))

    @torch.no_grad()
    def draw(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Examples of the sampler."""
        x: Tensor = self.generator.sampler(noise, labels if self.takes_labels else None)
        return self._checked("sampler(noise, labels)", x, len(noise))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Examples given back; by a decoder that takes labels, of the class that comes nearest."""
        if "reconstruct" in self.offered:
            return self._checked("reconstruct(x)", self.generator.reconstruct(x), len(x))
        z = self.encode(x)
        if not self.takes_labels:
            return self.decode(z, None)
        best, least = x, torch.full((len(x),), torch.inf, device=x.device)
        for label in range(self.space.classes):
            tried = self.decode(z, torch.full((len(x),), label, device=x.device))
            off = (tried.float() - x.float()).flatten(1).square().sum(1)
            nearer = (off < least).view(-1, *[1] * len(self.space.shape))
            best, least = torch.where(nearer, tried, best), torch.minimum(off, least)
        return best

    def _checked(self, what: str, x: Any, n: int) -> Tensor:
        problem = self.space.violation(x, n)
        if problem is not None:
            raise self._breach(f"the tensor that {what} returned {problem}")
        found: Tensor = x
        return found

    def _size(self, method: str) -> int:
        name = SIZES[method]
        size = getattr(self.generator, name, None)
        if size is None:
            raise self._breach(
                f"offers {method} but no {name}: say how many numbers there are in a row of what "
                "goes through it"
            )
        if type(size) is not int or size < 1:
            raise self._breach(f"{name} is {size!r}, expected a whole number above 0")
        return size

    def _breach(self, problem: str) -> ContractError:
        return ContractError(f"generator {self.generator.spec.name!r}: {problem}")


def _told(value: Any) -> str:
    """A value's dtype and shape, or its type."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
