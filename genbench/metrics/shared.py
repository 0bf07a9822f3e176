"""One pass over all pairs of rows for the metrics that are made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genbench.errors import MetricError
from genbench.metrics.checks import Rows, require_at_least, require_rows
from genbench.metrics.clouds import Cloud, make_clouds
from genbench.metrics.crossing import Crossing
from genbench.metrics.kernel import KernelSums, kernel_distance
from genbench.metrics.neighbours import Neighbourhoods, check_depth
from genbench.metrics.outcomes import Inputs, Outcome
from genbench.metrics.pairs import Reader, visit_between, visit_within

CLOSED, OPEN = ("precision", "recall"), ("density", "coverage")
SHARED = ("kid", *CLOSED, *OPEN)

Asked = Mapping[str, tuple[str, Mapping[str, Any]]]


def shared_outcomes(inputs: Inputs, asked: Asked) -> dict[str, Outcome | Exception]:
    """An outcome or an error for each key of `asked`, which maps it to metric and parameters.

    Metrics whose own demands are not met are left out of the pass, with their errors. Different k
    within precision and recall, or within density and coverage, take a further pass each.
    """
    outcomes: dict[str, Outcome | Exception] = {}
    ready: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for key, (metric, parameters) in asked.items():
        try:
            used = _check(inputs, metric, parameters)
        except Exception as error:
            outcomes[key] = error
        else:
            ready[key] = (metric, used)
    kernel_keys = [key for key, (metric, _) in ready.items() if metric == "kid"]
    depths = [_depths(ready, CLOSED), _depths(ready, OPEN)]
    count = max(len(kernel_keys), *map(len, depths))
    for turn in range(count):
        kernel_key = kernel_keys[turn] if turn < len(kernel_keys) else None
        k_closed, k_open = (ks[turn] if turn < len(ks) else None for ks in depths)
        keys = {
            key: (metric, used)
            for key, (metric, used) in ready.items()
            if key == kernel_key
            or (metric in CLOSED and used["k"] == k_closed)
            or (metric in OPEN and used["k"] == k_open)
        }
        try:
            outcomes.update(_one_pass(inputs, keys, k_closed, k_open))
        except Exception as error:
            outcomes.update(dict.fromkeys(keys, error))
    return outcomes


def _check(inputs: Inputs, metric: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they will be used; raises what would make this metric fail."""
    real, fake = inputs.pair
    used = dict(parameters)
    if metric == "kid":
        # Fewer rows than the usual subset: the subset is all of the smaller set, and says so.
        used["subset_size"] = min(used["subset_size"], len(real), len(fake))
        require_at_least("subset_size", used["subset_size"], 2)
        require_at_least("subsets", used["subsets"], 1)
        require_rows("real", len(real), 2)
        require_rows("fake", len(fake), 2)
        return used
    k = used["k"]
    closed, opened = (k, None) if metric in CLOSED else (None, k)
    check_depth(len(real), len(fake), closed, opened)
    return used


def _depths(ready: Asked, metrics: tuple[str, ...]) -> list[int]:
    return sorted({used["k"] for metric, used in ready.values() if metric in metrics})


def _one_pass(
    inputs: Inputs, keys: Asked, k_closed: int | None, k_open: int | None
) -> dict[str, Outcome | Exception]:
    """At most one kid, one k of precision and recall, and one k of density and coverage."""
    blocks = inputs.blocks
    clouds = make_clouds(*inputs.pair, None if blocks is None else blocks.order)
    outcomes: dict[str, Outcome | Exception] = {}
    kernel: KernelSums | None = None
    try:
        kernel = _kernel(inputs, clouds, keys)
    except MetricError as error:
        outcomes.update({key: error for key, (metric, _) in keys.items() if metric == "kid"})
    balls: Neighbourhoods | None = None
    if k_closed is not None or k_open is not None:
        balls = Neighbourhoods(*clouds, k_closed=k_closed, k_open=k_open, blocks=blocks)
    crossing = _visit(clouds, kernel, balls)
    for key, (metric, used) in keys.items():
        if metric == "kid" and kernel is not None:
            outcomes[key] = _kernel_outcome(inputs, kernel, used)
        elif metric != "kid" and crossing is not None:
            estimate = inputs.maybe(getattr(crossing, metric)())
            outcomes[key] = Outcome(estimate, used=used)
    return outcomes


def _visit(
    clouds: tuple[Cloud, Cloud], kernel: KernelSums | None, balls: Neighbourhoods | None
) -> Crossing | None:
    """Show all pairs to whoever takes part: within both sets, then between them."""
    real, fake, between = _readers(kernel, balls)
    if real:
        visit_within(clouds[0], real)
    if fake:
        visit_within(clouds[1], fake)
    if balls is None:
        visit_between(*clouds, between)
        return None
    crossing, finest = balls.crossing()
    if between and finest[0] is not clouds[0]:
        visit_between(*clouds, between)
        between = []
    visit_between(*finest, [*between, crossing], crossing.columns)
    return crossing


def _readers(
    kernel: KernelSums | None, balls: Neighbourhoods | None
) -> tuple[list[Reader], list[Reader], list[Reader]]:
    real: list[Reader] = []
    fake: list[Reader] = []
    between: list[Reader] = []
    if kernel is not None:
        real.append(kernel.within_real)
        fake.append(kernel.within_fake)
        between.append(kernel.between)
    if balls is not None:
        real.append(balls.within_real)
    if balls is not None and balls.within_fake is not None:
        fake.append(balls.within_fake)
    return real, fake, between


def _kernel(inputs: Inputs, clouds: tuple[Cloud, Cloud], keys: Asked) -> KernelSums | None:
    for metric, used in keys.values():
        if metric == "kid":
            return KernelSums(
                *clouds,
                inputs.blocks,
                subsets=used["subsets"],
                subset_size=used["subset_size"],
                seed=inputs.seed,
            )
    return None


def _kernel_outcome(inputs: Inputs, kernel: KernelSums, used: Mapping[str, Any]) -> Outcome:
    result, estimate = kernel.result()

    def again(rows: Rows) -> float:
        return kernel_distance(inputs.pair[0], rows, seed=inputs.seed, **used).mean

    estimate = inputs.floored(estimate, again, low=-math.inf)
    details = {"subset_std": result.std, "u_statistic": result.u_statistic}
    return Outcome(estimate, details, used)
