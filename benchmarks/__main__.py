"""``python -m benchmarks``: every speed table in turn, for an otherwise idle machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLES = (
    ("bench_harness.py",),
    ("bench_report.py",),
    ("bench_metrics.py", "--d", "128"),
    ("bench_metrics.py", "--d", "2048"),
)

for file, *args in TABLES:
    print(f"\n## {file} {' '.join(args)}", flush=True)
    subprocess.run([sys.executable, str(HERE / file), *args], check=True)
