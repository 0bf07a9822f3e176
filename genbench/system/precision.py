"""Torch's products in the precision of their dtype, whatever a plugin or a user switched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def plain_float32(device: torch.device) -> Iterator[None]:
    """No autocast, TF32 or bfloat16 products, whatever a plugin has switched on; undone after."""
    import torch

    settings = _precision_settings(torch.backends)
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for owner, name, plain in settings:
            setattr(owner, name, plain)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)


def _precision_settings(backends: Any) -> list[tuple[Any, str, Any]]:
    """Torch's settings for the precision of float32 products: owner, attribute, plain value."""
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        return [
            (backends.cuda.matmul, "allow_tf32", False),
            (backends.cudnn, "allow_tf32", False),
        ]
    # Reading the older switches raises once a plugin has used these.
    owners = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    return [(owner, "fp32_precision", "ieee") for owner in owners]
