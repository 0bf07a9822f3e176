"""Work of a stored generator, ordered in a file and done in a confined process of its own.

``python -m MODULE ORDER.json`` starts it. It is started, not forked: the caller may have trained
classifiers, and the threads of that would not survive a fork.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.errors import ContractError
from genbench.generator import Space
from genbench.running.events import EventListener
from genbench.running.generation import configure_torch
from genbench.running.ledger import Ledger
from genbench.running.monitoring import MonitoredProcess
from genbench.system import (
    Sandbox,
    card,
    error_text,
    python_module,
    read_json,
    sandbox,
    scratch_folder,
    wait_for_end,
    write_json,
)


@dataclass(frozen=True, slots=True)
class Access:
    """The reach of a process that works for the `results` directory, in which it may write nothing.

    It may not read the `hidden` files and folders, but may the `readable` ones all the same; in the
    `sandbox` it is held to that, where the system can.
    """

    results: Path
    hidden: Sequence[Path] = ()
    readable: Sequence[Path] = ()
    sandbox: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "results": str(self.results.resolve()),
            "hidden": [str(path.absolute()) for path in self.hidden],
            "readable": [str(path.absolute()) for path in self.readable],
            "sandbox": self.sandbox,
        }


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order as the process that carries it out has it.

    What it leaves in the folder `work` can be taken over when it has ended.
    """

    order: Mapping[str, Any]
    work: Path
    box: Sandbox | None

    def confine(self) -> None:
        """Enter the sandbox, before the generator is imported."""
        if self.box is not None:
            self.box.enter()


Work = Callable[[Ordered, EventListener], None]


def place_order(
    module: str, order: Mapping[str, Any], space: Space, access: Access, failure: str
) -> None:
    """Have `module` carry out an order, with ``n`` rows to draw and ``threads`` to do it with.

    `ContractError`, which begins with `failure`, if its process ends in any other way than well.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "order.json"
        write_json(path, {**order, "space": space.to_json(), "access": access.to_json()})
        command = python_module(module, str(path))
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {ended.returncode}"
        raise ContractError(f"{failure}: {reason}")


def carry_out(work: Work, take_over: Callable[[Ordered, Ledger], None]) -> None:
    """Carry out the order that the command line names, in an isolated process below this one.

    This process ends with a line that says why not, if that ends in any other way than well; else
    it takes over what there is.
    """
    path = Path(sys.argv[1])
    order, folder = read_json(path), path.with_name("work")
    folder.mkdir()
    access = order["access"]
    ledger = Ledger(Space.from_json(order["space"]), int(order["n"]))
    with scratch_folder() as scratch:
        box = sandbox(
            access["sandbox"], scratch, folder, results=Path(access["results"]),
            hidden=lambda: map(Path, access["hidden"]), readable=[*map(Path, access["readable"])],
        )  # fmt: skip
        ordered = Ordered(order, folder, box)
        running = MonitoredProcess(
            lambda events: _guarded(work, ordered, events), ledger, log=None, scratch=scratch
        )
        outcome = wait_for_end(running, lambda: False)
        if outcome.status != "returned" or ledger.result.status != "ok" or ledger.broken:
            how = outcome.signal_name or f"exit code {outcome.code}"
            told = (ledger.result.error or {}).get("message")
            sys.exit(str(ledger.broken or told or f"its process ended by {how}"))
        take_over(ordered, ledger)


def _guarded(work: Work, ordered: Ordered, events: EventListener) -> None:
    """Do the work and tell how it ended."""
    end = ("ok", "", "", "")
    try:
        configure_torch(ordered.order["threads"])
        work(ordered, events)
    except Exception as raised:
        error = card.named(raised)
        text = " ".join(error_text(error, confined=ordered.box is not None).split())
        end = ("failed", type(error).__name__, f"{type(error).__name__}: {text}", "")
    events.ended(*end)
