"""A model that is fitted already, under the plugin contract."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import kinds
from genbench.adapters.ranges import Range, Seen
from genbench.errors import ContractError, PluginError
from genbench.formats import arranged, unclear_layout
from genbench.generator import GeneratorSpec, Kind, Run, Space, TrainData, to_uint8

if TYPE_CHECKING:
    import torch
    from torch import Tensor

UNKNOWN = "unknown: made elsewhere"

# Samples of n rows: given n, a seed and, where the model takes them, labels.
Draw = Callable[[int, int, Any], Any]


@dataclass(frozen=True)
class NoParams:
    """A model made elsewhere has nothing left to set."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The module that calls an adapter, and the folder that its relative paths start from."""

    module: str
    folder: Path


def caller() -> Caller:
    """The caller of the function that calls this."""
    # As collections.namedtuple does: the class belongs to the module that asked for it.
    names = sys._getframe(2).f_globals
    file = names.get("__file__")
    return Caller(str(names.get("__name__")), Path(file).resolve().parent if file else Path.cwd())


def located(by: Caller, path: str | Path) -> Path:
    """A file or folder of the caller's; `PluginError` if it is not there."""
    found = by.folder / path
    if not found.exists():
        raise PluginError(f"there is nothing at {found}: give a path relative to {by.folder}")
    return found


def frozen(
    name: str,
    load: Callable[[Space, torch.device], Draw],
    by: Caller,
    *,
    family: str,
    summary: str,
    kinds: Sequence[Kind] = ("image",),
    labels: bool = False,
    files: Sequence[Path] = (),
    pretrained_on: str | None = UNKNOWN,
    values: Range | None = None,
    code: Callable[..., Any] | None = None,
) -> type:
    """A generator class around a model that needs no fitting.

    `load` makes the sampler, once; it is called in `fit`, so that a file that cannot be loaded is a
    failed cell with its reason. With `labels` the model samples the classes it is asked for. It
    consists of `files`, whose digests become part of the version, and perhaps of `code`, the user's
    own function. `values` make grey levels of floats; None where the model returns uint8.
    """

    class Adapted:
        spec = GeneratorSpec(
            name=name,
            version=_version(files),
            family=family,
            kinds=tuple(kinds),
            labels="given" if labels else "none",
            likelihood=None,
            params=NoParams,
            pretrained_on=pretrained_on,
        )
        version_files = tuple(str(file) for file in files)
        made_by = staticmethod(code) if code is not None else None

        def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
            self.space, self.device = space, device
            self._draw: Draw | None = None
            self._seen = Seen(values, space.levels)

        def fit(self, train: TrainData, run: Run) -> None:
            """Load the model; no training row is asked for."""
            self._loaded()

        def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
            """`n` examples of the model; what it draws of torch's global stream is seeded too."""
            drawn = _seeded(self._loaded(), n, seed, labels, self.device)
            return in_space(drawn, self.space, self._seen, name).to(self.device)

        def sample_notes(self) -> tuple[str, ...]:
            """Notes on floats drawn so far that do not fit the range that was declared."""
            return self._seen.notes()

        def state_dict(self) -> dict[str, Tensor]:
            """Nothing: the model is in its own files."""
            return {}

        def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
            """Nothing to load."""

        def _loaded(self) -> Draw:
            if self._draw is None:
                self._draw = load(self.space, self.device)
            return self._draw

    Adapted.__name__ = Adapted.__qualname__ = name
    Adapted.__module__ = by.module
    Adapted.__doc__ = summary
    return Adapted


def _seeded(draw: Draw, n: int, seed: int, labels: Tensor | None, device: torch.device) -> Any:
    """`n` draws, with torch's global stream seeded for them and left as it was."""
    import torch

    on_gpu = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu), torch.no_grad():
        torch.manual_seed(seed)
        return draw(n, seed, labels)


def in_space(x: Any, space: Space, seen: Seen, name: str) -> Tensor:
    """A model's rows, an array or tensor, as a tensor of the space as far as that needs no guess.

    Images become uint8 ``(n, C, H, W)``, points float32 ``(n, d)``; whatever else fits the space's
    shape keeps its dtype. `ContractError` if it returned floats for images and nobody said what is
    black and what is white, flat colour images, or masked entries.
    """
    import numpy as np
    import torch

    array = _native(x, name)
    if (problem := unclear_layout(array.shape, space)) is not None:
        raise ContractError(f"generator {name!r}: the array that it returned {problem}")
    tensor = torch.from_numpy(np.ascontiguousarray(arranged(array, space)))
    if kinds.of(space.kind).pictures and tensor.is_floating_point():
        if seen.values is None:
            raise ContractError(
                f"generator {name!r} returned {tensor.dtype}: say which floats are black and white "
                "with low= and high=, or return uint8"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ContractError(f"generator {name!r} returned NaN or infinity")
        seen.add(tensor.float())
        return to_uint8(tensor, seen.values.low, seen.values.high, space.levels)
    if kinds.of(space.kind).columns:
        return tensor.float()
    return tensor


def _native(x: Any, name: str) -> Any:
    """An array, or torch's tensor as one, that torch can take back."""
    from genbench.formats import array_of, without_mask

    try:
        array = without_mask(array_of(x) if hasattr(x, "detach") else x)
    except ValueError as error:
        raise ContractError(f"generator {name!r}: the array it returned {error}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _version(files: Sequence[Path]) -> str:
    """``1`` and, where the model has files, the first digits of the digest of them all."""
    key = hashlib.sha256()
    for file in files:
        for path in sorted(p for p in ([file], file.rglob("*"))[file.is_dir()] if p.is_file()):
            with path.open("rb") as stream:
                key.update(hashlib.file_digest(stream, "sha256").digest())
    return f"1+{key.hexdigest()[:12]}" if files else "1"
