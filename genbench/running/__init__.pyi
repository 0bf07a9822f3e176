from . import executors
from .cells import Cell
from .cellspec import PARTS
from .events import EventListener
from .executors import Executor, find, started
from .executors.inprocess import InProcessExecutor
from .generation import configure_torch
from .ledger import Ledger
from .narration import Lines, describe, left
from .ordered import Access, Ordered, carry_out, place_order
from .planning import RunOptions, plan_cells
from .runner import Listener, RunResult, run_suite, setting_of
from .timeleft import Progress

__all__ = [
    "Access",
    "Cell",
    "EventListener",
    "Executor",
    "InProcessExecutor",
    "Ledger",
    "Lines",
    "Listener",
    "Ordered",
    "PARTS",
    "Progress",
    "RunOptions",
    "RunResult",
    "carry_out",
    "configure_torch",
    "describe",
    "executors",
    "find",
    "left",
    "place_order",
    "plan_cells",
    "run_suite",
    "setting_of",
    "started",
]
