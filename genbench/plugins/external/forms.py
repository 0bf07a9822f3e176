"""The files that rows of a kind may come in, as people call them."""

from __future__ import annotations

from genbench import kinds

_CALLED = {
    "arrays": "arrays (.npz, .npy, .pt, .safetensors)",
    "csv": "a .csv",
    "images": "a folder or zip of images",
    "sounds": "a folder or zip of sounds",
    "texts": "texts (.txt, .tsv, .jsonl)",
}


def forms(kind: str) -> str:
    """What `genbench score` takes for such rows, in words."""
    return " or ".join(_CALLED[name] for name in kinds.of(kind).scored_from)
