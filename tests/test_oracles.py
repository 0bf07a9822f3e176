"""Every metric of the table against the naive form that its entry names, in every dtype."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genbench.metrics.codes import reconstruction_error
from genbench.metrics.entry import MetricInfo
from genbench.metrics.evaluation import evaluate
from genbench.metrics.likelihood import nll_bits_per_dim, nll_nats, perplexity
from genbench.metrics.table import METRICS
from genbench.metrics.values import MetricValue
from genbench.testing.selftest import Laboratory
from tests.pretend_card import PLACES

ORACLES = Path(__file__).parent / "oracles"
SEED, DIMS = 7, 6
# Products of float32 rows are made in float32.
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-8}
# Parameters beside the defaults, where those hide something at so few rows.
OTHER: Mapping[str, tuple[dict[str, Any], ...]] = {
    "kid": ({"subsets": 6, "subset_size": 50},),
    "mmd": (
        {"kernel": "polynomial", "subsets": 6, "subset_size": 50},
        {"bandwidth": 10, "biased": True, "unit_length": True, "scale": 1000},
        {"scale": 100},
        {"kernel": "polynomial", "biased": True},
        {"kernel": "laplacian", "bandwidth": 3.0},
        {"kernel": "imq", "biased": True, "subsets": 4, "subset_size": 40},
    ),
    "emd": ({"block": 30}, {"block": 40, "p": 2}),
    "sliced_wasserstein": ({"projections": 40, "p": 1},),
    "classifier_score": ({"splits": 1},),
    "precision": ({"k": 1},),
    "recall": ({"k": 7},),
    "density": ({"k": 2},),
    "coverage": ({"k": 1},),
    "near_copies": ({"within": 0.3},),
}


@dataclass(frozen=True)
class World:
    """Three clear groups of real and training rows, and generated rows that miss them a little."""

    real: NDArray[Any]
    fake: NDArray[Any]
    train: NDArray[Any]
    real_labels: NDArray[Any]
    fake_labels: NDArray[Any]
    probabilities: NDArray[Any]
    log_prob: NDArray[Any]
    events: NDArray[Any]
    real_texts: list[str]
    fake_texts: list[str]
    train_texts: list[str]
    real_sounds: NDArray[Any]
    fake_sounds: NDArray[Any]
    dims: int | None = DIMS
    seed: int = SEED

    @classmethod
    def drawn(cls, dtype: Any, seed: int) -> World:
        rng = np.random.default_rng(seed)
        centres = np.eye(3, DIMS) * 30

        def rows(n: int, wide: float) -> tuple[NDArray[Any], NDArray[Any]]:
            labels = np.arange(n) % 3
            return (centres[labels] + wide * rng.normal(size=(n, DIMS))).astype(dtype), labels

        real, real_labels = rows(110, 1.0)
        fake, fake_labels = rows(95, 1.3)
        train, _ = rows(140, 1.0)
        fake[:4] = train[:4]
        p = rng.dirichlet(np.ones(5) * 0.4, size=95).astype(dtype)
        log_prob = -rng.gamma(3.0, 20.0, 80).astype(dtype)
        events = rng.integers(10, 40, 80)
        texts = texts_drawn(rng)
        sounds = tones(rng, real_labels), broken(tones(rng, np.minimum(fake_labels, 1)))
        return cls(
            real, fake, train, real_labels, fake_labels, p, log_prob, events, *texts,
            *(x.astype(dtype) for x in sounds),
        )  # fmt: skip

    def in_float64(self) -> World:
        wide = {n: v.astype(np.float64) for n, v in vars(self).items()
                if isinstance(v, np.ndarray) and v.dtype.kind == "f"}  # fmt: skip
        return replace(self, **wide)


def texts_drawn(rng: np.random.Generator) -> list[list[str]]:
    """Real, generated and training texts of 2 to 9 letters: some of the generated ones stand twice,
    some in the training texts, and one nearly so.
    """
    real, fake, train = (
        ["".join(rng.choice(list("abcde"), rng.integers(2, 10))) for _ in range(n)]
        for n in (110, 85, 139)
    )
    long = "".join(rng.choice(list("abcde"), 14))
    return [real, [*fake, *fake[:5], *train[:4], f"{long}f"], [*train, long]]


def tones(rng: np.random.Generator, notes: NDArray[Any]) -> NDArray[Any]:
    """Half a second of each of the notes, counted from C, with overtones and a little noise."""
    t = np.arange(4000) / 8000
    f0 = 440 * 2 ** ((notes - 21 + 12 * rng.integers(0, 2, len(notes))) / 12)
    tone = sum(np.sin(2 * np.pi * h * f0[:, None] * t + h) / h for h in range(1, 5))
    level = rng.uniform(0.05, 0.3, (len(notes), 1))
    return level * (tone + 0.01 * rng.normal(size=(len(notes), len(t))))


def broken(x: NDArray[Any]) -> NDArray[Any]:
    """The tones, a few of them clipped and a few all but silent."""
    x[:7] = np.clip(20 * x[:7], -1, 1)
    x[7:12] *= 1e-5
    return x


def load(reference: str) -> Callable[..., Any]:
    """The function that a text like ``module:function`` names."""
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def by_oracle(info: MetricInfo, world: World, parameters: Mapping[str, Any]) -> float:
    """The naive form's number, from those parts of the world that it asks for."""
    oracle, wide = load(info.oracle), world.in_float64()
    asked = inspect.signature(oracle).parameters
    given = {name: value for name, value in vars(wide).items() if name in asked}
    return float(oracle(**given, **parameters))


def measured(info: MetricInfo, world: World, parameters: Mapping[str, Any]) -> MetricValue:
    """The product's value of a metric made of features."""
    real, fake = (world.real, world.fake)
    if info.on_sound:
        real, fake = world.real_sounds, world.fake_sounds
    found = evaluate(
        real, fake, [info.id],
        parameters={info.id: parameters}, seed=world.seed, train=world.train,
        real_labels=world.real_labels, fake_labels=world.fake_labels,
        fake_probabilities=world.probabilities, real_texts=world.real_texts,
        fake_texts=world.fake_texts, train_texts=world.train_texts,
    )[info.id]  # fmt: skip
    assert found.value is not None, found.reason
    return found


def by_genbench(info: MetricInfo, world: World, parameters: Mapping[str, Any]) -> float:
    """The product's number."""
    if info.id == "perplexity":
        return perplexity(world.log_prob, world.events).value
    if info.source in ("likelihood", "truth"):
        if world.dims is None:
            return nll_nats(world.log_prob).value
        return nll_bits_per_dim(world.log_prob, world.dims).value
    if info.id == "reconstruction_mse":
        n = min(len(world.real), len(world.fake))
        return reconstruction_error(world.real[:n], world.fake[:n]).value
    if info.id == "reconstruction_fid":
        info = METRICS["fid"]
    value = measured(info, world, parameters).value
    assert value is not None
    return value


WITH_ORACLE = [info for info in METRICS.values() if info.oracle and not info.no_oracle]
MADE_OF_FEATURES = [
    info
    for info in METRICS.values()
    if info.source == "features" and not (info.on_pixels or info.on_texts or info.on_sound)
]
WITH_PROPERTIES = [info for info in METRICS.values() if info.oracle and info.no_oracle]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("info", WITH_ORACLE, ids=lambda info: info.id)
@pytest.mark.parametrize("seed", range(3))
def test_a_metric_is_what_its_naive_form_says(info: MetricInfo, dtype: Any, seed: int) -> None:
    world = World.drawn(dtype, seed)
    for parameters in ({}, *OTHER.get(info.id.removeprefix("pixel_"), ())):
        expected = by_oracle(info, world, parameters)
        found = by_genbench(info, world, parameters)
        assert found == pytest.approx(expected, rel=TOLERANCE[dtype]), parameters
        assert info.bounds[0] <= found <= info.bounds[1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("info", MADE_OF_FEATURES, ids=lambda info: info.id)
def test_on_a_card_it_is_what_it_is_on_the_host(info: MetricInfo, dtype: Any, place: str) -> None:
    world, (there, put) = World.drawn(dtype, 0), PLACES[place]
    close = {"rel": 1e-5 if dtype is np.float32 else 1e-10, "abs": 0}
    if info.id == "mmd":  # of wide kernels it is a small difference of numbers near 1
        close["rel"] *= 10
    for parameters in ({}, *OTHER.get(info.id, ())):
        host = measured(info, world, parameters)
        with there():
            card = measured(
                info, replace(world, **{n: put(x) for n, x in vars(world).items()}), parameters
            )
        assert card.value == pytest.approx(host.value, **close), parameters
        if host.interval is not None:
            assert card.interval is not None
            ends = [host.interval.low, host.interval.high]
            assert [card.interval.low, card.interval.high] == pytest.approx(ends, rel=1e-3)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
def test_likelihoods_in_nats_are_what_their_naive_form_says(dtype: Any) -> None:
    world = replace(World.drawn(dtype, 0), dims=None)
    info = METRICS["nll"]
    assert by_genbench(info, world, {}) == pytest.approx(by_oracle(info, world, {}), rel=1e-9)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("info", WITH_PROPERTIES, ids=lambda info: info.id)
def test_a_metric_without_a_naive_form_has_its_properties(info: MetricInfo, dtype: Any) -> None:
    world = World.drawn(dtype, 0)

    def value(real: Any, fake: Any) -> float:
        return by_genbench(info, replace(world, real=real, fake=fake), {})

    load(info.oracle)(value, world.real, world.fake)


@pytest.mark.parametrize("info", METRICS.values(), ids=lambda info: info.id)
def test_every_metric_has_an_oracle_or_a_reason_and_claims(info: MetricInfo) -> None:
    """A claim is a check of its properties, by `genbench selftest`."""
    assert info.oracle or (info.no_oracle and info.claims)
    assert all(callable(getattr(Laboratory, claim.measure)) for claim in info.claims)


@pytest.mark.parametrize("info", [*WITH_ORACLE, *WITH_PROPERTIES], ids=lambda info: info.id)
def test_the_fast_form_names_the_naive_one(info: MetricInfo) -> None:
    elsewhere = {
        "likelihood": "genbench.metrics.likelihood",
        "truth": "genbench.metrics.likelihood",
        "codes": f"genbench.metrics.{'frechet' if 'fid' in info.id else 'codes'}",
    }
    module = import_module(str(info.maker).partition(":")[0] or elsewhere[info.source])
    texts = [inspect.getdoc(found) or "" for found in vars(module).values() if callable(found)]
    assert any(f"``{info.oracle}``" in text for text in texts)


def test_oracles_share_no_code_with_genbench() -> None:
    for file in ORACLES.glob("*.py"):
        lines = file.read_text().splitlines()
        assert not [s for s in lines if s.lstrip().startswith(("import ", "from ")) and
                    "genbench" in s], file  # fmt: skip
