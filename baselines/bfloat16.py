"""Where networks of colour images may compute in bfloat16: on a card, and on some processors."""

from __future__ import annotations

import torch


def bfloat16(device: torch.device, *, wanted: bool = True) -> torch.autocast:
    """Networks in bfloat16 where the device has instructions for it; elsewhere in float32.

    Without them a processor would imitate bfloat16, slower than it computes in float32.
    """
    on_card = device.type == "cuda"
    fast = wanted and (on_card or (device.type == "cpu" and _has_instructions()))
    # No cache of weights: it would outlive the capture of a step.
    kind = "cuda" if on_card else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=fast, cache_enabled=False)


def _has_instructions() -> bool:
    """Of this processor; older versions of torch do not tell, and compute in float32."""
    tells = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(tells.get("avx512_bf16") or tells.get("amx_bf16"))
