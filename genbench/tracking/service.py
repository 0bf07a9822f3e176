"""The process of a tracker: orders as lines of JSON on stdin, an answer to each on stdout.

``python -m genbench.tracking.service TRACKER PLACE``. The first answer comes unasked: the tracker
is made, or why not. It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genbench.errors import one_line, shorten
from genbench.tracking.account import Account, TrackedRun
from genbench.tracking.contract import Tracker, find

MOST_REASON = 600  # characters

Answer = dict[str, Any]


def main(name: str, place: str) -> None:
    """Serve until stdin ends. What a library prints goes to stderr: stdout is for answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(answer: Answer) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        tracker: Tracker = find(name)(place)
    except (Exception, SystemExit) as error:  # a library that exits is one that fails
        tell(_refusal(error))
        return
    tell({"outcome": "ready"})
    for line in sys.stdin:
        try:
            tell({"outcome": _carried_out(tracker, json.loads(line))})
        except (Exception, SystemExit) as error:
            tell(_refusal(error))


def _carried_out(tracker: Tracker, order: Mapping[str, Any]) -> str:
    match order["do"]:
        case "progress":
            run = TrackedRun(**order["run"])
            tracker.progress(run, int(order["examples"]), order["scalars"])
            return "told"
        case "record":
            return tracker.record(Account.from_json(order["account"]))
        case "report":
            return tracker.report(order["group"], Path(order["page"]))
        case "close":
            tracker.close()
            return "closed"
        case unknown:
            raise ValueError(f"no order is called {unknown!r}")


def _refusal(error: BaseException) -> Answer:
    kind = type(error).__name__
    reason = shorten(str(error), MOST_REASON)
    ours = type(error).__module__ == "genbench.errors"
    return {"kind": kind, "refused": one_line(reason if ours else f"{kind}: {reason}")}


if __name__ == "__main__":
    main(*sys.argv[1:3])
