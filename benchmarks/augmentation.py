"""What training with augmentation is worth where there are few rows: MNIST with 1,000 of them.

    python -m benchmarks.augmentation results
    python -m benchmarks.augmentation results --rows gan:augment=diff vae:augment=classical

Each row is trained with and without, at three seeds and 100,000 examples, and its samples are
compared with MNIST's test rows. Runs are kept in the folder that is named: the same command goes on
where it stopped. A difference is the mean over the seeds, paired, with its 95 % t-interval.
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
EXAMPLES, TRAIN = 100_000, 1_000
# What is other than in the shipped suite, whose profiles are left out.
CHANGES = (
    ('name = "mnist"\nversion', 'name = "mnist-1k"\nversion'),
    ('title = "MNIST"', 'title = "MNIST, 1,000 rows"'),
    ("rows = [0, 50000]", f"rows = [0, {TRAIN}]"),
    ("examples = 300000", f"examples = {EXAMPLES}"),
)


def suite_file(folder: Path) -> Path:
    """The suite, made of the shipped one; its data stay where they are."""
    source = shipped()["mnist"]
    text = source.read_text()
    for before, after in CHANGES:
        if text.count(before) != 1:
            raise SystemExit(f"{source} holds {before!r} {text.count(before)} times, expected once")
        text = text.replace(before, after)
    text = re.split(r"^\[profiles", text, maxsplit=1, flags=re.MULTILINE)[0]
    data = source.parent / "data" / "mnist"
    text = text.replace('licence = "', f'folder = "{data}"\nlicence = "', 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mnist-1k.toml"
    path.write_text(text)
    return path


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
    parser.add_argument("--rows", nargs="+", default=list(ROWS), help="rows, with what is asked")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    suite = suite_file(asked.work)
    print(f"{TRAIN:,} rows, {EXAMPLES:,} examples, seeds {asked.seeds}\n")
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
