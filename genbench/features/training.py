"""Training of the extractors' classifiers, on a suite's train split and nothing else.

``python -m genbench.features.training mnist-cnn`` trains one anew and writes its weights and its
entry in ``extractors.json`` into a folder. On one thread the same machine gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.torch import save as serialise
from torch import Tensor

from genbench.data import Split, load_split
from genbench.features.classifier import NETWORKS, ClassifierExtractor, Net
from genbench.features.extractors import ExtractorInfo
from genbench.features.learning import descend
from genbench.features.logmel import LogMelRecipe, train_logmel
from genbench.features.network import FEATURES, ClassifierNet
from genbench.features.shifting import shifted
from genbench.features.whitened import WhitenedRecipe, halved, train_whitened
from genbench.features.wordcnn import WordRecipe, train_words
from genbench.generator import Space


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of one extractor's training; chosen on the validation split.

    Parameters
    ----------
    epochs, batch_size
        Passes over the train split; rows per step.
    rate
        Peak of the one-cycle learning rate of AdamW.
    shift
        Largest random translation in pixels, per image.
    smoothing
        Label smoothing of the cross entropy.
    seed
        Seeds the initial weights, the order, the shifts and the dropout.
    channels
        See `ClassifierNet`.
    """

    epochs: int = 10
    batch_size: int = 128
    rate: float = 4e-3
    weight_decay: float = 1e-2
    shift: int = 1
    smoothing: float = 0.0
    seed: int = 0
    channels: tuple[int, ...] = (32, 64)


def train_classifier_net(
    x: Tensor,
    y: Tensor,
    space: Space,
    recipe: Hyperparameters,
    *,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> ClassifierNet:
    """Train a `ClassifierNet` on images and their labels; returned in eval mode.

    `x` is uint8 ``(n, C, H, W)`` in ``0 .. levels - 1``, `y` int64 ``(n,)``. The global
    random state is left as it was found. `report` is called with the number of epochs done and the
    mean loss of the last.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = ClassifierNet(space.shape, space.classes, recipe.channels)
        net.to(memory_format=torch.channels_last)

        def logits_of(rows: Tensor) -> Tensor:
            images = shifted(x[rows].float() / (space.levels - 1), recipe.shift)
            found: Tensor = net(images)
            return found

        descend(net, logits_of, y, recipe, report)
    return net.eval()


Recipe: TypeAlias = Hyperparameters | WhitenedRecipe | LogMelRecipe | WordRecipe


@dataclass(frozen=True)
class ExtractorPlan:
    """An extractor to train: the suite whose train split it sees, its version, recipe, terms."""

    suite: str
    version: str
    recipe: Recipe
    trained_on: str
    licence: str


PLANS = {
    "mnist-cnn": ExtractorPlan(
        suite="mnist",
        version="1",
        recipe=Hyperparameters(epochs=8),
        trained_on="MNIST, rows 0 to 49,999 of the official training file",
        licence="Apache-2.0; trained on MNIST (CC BY-SA 3.0, LeCun, Cortes, Burges)",
    ),
    "fashion-cnn": ExtractorPlan(
        suite="fashion-mnist",
        version="1",
        recipe=Hyperparameters(epochs=12),
        trained_on="Fashion-MNIST, rows 0 to 49,999 of the official training file",
        licence="Apache-2.0; trained on Fashion-MNIST (MIT, Zalando SE)",
    ),
    "cifar10-cnn": ExtractorPlan(
        suite="cifar10",
        version="1",
        recipe=WhitenedRecipe(epochs=12),
        trained_on="CIFAR-10, the first 4,000 rows of each class of the training part",
        licence="Apache-2.0; trained on CIFAR-10 (Krizhevsky 2009, no licence stated)",
    ),
    "tones-cnn": ExtractorPlan(
        suite="tones",
        version="1",
        recipe=LogMelRecipe(8000, epochs=16),
        trained_on="the 2,400 tones of the train split",
        licence="Apache-2.0; trained on tones made from a formula",
    ),
    "fsdd-cnn": ExtractorPlan(
        suite="fsdd",
        version="1",
        recipe=LogMelRecipe(8000, epochs=30),
        trained_on="Free Spoken Digit Dataset, recordings 10 to 49 of each speaker and digit",
        licence="Apache-2.0; trained on the Free Spoken Digit Dataset (CC BY-SA 4.0, Jackson)",
    ),
    "fsdd-speakers-cnn": ExtractorPlan(
        suite="fsdd-speakers",
        version="1",
        recipe=LogMelRecipe(8000, epochs=30),
        trained_on="Free Spoken Digit Dataset, all recordings of george, jackson, lucas, nicolas",
        licence="Apache-2.0; trained on the Free Spoken Digit Dataset (CC BY-SA 4.0, Jackson)",
    ),
    "emoji-cnn": ExtractorPlan(
        suite="emoji",
        version="1",
        recipe=WhitenedRecipe(epochs=40, batch_size=256, channels=(32, 96, 96)),
        trained_on="Noto and Fluent emoji, the 1,607 pictures of the emoji suite's train split",
        licence="Apache-2.0; trained on Noto (Apache-2.0) and Fluent (MIT) emoji",
    ),
    "names-cnn": ExtractorPlan(
        suite="names",
        version="1",
        recipe=WordRecipe(channels=(55, 32, 96), epochs=16, dropout=0.25, unknown=0.02),
        trained_on="names, the 7,030 rows of the train split",
        licence="Apache-2.0; trained on lists of first names (PDDL 1.0 and CC0 1.0)",
    ),
    "snips-cnn": ExtractorPlan(
        suite="snips",
        version="1",
        recipe=WordRecipe(channels=(1500, 48, 64), epochs=6),
        trained_on="SNIPS utterances, the 12,330 rows of the train split",
        licence="Apache-2.0; trained on SNIPS utterances (CC0 1.0, Coucke et al. 2018)",
    ),
    "digits-cnn": ExtractorPlan(
        suite="digits",
        version="1",
        recipe=Hyperparameters(epochs=60, batch_size=50, rate=3e-3),
        trained_on="scikit-learn digits, the 1,000 rows of the digits suite's train split",
        licence="Apache-2.0; trained on UCI optical digits (CC BY 4.0, Alpaydin and Kaynak)",
    ),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained extractor: what the table says of it, the network, and the bytes of its file."""

    info: ExtractorInfo
    extractor: ClassifierExtractor
    data: bytes


def train_on(
    name: str,
    train: Split,
    space: Space,
    plan: ExtractorPlan,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Trained:
    """Train an extractor by the plan, on images uint8 ``(n, C, H, W)``, waveforms float32
    ``(n, T)`` or token ids int64 ``(n, length)``; its accuracy is unknown."""
    x, y = torch.from_numpy(train.x), torch.from_numpy(np.asarray(train.y))
    net: Net
    if isinstance(plan.recipe, WhitenedRecipe):
        net = train_whitened(x, y, space.levels - 1, space.classes, plan.recipe, report=report)
        state, dims = halved(net), plan.recipe.channels[-1]
    elif isinstance(plan.recipe, LogMelRecipe):
        net = train_logmel(x, y, space.classes, plan.recipe, report=report)
        state, dims = halved(net), FEATURES
    elif isinstance(plan.recipe, WordRecipe):
        net = train_words(x, y, space.classes, plan.recipe, report=report)
        state, dims = halved(net), FEATURES
    else:
        net = train_classifier_net(x, y, space, plan.recipe, report=report)
        state, dims = net.state_dict(), FEATURES
    data = serialise({key: value.contiguous() for key, value in state.items()})
    info = ExtractorInfo(
        name=name,
        version=plan.version,
        kind=space.kind,
        shape=space.shape,
        levels=space.levels,
        classes=space.classes,
        dims=dims,
        file=f"{name}-{plan.version}.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        trained_on=plan.trained_on,
        licence=plan.licence,
        channels=plan.recipe.channels,
        network=next(name for name, kind in NETWORKS.items() if type(net) is kind),
    )
    return Trained(info, ClassifierExtractor(info, net), data)


def train_extractor(name: str, folder: Path) -> ExtractorInfo:
    """Train the extractor `name`; write its weights and its table entry into `folder`."""
    plan = PLANS[name]
    dataset, space = _suite_data(plan.suite)
    found = train_on(
        name,
        load_split(dataset, space, "train"),
        space,
        plan,
        lambda epoch, loss: print(f"{name}: epoch {epoch}, loss {loss:.4f}", flush=True),
    )
    valid = accuracy(found.extractor, load_split(dataset, space, "valid"))
    print(f"{name}: validation {valid:.4f}")
    share = accuracy(found.extractor, load_split(dataset, space, "test"))
    info = replace(found.info, accuracy=round(share, 4))
    (folder / info.file).write_bytes(found.data)
    _write_entry(folder / "extractors.json", info)
    return info


def accuracy(extractor: ClassifierExtractor, rows: Split) -> float:
    """Share of the rows that the extractor's classifier gets right."""
    probabilities = extractor.extract(rows.x).probabilities
    return float((np.asarray(probabilities).argmax(1) == rows.y).mean())


def _suite_data(suite: str) -> tuple[Mapping[str, Any], Space]:
    root = resources.files("genbench.suites")
    table = tomllib.loads((root / f"{suite}.toml").read_text("utf-8"))["dataset"]
    space = {**table["space"], "shape": tuple(table["space"]["shape"])}
    return {**table, "root": str(root)}, Space(**space)


def _write_entry(path: Path, info: ExtractorInfo) -> None:
    table = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    table[info.name] = {key: value for key, value in asdict(info).items() if key != "name"}
    path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", "utf-8")


def main() -> None:
    """Train the extractors named on the command line."""
    parser = argparse.ArgumentParser(description="Train extractors anew on their train splits.")
    parser.add_argument("names", nargs="+", choices=sorted(PLANS))
    weights = Path(str(resources.files("genbench.suites"))) / "weights"
    parser.add_argument("--into", type=Path, default=weights, help="folder to write into")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order would give other bytes
    for name in arguments.names:
        info = train_extractor(name, arguments.into)
        print(f"{name}: {info.accuracy} on test; {arguments.into / info.file}, {info.sha256}")


if __name__ == "__main__":
    main()
