"""The accelerator card that a process works on: its name, its memory, its errors in our words.

Torch is imported where there is a card to ask, and nowhere else.
"""

from __future__ import annotations

import re
import sys

from genbench.errors import DeviceError, DeviceMemoryError, shorten

_OF_MEMORY = re.compile(r"CUDA (error: )?out of memory|CUBLAS_STATUS_ALLOC_FAILED")
_OF_A_CARD = re.compile(
    r"CUDA (error|driver|unknown|initialization)|NVIDIA driver|(CUBLAS|CUDNN|CUSOLVER)_STATUS|cuDNN"
)
PEAKS = ("card_peak_bytes", "card_peak_reserved_bytes")  # among a record's resources
MORE_MEMORY = (
    "make its batches or the model smaller, run fewer cells a card (-j), see with nvidia-smi who "
    "else uses it, or use --device cpu"
)
ANOTHER_TRY = (
    "`genbench doctor` says whether the driver works; CUDA_LAUNCH_BLOCKING=1 or --device cpu names "
    "the line that failed"
)


def begin(device: str) -> None:
    """Make a card the one that this process means by ``cuda``, and count its memory from here."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)
        torch.cuda.reset_peak_memory_stats(device)


def name(device: str) -> str | None:
    """The card's name, such as ``NVIDIA H200``; None for the CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    try:
        return torch.cuda.get_device_name(device)
    except RuntimeError:  # it has failed, which its own error tells
        return "unknown"


def peaks(device: str) -> dict[str, int]:
    """The most bytes that this process held on its card, and had reserved; nothing on the CPU."""
    if not device.startswith("cuda"):
        return {}
    import torch

    most = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return dict(zip(PEAKS, map(int, most), strict=True))


def named(error: BaseException) -> BaseException:
    """An error of a card as a `DeviceError` with what to do about it; any other as it is."""
    torch = sys.modules.get("torch")  # whose error it is has been imported
    if torch is None or not isinstance(error, RuntimeError):
        return error
    text = shorten(str(error), 200)
    found: BaseException = error
    if isinstance(error, torch.cuda.OutOfMemoryError) or _OF_MEMORY.search(text):
        found = DeviceMemoryError(f"the card is out of memory ({text}): {MORE_MEMORY}")
    elif isinstance(error, getattr(torch, "AcceleratorError", ())) or _OF_A_CARD.search(text):
        found = DeviceError(f"the card failed ({text}): {ANOTHER_TRY}")
    if found is not error:
        found.__cause__ = error
    return found
