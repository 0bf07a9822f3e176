"""Ask for an examination and hand on the results as they come."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from genbench.errors import GenbenchError, UsageError, did_you_mean
from genbench.plugins import PROBED, GeneratorRef, Prober
from genbench.results import is_control
from genbench.system import ForkServerClient, write_json
from genbench.testing.order import CHECK_SECONDS, ORDER, RESULTS, Order
from genbench.testing.results import CheckResult
from genbench.testing.rules import RULES

# What the fork server of a prober imports that examines much.
EXAMINED = (*PROBED, "genbench.testing.examiner")


def examine(
    ref: GeneratorRef,
    prober: Prober,
    *,
    only: Sequence[str] = (),
    shape: tuple[int, ...] | None = None,
    seconds: float = CHECK_SECONDS,
    path: Sequence[str] = (),
) -> Iterator[CheckResult]:
    """Check one generator in processes of its own, as an `Order` of these arguments says.

    `shape` is used for the kind of space it fits, ``(C, H, W)`` for images. `UsageError` for an
    unknown check, or a control: they are exempt from the contract.
    """
    for check in only:
        if check not in RULES:
            raise UsageError(f"there is no check {check!r}: {did_you_mean(check, RULES)}")
    if is_control(ref.name, ref.provider):
        raise UsageError(f"{ref.name!r} is a control and exempt: check a generator")
    with tempfile.TemporaryDirectory(prefix="genbench-check-") as folder:
        scratch = Path(folder)
        order = Order(ref, scratch, tuple(only), shape, seconds, tuple(path), prober.sandbox)
        write_json(scratch / ORDER, order.to_json())
        results = scratch / RESULTS
        results.touch()
        with results.open() as file:
            for _ in _examined(prober.forks, scratch / ORDER):
                yield from _read(file)
            yield from _read(file)


def _examined(forks: ForkServerClient, order: Path) -> Iterator[None]:
    """Have it checked as the file `order` says; comes back often until that is done."""
    id_ = forks.fork("genbench.testing.examiner:forked", {"order": str(order)})
    while not (answers := forks.ended(0.2, id_.__eq__)):
        yield
    if answers[0].get("code") != 0:
        raise GenbenchError("the checks broke off: see the lines above")


def import_path() -> tuple[str, ...]:
    """This process's ``sys.path``, for a class that was imported here."""
    return tuple(entry or str(Path.cwd()) for entry in sys.path)


def _read(file: Iterator[str]) -> Iterator[CheckResult]:
    for line in file:
        yield CheckResult.from_json(json.loads(line))
