"""torch-fidelity as an oracle on precomputed features, through an identity extractor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


class _Rows(Dataset[torch.Tensor]):
    """Rows of features, given as if they were images."""

    def __init__(self, rows: Any) -> None:
        self._rows = torch.as_tensor(np.ascontiguousarray(rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._rows[index]


@cache
def _identity() -> str:
    """Register the extractor once; importing torch-fidelity takes seconds, so only here."""
    from torch_fidelity import register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Identity(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("rows",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "rows"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (rows,)

    register_feature_extractor("identity-for-genbench-tests", Identity)
    return "identity-for-genbench-tests"


def torch_fidelity_scores(real: Any, fake: Any, **options: Any) -> dict[str, float]:
    """What torch-fidelity says of two sets of rows; generated is its input 1."""
    from torch_fidelity import calculate_metrics

    scores: dict[str, float] = calculate_metrics(
        input1=_Rows(fake),
        input2=_Rows(real),
        feature_extractor=_identity(),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        batch_size=1000,
        verbose=False,
        **options,
    )
    return scores
