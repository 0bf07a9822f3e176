from . import executors
from .cells import Cell
from .cellspec import PARTS
from .events import EventListener
from .executors import Executor, find, started
from .executors.inprocess import InProcessExecutor
from .generation import configure_torch
from .ledger import Ledger
from .monitoring import MonitoredProcess
from .narration import Lines, describe, left
from .runner import Listener, RunOptions, RunResult, plan_cells, run_suite, setting_of
from .timeleft import Progress

__all__ = [
    "Cell",
    "EventListener",
    "Executor",
    "InProcessExecutor",
    "Ledger",
    "Lines",
    "Listener",
    "MonitoredProcess",
    "PARTS",
    "Progress",
    "RunOptions",
    "RunResult",
    "configure_torch",
    "describe",
    "executors",
    "find",
    "left",
    "plan_cells",
    "run_suite",
    "setting_of",
    "started",
]
