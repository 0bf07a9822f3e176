"""The downstream classifier's training loop against a bare PyTorch loop of the same model.

    python -m benchmarks.bench_downstream

Both train the suite's fixed net on the same rows in the same order for the same steps; in turn, so
that a drifting machine slows both. Prints the ratio of each pair and their median; then the
ceilings: the accuracy of that net after one training on all real rows.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional as F

from genbench.data.loading import load_split
from genbench.downstream.classifier import predict
from genbench.downstream.judges import train_classifier
from genbench.downstream.networks import PEAK_RATE
from genbench.downstream.two_conv import TwoConvNet
from genbench.errors import DataError
from genbench.generator import Space
from genbench.tasks.suite import load_suite

PAIRS, STEPS, BATCH, ROWS = 7, 500, 64, 1_000
CEILINGS = {"mnist": 3_000, "fashion-mnist": 6_000}  # optimiser steps of 128 rows
SPACE = Space("image", (1, 28, 28), 256, 10)


def ours(x: torch.Tensor, y: torch.Tensor) -> None:
    """As every arm of the augmentation curve is trained."""
    train_classifier(x, y, SPACE, steps=STEPS, batch_size=BATCH, seed=0)


def bare(x: torch.Tensor, y: torch.Tensor) -> None:
    """What one would write by hand, feeding from memory."""
    net = TwoConvNet(SPACE).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, PEAK_RATE, total_steps=STEPS)
    order = torch.cat([torch.randperm(ROWS) for _ in range(-(-STEPS * BATCH // ROWS))])
    for step in range(STEPS):
        rows = order[step * BATCH : (step + 1) * BATCH]
        loss = F.cross_entropy(net(x[rows]), y[rows])
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()


def ceilings() -> None:
    """Accuracy on the test split after training on the whole train split."""
    for name, steps in CEILINGS.items():
        suite = load_suite(name)
        try:
            train, test = (load_split(suite.dataset, suite.space, s) for s in ("train", "test"))
        except DataError as error:
            print(f"{name}: left out, {error}")
            continue
        assert train.y is not None
        net = train_classifier(train.x, train.y, suite.space, steps=steps, batch_size=128, seed=0)
        accuracy = float((predict(net, test.x).argmax(1) == test.y).mean())
        print(
            f"{f'{name}, all real rows, {steps:,} steps: accuracy':<48} {accuracy:8.4f}", flush=True
        )


def main() -> None:
    """Measure and print."""
    x = torch.randint(0, 256, (ROWS, 1, 28, 28), dtype=torch.uint8)
    y = torch.randint(0, 10, (ROWS,))
    bare(x, y)  # the first steps of a process are slower
    ratios = []
    for pair in range(PAIRS):
        seconds = {}
        for loop in (ours, bare) if pair % 2 else (bare, ours):
            start = time.perf_counter()
            loop(x, y)
            seconds[loop.__name__] = time.perf_counter() - start
        ratios.append(seconds["ours"] / seconds["bare"])
        print(f"{STEPS} steps: {seconds['ours']:.2f} s, bare {seconds['bare']:.2f} s", flush=True)
    ceilings()
    print(f"{'classifier loop, ours / bare (median)':<48} {statistics.median(ratios):8.3f}")


if __name__ == "__main__":
    main()
