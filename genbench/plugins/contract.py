"""The harness's side of the plugin contract: make a generator, hold what it returns against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench.errors import ContractError
from genbench.generator import Samples, Space
from genbench.plugins import finding as plugins
from genbench.plugins.parameters import by_field


def make_generator(
    ref: plugins.GeneratorRef,
    params: Mapping[str, Any],
    space: Space,
    device: torch.device,
    cls: type | None = None,
) -> Any:
    """Import a generator, unless its class is given, and make one of `params` by key."""
    known: Any = cls or plugins.load(ref)
    return known(known.spec.params(**by_field(known.spec.params, params)), space, device)


class CheckedSamples(NamedTuple):
    """Samples that obey the contract: `x` of the space, `y` int64 ``(n,)`` or None."""

    x: Tensor
    y: Tensor | None


def checked_samples(
    generator: Any, space: Space, n: int, *, seed: int, labels: Tensor | None
) -> CheckedSamples:
    """Draw `n` samples and hold them against the contract.

    Returns
    -------
    CheckedSamples
        Its `y` are the generator's own labels, or else the `labels` it was asked for.

    Raises
    ------
    ContractError
        If what `sample` returned is not `n` examples of `space`, or its own labels are wrong.
    """
    own = generator.spec.labels == "own" and space.classes > 0
    with torch.no_grad():
        drawn = generator.sample(n, seed=seed, labels=labels)
    if own and not isinstance(drawn, Samples):
        raise _breach(generator, "sample()", 'must return Samples(x, y), as its labels are "own"')
    x, y = drawn if isinstance(drawn, Samples) else (drawn, None)
    problem = space.violation(x, n)
    if problem is not None:
        raise _breach(generator, "the tensor that sample() returned", problem)
    if not own:
        return CheckedSamples(x, labels)
    problem = label_violation(y, n, space.classes)
    if problem is not None:
        raise _breach(generator, "the labels that sample() returned", problem)
    return CheckedSamples(x, y)


def checked_log_prob(
    generator: Any,
    x: Tensor,
    *,
    seed: int,
    labels: Tensor | None = None,
    draws: int = 1,
    first: int = 0,
    of: str = "reference row",
) -> npt.NDArray[np.float64]:
    """The log-probability of each row of `x` in nats, ``(n,)``; `first` numbers the first row.

    Raises
    ------
    ContractError
        If `log_prob` did not return one finite number per row.
    """
    with torch.no_grad():
        value = generator.log_prob(x, seed=seed, labels=labels, draws=draws)
    n = len(x)
    if not isinstance(value, Tensor) or tuple(value.shape) != (n,):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise _breach(generator, "log_prob()", f"returned {shape}, expected a tensor ({n},)")
    part = np.asarray(value.detach().double().cpu().numpy())
    bad = ~np.isfinite(part)
    if bad.any():
        row = first + int(bad.argmax())
        raise _breach(generator, "log_prob()", f"is not finite for {of} {row}")
    return part


def label_violation(y: Any, n: int, classes: int) -> str | None:
    """The reason that `y` is not `n` labels, or None."""
    if not isinstance(y, Tensor) or tuple(y.shape) != (n,) or y.dtype != torch.int64:
        return f"must be an int64 tensor of shape ({n},)"
    if y.numel() == 0 or y.device.type == "meta":
        return None
    if int(y.min()) < 0 or int(y.max()) >= classes:
        return f"leave 0..{classes - 1}"
    return None


def _breach(generator: Any, what: str, problem: str) -> ContractError:
    return ContractError(f"generator {generator.spec.name!r}: {what} {problem}")
