from . import executors
from .cells import Cell
from .cellspec import PARTS
from .events import EventListener
from .executors import QueueExecutor, find, is_queue, started
from .executors.inprocess import InProcessExecutor
from .executors.site import choose_executor
from .generation import configure_torch
from .ledger import Ledger
from .narration import Lines, describe, left
from .ordered import Access, Ordered, carry_out, place_order
from .planning import RunOptions, plan_cells
from .queue.showing import queue_overview
from .queue.stopping import stop_queue
from .queue.waiting import run_queued
from .queue.work import Share, work
from .runner import Listener, RunResult, run_suite, setting_of
from .timeleft import Progress

__all__ = [
    "Access",
    "Cell",
    "EventListener",
    "InProcessExecutor",
    "Ledger",
    "Lines",
    "Listener",
    "Ordered",
    "PARTS",
    "Progress",
    "QueueExecutor",
    "RunOptions",
    "RunResult",
    "Share",
    "carry_out",
    "choose_executor",
    "configure_torch",
    "describe",
    "executors",
    "find",
    "is_queue",
    "left",
    "place_order",
    "plan_cells",
    "queue_overview",
    "run_queued",
    "run_suite",
    "setting_of",
    "started",
    "stop_queue",
    "work",
]
