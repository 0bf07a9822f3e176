"""What training with augmentation is worth where there are few rows: with 1,000 of them.

    python -m benchmarks.augmentation results
    python -m benchmarks.augmentation results --suite digits --rows gan:augment=diff

Each row is trained with and without, at three seeds, and its samples are compared with the suite's
test rows. Runs are kept in the folder that is named: the same command goes on where it stopped. A
difference is the mean over the seeds, paired, with its 95 % t-interval.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from genbench import api
from genbench.results import Record
from genbench.tasks import shipped

ROWS = ("gan:augment=diff", "dcgan:augment=diff", "wgan-gp:augment=diff", "vae:augment=classical")
METRICS = ("fid", "precision", "recall", "authenticity", "nll")
# What is other than in a shipped suite, of which all but the tables asked for is left out; digits
# have 1,000 training rows as they are.
CHANGES = {"mnist": (("rows = [0, 50000]", "rows = [0, 1000]"),), "digits": ()}


def suite_file(name: str, examples: int, folder: Path) -> Path:
    """The suite, made of the shipped one; its data stay where they are."""
    source = shipped()[name]
    text = source.read_text()
    own = (f'name = "{name}"\nversion', f'name = "{name}-1k"\nversion')
    for before, after in (own, *CHANGES[name]):
        if text.count(before) != 1:
            raise SystemExit(f"{source} holds {before!r} {text.count(before)} times, expected once")
        text = text.replace(before, after)
    text = re.sub(r"^examples = \d+", f"examples = {examples}", text, count=1, flags=re.MULTILINE)
    kept = [table for table in text.split("\n\n") if _is_asked(table)]
    text = "\n\n".join(kept) + "\n"
    data = source.parent / "data" / name
    if data.is_dir():
        text = text.replace('licence = "', f'folder = "{data}"\nlicence = "', 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1k.toml"
    path.write_text(text)
    return path


def _is_asked(table: str) -> bool:
    """Whether a table of the shipped suite belongs to this one."""
    if table.lstrip().startswith("[[metrics]]"):
        return any(f'id = "{metric}"' in table for metric in METRICS)
    return not re.search(r"^\[+(profiles|codes)", table, re.MULTILINE)


def values(records: Sequence[Record], label: str, metric: str) -> np.ndarray:
    """A metric of a row by seed; NaN where it has none."""
    rows = sorted((r for r in records if r.label == label), key=lambda r: r.seed)
    found = (r.metrics.get(metric) for r in rows)
    return np.array([math.nan if m is None or m.value is None else m.value for m in found])


def mean(numbers: np.ndarray) -> str:
    """A mean over seeds with its 95 % t-interval."""
    n = len(numbers)
    half = stats.t.ppf(0.975, n - 1) * numbers.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    digits = 1 if abs(numbers.mean()) >= 10 else 3
    low, high = numbers.mean() - half, numbers.mean() + half
    return f"{numbers.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder that keeps suite and results")
    parser.add_argument("--suite", choices=sorted(CHANGES), default="mnist")
    parser.add_argument("--examples", type=int, default=100_000, help="served to each fit")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), help="rows, with what is asked")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    suite = suite_file(asked.suite, asked.examples, asked.work)
    print(f"{asked.suite}: 1,000 rows, {asked.examples:,} examples, seeds {asked.seeds}\n")
    print("| row | metric | without | with | difference |\n|---|---|---|---|---|")
    for row in asked.rows:
        plain = row.partition(":")[0]
        result = api.run(
            suite, (plain, row), seeds=asked.seeds, results=asked.work, jobs=1,
            parts=("metrics",), controls=False, report=False,
        )  # fmt: skip
        for metric in METRICS:
            without, with_ = (values(result.records, label, metric) for label in (plain, row))
            if np.isnan(without).all():
                continue
            cells = (mean(without), mean(with_), mean(with_ - without))
            print(f"| `{row}` | {metric} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
