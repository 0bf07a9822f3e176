"""Names of the splits of a data set. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

SplitName = Literal["train", "valid", "test"]


def further_splits(dataset: Mapping[str, Any]) -> list[str]:
    """Names of the splits beyond ``train``, ``valid`` and ``test``, in the suite's order.

    They are tables as those are; what else stands in ``[dataset.split]`` is a loader's option.
    """
    table = dataset.get("split", {})
    return [k for k, v in table.items() if isinstance(v, Mapping) and k not in get_args(SplitName)]
