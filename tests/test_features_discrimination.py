"""Features of colour pictures tell what they should: noise from Gaussians, a lost class from none.

Frechet distances over the floor, which is that of held-out rows, fresh ones of the same number.
The ratios grow with the number of rows, as the floor falls: from 9 and 14 in efficientnet-lite0
with the 2,000 rows here to 22 and 34 with 5,000 rows against 10,000.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from genbench.baselines import controls
from genbench.data.loading import load_split
from genbench.data.split import Split
from genbench.features.extractors import load_extractor
from genbench.metrics import frechet_distance
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from genbench.tasks.suite import Suite, load_suite

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GENBENCH_SHARED_DATA", ROOT.parent / "shared" / "data"))
CPU = torch.device("cpu")
LOST = 3  # the class that a control does without

Told = Mapping[str, Mapping[str, float]]
Images = NDArray[np.uint8]


def drawn(control: Any, suite: Suite, train: Split, n: int) -> Images:
    """Rows of a control that was fitted to the train split."""
    budget, space = Budget(1), suite.space
    generator = control(control.spec.params(), space, CPU)
    x, y = torch.from_numpy(train.x), torch.from_numpy(np.asarray(train.y))
    data = MemoryTrainData(x, y, space, CPU, budget)
    generator.fit(data, HarnessRun(0, CPU, budget))
    samples = generator.sample(n, seed=1)
    found: Images = getattr(samples, "x", samples).numpy()
    return found


def blurred(rows: Images) -> Images:
    """What a decoder that averages makes of pictures: nothing finer than an eighth of a side."""
    x = torch.from_numpy(rows).float()
    small = F.avg_pool2d(x, 8)
    found: Images = F.interpolate(small, x.shape[2:], mode="bilinear").byte().numpy()
    return found


def distances_of(suite: Suite, extractors: tuple[str, ...], n: int, most: int) -> Told:
    """By extractor and rows: the distance of `n` of them from the first `most` of the test split.

    ``whole`` and ``lost`` are fresh rows of all classes, and of all but one, as many of each.
    """
    parts = (load_split(suite.dataset, suite.space, s) for s in ("train", "valid", "test"))
    train, valid, test = parts
    sets = {
        "real": test.x[:most], "valid": valid.x[:n], "blurred": blurred(valid.x[:n]),
        "gaussian": drawn(controls.Gaussian, suite, train, n),
        "noise": drawn(controls.Noise, suite, train, n),
    }  # fmt: skip
    kept = np.asarray(valid.y)[:n] != LOST
    found = {}
    for name in extractors:
        extractor = load_extractor(name, suite.space)
        told = {key: extractor.extract(x).features for key, x in sets.items()}
        told |= {"lost": told["valid"][kept], "whole": told["valid"][: int(kept.sum())]}
        real = told.pop("real")
        found[name] = {key: frechet_distance(real, rows) for key, rows in told.items()}
    return found


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """CIFAR-10: 2,000 rows against 4,000."""
    if not (SHARED / "cifar10").is_dir():
        pytest.skip("needs CIFAR-10 in $GENBENCH_SHARED_DATA/cifar10")
    home = tmp_path_factory.mktemp("home")
    (home / "cifar10").mkdir()  # prepared copies are written beside the sources
    for file in (SHARED / "cifar10").iterdir():
        (home / "cifar10" / file.name).symlink_to(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_DATA", str(home))
        patch.setattr(controls, "MOST_FACTORS", 0)  # the same distribution, by fewer products
        return distances_of(
            load_suite("cifar10"), ("efficientnet-lite0", "cifar10-cnn"), 2000, 4000
        )


@pytest.fixture(scope="module")
def emoji() -> Told:
    """Emoji: 800 rows against all 811."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "MOST_FACTORS", 0)
        return distances_of(load_suite("emoji"), ("efficientnet-lite0", "emoji-cnn"), 800, 811)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("of", "extractor", "gaussian", "noise", "lost"), [
    ("photographs", "efficientnet-lite0", 7, 11, 1.02),
    ("photographs", "cifar10-cnn", 40, 100, 3),
    ("emoji", "efficientnet-lite0", 4, 4, 1.0),
    ("emoji", "emoji-cnn", 4, 4, 1.0),
])  # fmt: skip
def test_controls_are_farther_than_fresh_rows(
    request: pytest.FixtureRequest, of: str, extractor: str,
    gaussian: float, noise: float, lost: float,
) -> None:  # fmt: skip
    """Multiples of the floor, and of as many rows of all classes."""
    told = request.getfixturevalue(of)[extractor]
    assert told["gaussian"] > gaussian * told["valid"]
    assert told["noise"] > noise * told["valid"]
    assert told["lost"] > lost * told["whole"]
    assert told["blurred"] > 3 * told["valid"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_classifier_holds_blur_to_be_far_worse_than_the_main_extractor_does(
    photographs: Told,
) -> None:
    """In multiples of noise: why a classifier of the suite's own classes is never primary."""
    main, own = photographs["efficientnet-lite0"], photographs["cifar10-cnn"]
    assert main["blurred"] < 0.8 * main["noise"]
    assert own["blurred"] / own["noise"] > 1.2 * main["blurred"] / main["noise"]
