"""genbench: train, score and rank generative models under one budget.

`run` and `score` are what the command line calls; they are loaded when they are first used, so that
importing genbench costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench import metrics
    from genbench.api import Result, run, score
    from genbench.generator import GeneratorSpec

_HOME = {
    "GeneratorSpec": "genbench.generator",
    "Result": "genbench.api",
    "run": "genbench.api",
    "score": "genbench.api",
}

__all__ = ["GeneratorSpec", "Result", "metrics", "run", "score"]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("genbench.metrics")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
