"""Points with every column to one scale: the training split's centre and spread, from the suite."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import ContractError, DataError
from genbench.features.extractors import Features
from genbench.generator import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class StandardisedExtractor:
    """``(x - centre) / spread``, column by column; float64 until the difference is taken.

    Parameters
    ----------
    table
        The suite's ``[[extractors]]`` entry with ``centre`` and ``spread``.

    Raises
    ------
    DataError
        If the moments are not those that its ``sha256`` names.
    """

    def __init__(self, table: Mapping[str, Any], space: Space) -> None:
        problem = moments_problem(table)
        if problem is not None:
            raise DataError(problem)
        self.name = str(table["name"])
        self.version = str(table["version"])
        self.identity = f"{self.name}/{self.version}:{table['sha256'][:8]}"
        self.sha256 = ""  # no weights: its features are cheaper to make than to keep
        self._shape = space.shape
        self._centre = np.array(table["centre"], np.float64)
        self._spread = np.array(table["spread"], np.float64)

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """`x` ``(n, d)`` to one scale, float32; `device` and `batch_size` change nothing."""
        points = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
        if points.shape[1:] != self._shape:
            raise ContractError(
                f"extractor {self.name} got rows of shape {points.shape[1:]}, "
                f"expected {self._shape}: pass samples of the suite's space"
            )
        return Features(((points - self._centre) / self._spread).astype(np.float32), None)


def moments_digest(table: Mapping[str, Any]) -> str:
    """SHA-256 of the moments of a standardising extractor, as the suite writes them."""
    moments = [[float(v) for v in table[key]] for key in ("centre", "spread")]
    return hashlib.sha256(json.dumps(moments).encode()).hexdigest()


def moments_problem(table: Mapping[str, Any]) -> str | None:
    """The problem of a standardising extractor's moments, if they changed since it was made."""
    if moments_digest(table) == table["sha256"]:
        return None
    return (
        f"centre and spread of extractor {table['name']!r} were changed: restore them, or "
        f"raise its version and set sha256 = {moments_digest(table)!r}"
    )
