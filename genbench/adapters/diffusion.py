"""A Hugging Face diffusers pipeline in a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.adapters.frozen import UNKNOWN, Draw, caller, frozen, located
from genbench.adapters.ranges import Range
from genbench.errors import PluginError
from genbench.generator import Space

if TYPE_CHECKING:
    import torch


def diffusers_pipeline(
    name: str,
    folder: str | Path,
    *,
    steps: int | None = None,
    batch_size: int = 32,
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from a saved unconditional pipeline (DDPM, DDIM and the like).

    The folder is what ``pipeline.save_pretrained`` writes. Only safetensors are loaded, nothing is
    fetched and no code of the folder is run. Needs the extra ``genbench[diffusers]``.

    Parameters
    ----------
    steps
        Denoising steps; by default the pipeline's own.
    pretrained_on
        What shaped the weights; None only if nothing but the suite's train split did.

    Raises
    ------
    PluginError
        If there is no such folder; at the fit, if it does not load.
    """
    by = caller()
    path = located(by, folder)

    def load(space: Space, device: torch.device) -> Draw:
        try:
            import diffusers
        except ImportError as error:
            raise PluginError("diffusers is absent: pip install 'genbench[diffusers]'") from error
        pipelines: Any = diffusers.DiffusionPipeline
        try:
            pipeline = pipelines.from_pretrained(
                str(path), local_files_only=True, use_safetensors=True, trust_remote_code=False
            ).to(device)
        except Exception as error:  # what a bad folder raises differs from release to release
            reason = " ".join(str(error).split())[:300]
            raise PluginError(f"{path} is no diffusers pipeline: {reason}") from error
        pipeline.set_progress_bar_config(disable=True)
        return lambda n, seed, labels: _draw(pipeline, n, seed, steps, batch_size)

    return frozen(
        name, load, by, family="diffusion", summary=f"A diffusers pipeline, {path.name}.",
        files=[path], pretrained_on=pretrained_on, values=Range(0.0, 1.0),
    )  # fmt: skip


def _draw(pipeline: Any, n: int, seed: int, steps: int | None, batch_size: int) -> Any:
    import numpy as np
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    options = {} if steps is None else {"num_inference_steps": steps}
    parts = []
    for start in range(0, n, batch_size):
        size = min(batch_size, n - start)
        made = pipeline(batch_size=size, generator=generator, output_type="np", **options)
        parts.append(np.asarray(made.images))  # (size, H, W, C) in [0, 1]
    return np.concatenate(parts)
