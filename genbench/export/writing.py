"""The process that loads a stored generator and puts its sampler into a file.

``python -m genbench.export.writing ORDER.json``: it runs the generator's code, so it is confined,
and whatever it wrote is taken over from its work folder.
"""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbench.adapters import ExportHeader
from genbench.errors import ContractError
from genbench.export import formats
from genbench.export.formats import Trial
from genbench.generator import Space
from genbench.plugins import Coded, GeneratorChoice, GeneratorDriver, make_generator
from genbench.running import EventListener, Ledger, Ordered, carry_out
from genbench.system import inside, tensorfile, write_bytes, write_json

TRIAL = "trial.json"
PARTS = ("sampler", "decode")  # that may be exported, by preference


@dataclass(frozen=True, slots=True)
class Sampler:
    """The part of a generator that maps noise to rows."""

    part: str
    net: nn.Module
    noise_size: int


def sampler_of(generator: Any, space: Space) -> Sampler:
    """The generator's ``sampler``, or else its ``decode``.

    `ContractError` if it has neither, or what it has is not what the contract says.
    """
    coded = Coded(generator, space)
    part = next((part for part in PARTS if part in coded.offered), None)
    if part is None:
        raise ContractError(f"generator {generator.spec.name!r} has no {' and no '.join(PARTS)}")
    size = coded.noise_size if part == "sampler" else coded.latent_size
    return Sampler(part, getattr(generator, part).eval(), size)


def offers(generator: Any, part: str) -> bool:
    """Whether a generator has an optional part; a property is not asked, for it may need a fit."""
    return inspect.getattr_static(generator, part, None) is not None


def part_offered(args: Mapping[str, Any]) -> str | None:
    """The part of a chosen generator that could be exported, or None. Executes its code."""
    choice, space = GeneratorChoice.from_json(args["generator"]), Space.from_json(args["space"])
    made = make_generator(choice.ref, choice.params, space, torch.device("cpu"))
    return next((part for part in PARTS if offers(made, part)), None)


def write(ordered: Ordered, events: EventListener) -> None:
    """Write the file, and how it was tried, into the work folder."""
    order = ordered.order
    state = tensorfile.load(Path(order["state"]))
    ordered.confine()
    events.phase("export")
    choice = GeneratorChoice.from_json(order["generator"])
    header = ExportHeader.from_text(order["header"])
    driver = GeneratorDriver(choice, Space.from_json(order["space"]), torch.device("cpu"))
    driver.generator.load_state_dict(state)
    file = ordered.work / Path(order["to"]).name
    if header.format == "safetensors":
        data = formats.to_safetensors(driver.generator.state_dict(), header.to_text())
        write_bytes(file, data)
        trial = Trial(0, 0, 0.0)
    else:
        trial = write_sampler(sampler_of(driver.generator, header.space), header, file)
    write_json(ordered.work / TRIAL, dataclasses.asdict(trial))


def write_sampler(sampler: Sampler, header: ExportHeader, file: Path) -> Trial:
    """Put a sampler into a file and try that.

    `ContractError` if its rows are not of the space, or the file's are others.
    """
    space, name = header.space, header.generator
    net = sampler.net if header.labels else formats.Noisy(sampler.net).eval()
    header = dataclasses.replace(header, module=sampler.part, noise_size=sampler.noise_size)

    def given(n: int) -> tuple[Tensor, ...]:
        return formats.inputs(n, sampler.noise_size, space, header.labels)

    _require_rows(net, given(formats.TRACED_ROWS), space, f"generator {name!r}: {sampler.part}")
    traced = given(formats.TRACED_ROWS)
    data = formats.written(header.format, net, traced, header.to_text(), name)
    write_bytes(file, data)
    forward = formats.opened(header.format, file)
    return formats.tried(forward, net, [given(n) for n in formats.TRIED_ROWS], header.format, name)


@torch.no_grad()
def _require_rows(net: nn.Module, given: tuple[Tensor, ...], space: Space, what: str) -> None:
    """`ContractError` unless it returns rows of the space, and the same ones again."""
    rows = net(*given)
    problem = space.violation(rows, len(given[0]))
    if problem is not None:
        raise ContractError(f"the tensor that {what} returned {problem}")
    if not torch.equal(net(*given), rows):
        raise ContractError(f"{what} returned other rows for the same noise: it draws some itself")


def _take_over(ordered: Ordered, ledger: Ledger) -> None:
    to = Path(ordered.order["to"])
    for name in (to.name, TRIAL):
        path = inside(ordered.work, name)
        if path is None:
            sys.exit(f"the generator's process left no {name}")
        shutil.copyfile(path, to.with_name(name))


if __name__ == "__main__":
    carry_out(write, _take_over)
