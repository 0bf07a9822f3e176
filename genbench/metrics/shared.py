"""One pass over all pairs of rows for the metrics that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.errors import MetricError
from genbench.metrics.entry import MetricInfo, Pairs
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.kernel_sums import KernelSums
from genbench.metrics.kernels import KernelChoice
from genbench.metrics.memberships import Memberships
from genbench.metrics.neighbours import Neighbourhoods, check_depth
from genbench.metrics.pairs import Visitor, visit_between, visit_within
from genbench.metrics.prepared import PreparedRows, prepare

Asked = Mapping[str, tuple[MetricInfo, Mapping[str, Any]]]
Results = dict[str, Measurement | Exception]


def measure_together(inputs: Inputs, asked: Asked) -> Results:
    """A measurement or an error for each key of `asked`, which maps it to entry and parameters.

    Metrics whose own demands are not met are left out of the pass, with their errors. Different k
    within closed balls, or within open balls, take a further pass each, and so does each kernel.
    """
    results: Results = {}
    ready: dict[str, tuple[MetricInfo, Mapping[str, Any]]] = {}
    for key, (info, parameters) in asked.items():
        try:
            used = _check(inputs, info, parameters)
        except Exception as error:
            results[key] = error
        else:
            ready[key] = (info, used)
    for key in [key for key, (_, used) in ready.items() if used.get("unit_length")]:
        results |= _tried(inputs, {key: ready.pop(key)}, None, None)  # its rows are others
    kernel_keys = [key for key, (info, _) in ready.items() if info.pairs == "kernel"]
    depths = [_depths(ready, "closed balls"), _depths(ready, "open balls")]
    count = max(len(kernel_keys), *map(len, depths))
    for turn in range(count):
        kernel_key = kernel_keys[turn] if turn < len(kernel_keys) else None
        k_closed, k_open = (ks[turn] if turn < len(ks) else None for ks in depths)
        keys = {
            key: (info, used)
            for key, (info, used) in ready.items()
            if key == kernel_key
            or (info.pairs == "closed balls" and used["k"] == k_closed)
            or (info.pairs == "open balls" and used["k"] == k_open)
        }
        results |= _tried(inputs, keys, k_closed, k_open)
    return results


def _tried(inputs: Inputs, keys: Asked, k_closed: int | None, k_open: int | None) -> Results:
    try:
        return _one_pass(inputs, keys, k_closed, k_open)
    except Exception as error:
        return dict.fromkeys(keys, error)


def _check(inputs: Inputs, info: MetricInfo, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they will be used; raises what would make this metric fail."""
    real, fake = inputs.pair
    if info.pairs == "kernel":
        choice = KernelChoice(**parameters).checked(len(real), len(fake))
        return {name: getattr(choice, name) for name in parameters}
    k = parameters["k"]
    closed, opened = (k, None) if info.pairs == "closed balls" else (None, k)
    check_depth(len(real), len(fake), closed, opened)
    return dict(parameters)


def _depths(ready: Asked, part: Pairs) -> list[int]:
    return sorted({used["k"] for info, used in ready.values() if info.pairs == part})


def _one_pass(inputs: Inputs, keys: Asked, k_closed: int | None, k_open: int | None) -> Results:
    """At most one kernel, one k of closed balls, and one k of open balls."""
    blocks = inputs.blocks
    choices = {key: KernelChoice(**u) for key, (info, u) in keys.items() if info.pairs == "kernel"}
    pair = inputs.pair
    for choice in choices.values():
        pair = choice.prepared(*pair)
    both = prepare(*pair, None if blocks is None else blocks.order)
    results: Results = {}
    kernel: KernelSums | None = None
    for key, choice in choices.items():
        try:
            kernel = KernelSums(both, blocks, choice, inputs.seed)
        except MetricError as error:
            results[key] = error
    balls: Neighbourhoods | None = None
    if k_closed is not None or k_open is not None:
        balls = Neighbourhoods(*both, k_closed=k_closed, k_open=k_open, blocks=blocks)
    memberships = _visit(both, kernel, balls)
    for key, (info, used) in keys.items():
        part = kernel if info.pairs == "kernel" else memberships
        if part is not None:
            results[key] = info.load_maker()(part, inputs, used)
    return results


def _visit(
    both: tuple[PreparedRows, PreparedRows],
    kernel: KernelSums | None,
    balls: Neighbourhoods | None,
) -> Memberships | None:
    """Show all pairs to whoever takes part: within both sets, then between them."""
    parts: list[KernelSums | Neighbourhoods] = [p for p in (kernel, balls) if p is not None]
    visit_within(both[0], [part.within_real for part in parts])
    visit_within(both[1], [part.within_fake for part in parts if part.within_fake is not None])
    between: list[Visitor] = [] if kernel is None else [kernel.between]
    if balls is None:
        visit_between(*both, between)
        return None
    memberships, finest = balls.memberships()
    if finest[0] is not both[0]:
        visit_between(*both, between)
        between = []
    visit_between(*finest, [*between, memberships], memberships.columns)
    return memberships
