"""``python -m benchmarks``: every speed table in turn, for an otherwise idle machine.

What is printed also goes to ``benchmarks/RESULTS.md``, with the machine; the growth of the cost is
drawn to ``docs/cost.png``.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
TABLES = (
    ("harness",),
    ("store",),
    ("queue",),
    ("cluster",),
    ("report",),
    ("report", "--generators", "100", "--seeds", "100"),
    ("downstream",),
    ("metrics", "--d", "128"),
    ("metrics", "--d", "2048"),
    ("metrics", "--n", "50000", "--d", "2048", "--only-ours"),
    ("emd",),
    ("cost", "--draw", "docs/cost.png"),
)


def machine() -> str:
    """What the figures were measured on."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    chip = names[0] if names else platform.processor()
    return (
        f"{chip}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, "
        f"torch {torch.__version__}; {datetime.date.today()}"
    )


def main() -> None:
    """Run all, show and keep what they print."""
    with (HERE / "RESULTS.md").open("w", encoding="utf-8") as kept:

        def say(text: str) -> None:
            print(text, end="", flush=True)
            kept.write(text)
            kept.flush()

        say(f"# Speed\n\nMade by `make bench` on {machine()}\n")
        for name, *args in TABLES:
            say(f"\n## {' '.join([name, *args])}\n\n```\n")
            words = [sys.executable, "-m", f"benchmarks.bench_{name}", *args]
            with subprocess.Popen(words, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as run:
                assert run.stdout is not None
                for line in run.stdout:
                    say(line)
            say("```\n")
            if run.returncode:
                raise SystemExit(f"{' '.join(words)} ended with {run.returncode}")


if __name__ == "__main__":
    main()
