"""Controls: which rows they are; without repetition, with the data's moments, uniform."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import genbench
from genbench.baselines import controls as controls_of
from genbench.baselines.controls import Gaussian, HeldOut, ModeDropped, Noise, TrainCopy
from genbench.baselines.controls_sound import LogMelGaussian
from genbench.errors import ContractError, PluginError, UsageError
from genbench.generator import Samples, Space
from genbench.plugins import finding as plugins
from genbench.plugins.inline import choice_of
from genbench.plugins.probing import Prober
from genbench.plugins.selection import choose
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from genbench.results import controls
from genbench.tasks.suite import load_suite
from genbench.testing.checking import check_all
from tests.conftest import PLUGINS, TINY

IMAGES = Space("image", (1, 3, 3), levels=17, classes=4)
PLANE = Space("points", (2,))
POSING = (PLUGINS / "normal.py").read_text().replace('family="gaussian"', 'family="control"')
ALL = (HeldOut, TrainCopy, Gaussian, Noise, ModeDropped)
ROWS = (HeldOut, TrainCopy)
CPU = torch.device("cpu")


def data(space: Space, n: int = 600, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    if space.kind == "points":
        mix = torch.tensor([[1.0, 0.0], [0.8, 0.5]])
        return torch.randn(n, 2, generator=generator) @ mix.T + torch.tensor([3.0, -1.0]), None
    y = torch.arange(n) % 10 % 4  # classes 0 and 1 are half as frequent again as 2 and 3
    noise = torch.randint(0, 5, (n, *space.shape), generator=generator)
    return (noise + 3 * y[:, None, None, None]).to(torch.uint8), y


def fitted(control: Any, space: Space, device: torch.device = CPU, **params: Any) -> Any:
    x, y = data(space)
    budget = Budget(1)
    generator = control(control.spec.params(**params), space, device)
    train = MemoryTrainData(x, y, space, device, budget)
    generator.fit(train, HarnessRun(0, device, budget))
    assert budget.served == 0
    return generator


def parts(samples: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    return samples if isinstance(samples, Samples) else (samples, None)


def rows_of(x: torch.Tensor, y: torch.Tensor | None) -> list[tuple[float, ...]]:
    labels = torch.zeros(len(x), 1) if y is None else y[:, None]
    return sorted(map(tuple, torch.cat([x.flatten(1).float(), labels], 1).tolist()))


def test_the_controls_are_our_generators_of_that_family():
    ours = [
        name for name, owners in plugins.installed().items() if controls.is_ours(owners[0].provider)
    ]
    found = {
        name for name in ours if plugins.load(plugins.find(name)).spec.family == controls.FAMILY
    }
    assert (
        found == set(controls.CONTROLS) == {control.spec.name for control in (*ALL, LogMelGaussian)}
    )


def test_nobody_else_decides_what_a_control_is():
    """No module but the one that defines it compares anything with the family's name."""
    for file in sorted(Path(genbench.__file__).parent.rglob("*.py")):
        compared = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Compare)]
        asked = [ast.unparse(n) for n in compared if "'control'" in ast.unparse(n)]
        assert not asked, f"{file.name}: {asked}"


@pytest.mark.parametrize(
    ("name", "provider", "control"),
    [("heldout", "genbench 0.1.0", True), ("heldout", "genbench-extras 1", False),
     ("heldout", "file genbench", False), ("shuffled", "genbench 0.1.0", False),
     ("noise", "the caller's process", False)],
)  # fmt: skip
def test_a_control_is_a_name_of_our_own_distribution(name, provider, control):
    assert controls.is_control(name, provider) == control


@pytest.mark.slow
def test_a_plugin_that_calls_its_family_control_is_refused_by_name(tmp_path):
    """By `run` and by `check`; `list --check` and `doctor`: see test_plugins_installed."""
    file = tmp_path / "posing.py"
    file.write_text(POSING)
    refused = "generator 'normal' of file posing.py calls its family 'control'.* name the family of"
    with Prober() as prober:
        with pytest.raises(PluginError, match=refused):
            choose(load_suite(str(TINY)), (), [str(file)], prober)
        (report,) = check_all(str(file), prober)
    (failed,) = [result for result in report.results if result.status == "failed"]
    assert (report.ok, failed.check) == (False, "spec")
    assert "keeps for its own reference rows: name the family of its model" in failed.detail


def test_a_class_that_calls_its_family_control_is_refused_by_name():
    mine = type("Mine", (), {**vars(HeldOut), "__module__": "__main__"})
    with pytest.raises(PluginError, match="'heldout' of the caller's process calls its family"):
        choice_of(mine)


def test_a_file_may_not_take_the_name_of_a_control(prober, tmp_path):
    file = tmp_path / "named.py"
    file.write_text((PLUGINS / "normal.py").read_text().replace('name="normal"', 'name="noise"'))
    said = r"'noise' is a control: give the class another spec\.name"
    with pytest.raises(UsageError, match=said):
        choose(load_suite(str(TINY)), (), [str(file)], prober)


@pytest.mark.parametrize("space", [IMAGES, PLANE], ids=["image", "points"])
@pytest.mark.parametrize("control", ALL, ids=lambda c: c.spec.name)
def test_samples_obey_the_contract(control, space):
    generator = fitted(control, space)
    x, y = parts(generator.sample(200, seed=2**62))
    assert space.violation(x, 200) is None
    assert (y is not None) == (space.classes > 0)
    if y is not None:
        assert y.dtype == torch.int64
        assert y.shape == (200,)
        assert 0 <= int(y.min()) <= int(y.max()) < space.classes


@pytest.mark.parametrize("space", [IMAGES, PLANE], ids=["image", "points"])
@pytest.mark.parametrize("control", ALL, ids=lambda c: c.spec.name)
def test_same_seed_same_bytes_other_seed_other_bytes_also_after_loading(control, space):
    generator = fitted(control, space)
    copy = control(control.spec.params(), space, CPU)
    copy.load_state_dict(generator.state_dict())
    before = torch.get_rng_state()
    first, again, loaded, other = (
        parts(g.sample(50, seed=seed))[0]
        for g, seed in ((generator, 7), (generator, 7), (copy, 7), (generator, 8))
    )
    assert torch.equal(first, again)
    assert torch.equal(first, loaded)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(isinstance(value, torch.Tensor) for value in generator.state_dict().values())


@pytest.mark.parametrize("space", [IMAGES, PLANE], ids=["image", "points"])
@pytest.mark.parametrize("control", ROWS, ids=lambda c: c.spec.name)
def test_row_controls_return_every_row_once(control, space):
    generator = fitted(control, space)
    assert generator.available() == 600
    assert rows_of(*parts(generator.sample(600, seed=1))) == rows_of(*data(space))


@pytest.mark.parametrize("control", [*ROWS, ModeDropped], ids=lambda c: c.spec.name)
def test_more_rows_than_exist_are_refused_with_both_numbers(control):
    generator = fitted(control, IMAGES)
    have = generator.available()
    with pytest.raises(ContractError, match=f"asked for {have + 1} rows and has {have}"):
        generator.sample(have + 1, seed=0)


@pytest.mark.parametrize("control", [Gaussian, Noise], ids=lambda c: c.spec.name)
def test_drawn_controls_are_without_end(control):
    assert fitted(control, IMAGES).available() is None


def test_mode_dropped_lacks_one_class_and_nothing_else():
    generator = fitted(ModeDropped, IMAGES, dropped_class=2)
    x, y = data(IMAGES)
    keep = y != 2
    drawn = generator.sample(generator.available(), seed=0)
    assert rows_of(*drawn) == rows_of(x[keep], y[keep])


def test_mode_dropped_of_points_lacks_one_eighth_of_the_circle():
    angle = torch.arange(80) * (2 * np.pi / 80) + 0.01
    ring = torch.stack([angle.cos(), angle.sin()], 1) + torch.tensor([5.0, 2.0])
    budget = Budget(1)
    generator = ModeDropped(ModeDropped.spec.params(dropped_class=2), PLANE, CPU)
    generator.fit(MemoryTrainData(ring, None, PLANE, CPU, budget), HarnessRun(0, CPU, budget))
    left = generator.sample(generator.available(), seed=0) - torch.tensor([5.0, 2.0])
    degrees = torch.rad2deg(torch.atan2(left[:, 1], left[:, 0]))
    assert generator.available() == 70
    assert ((degrees - 90).abs() > 22).all()


@pytest.mark.parametrize("dropped", [-1, 4])
def test_mode_dropped_refuses_a_class_that_does_not_exist(dropped):
    with pytest.raises(UsageError, match=f"dropped_class is {dropped}, expected 0 to 3"):
        ModeDropped(ModeDropped.spec.params(dropped_class=dropped), IMAGES, CPU)


def test_mode_dropped_refuses_unlabelled_images():
    with pytest.raises(UsageError, match="no modes of unlabelled image"):
        ModeDropped(ModeDropped.spec.params(), Space("image", (1, 3, 3), levels=17), CPU)


@pytest.mark.parametrize("control", [Gaussian, Noise], ids=lambda c: c.spec.name)
def test_labels_come_in_training_proportions(control):
    _, y = fitted(control, IMAGES).sample(1000, seed=3)
    assert_array_equal(np.bincount(y), [300, 300, 200, 200])
    assert y[:300].unique().numel() == 4, "labels must be shuffled"


def test_gaussian_has_the_moments_of_the_data():
    drawn = fitted(Gaussian, PLANE).sample(200_000, seed=0).double().numpy()
    x = data(PLANE)[0].double().numpy()
    assert_allclose(drawn.mean(0), x.mean(0), atol=0.01)
    assert_allclose(np.cov(drawn.T), np.cov(x.T), atol=0.02)


def test_gaussian_has_the_moments_of_each_class():
    x, y = fitted(Gaussian, IMAGES).sample(100_000, seed=0)
    real, labels = data(IMAGES)
    for c in (1, 2):  # no clipping at the ends of the grey levels there
        drawn = x[y == c].flatten(1).double().numpy()
        rows = real[labels == c].flatten(1).double().numpy()
        assert_allclose(drawn.mean(0), rows.mean(0), atol=0.05)
        # Rounding to whole levels adds 1/12 to each variance.
        assert_allclose(np.cov(drawn.T), np.cov(rows.T) + np.eye(9) / 12, atol=0.12)


@pytest.mark.parametrize("space", [IMAGES, PLANE], ids=["image", "points"])
def test_gaussian_of_rows_has_the_moments_of_that_of_factors(space, monkeypatch):
    """A covariance of pictures of 64 x 64 has 151 million numbers: there, rows stand for it."""
    by_factor = fitted(Gaussian, space)
    monkeypatch.setattr(controls_of, "MOST_FACTORS", 1)
    by_rows = fitted(Gaussian, space)
    assert by_rows.state_dict().keys() == {"count", "mean", "jitter", "rows"}
    (x, y), (other, labels) = (parts(g.sample(200_000, seed=1)) for g in (by_rows, by_factor))
    for c in range(max(1, space.classes)):
        drawn = (x if y is None else x[y == c]).flatten(1).double().numpy()
        want = (other if labels is None else other[labels == c]).flatten(1).double().numpy()
        assert_allclose(drawn.mean(0), want.mean(0), atol=0.04)
        assert_allclose(np.cov(drawn.T), np.cov(want.T), atol=0.06)
    again = Gaussian(Gaussian.spec.params(), space, CPU)
    again.load_state_dict(by_rows.state_dict())
    assert torch.equal(parts(again.sample(50, seed=2))[0], parts(by_rows.sample(50, seed=2))[0])


def test_gaussian_takes_pixels_that_never_change_and_an_empty_class():
    x, y = data(IMAGES)
    x[..., 0, 0] = 0
    keep = y != 3
    budget = Budget(1)
    generator = Gaussian(Gaussian.spec.params(), IMAGES, CPU)
    train = MemoryTrainData(x[keep], y[keep], IMAGES, CPU, budget)
    generator.fit(train, HarnessRun(0, CPU, budget))
    drawn, labels = generator.sample(2000, seed=0)
    assert int(drawn[..., 0, 0].max()) == 0
    assert int(labels.max()) == 2


def test_noise_is_uniform_over_the_grey_levels():
    x, _ = fitted(Noise, IMAGES).sample(20_000, seed=0)
    counts = np.bincount(x.flatten(), minlength=17)
    expected = x.numel() / 17
    assert len(counts) == 17
    assert ((counts - expected) ** 2 / expected).sum() < 16 + 5 * np.sqrt(32)


def test_noise_of_points_fills_the_bounding_box():
    x = fitted(Noise, PLANE).sample(50_000, seed=0)
    real = data(PLANE)[0]
    low, high = real.amin(0), real.amax(0)
    assert (x >= low).all()
    assert (x <= high).all()
    width = high - low
    assert_allclose(x.mean(0), (low + high) / 2, atol=0.02 * float(width.max()))
    assert_allclose(x.var(0), width**2 / 12, rtol=0.03)


@pytest.mark.parametrize("space", [IMAGES, PLANE], ids=["image", "points"])
@pytest.mark.parametrize("control", ALL, ids=lambda c: c.spec.name)
def test_tensors_stay_on_the_device(control, space):
    """Meta tensors cannot mix with those of another device: this fails wherever one is left."""
    meta = torch.device("meta")
    generator = control(control.spec.params(), space, meta)
    generator.load_state_dict(fitted(control, space).state_dict())
    for part in parts(generator.sample(20, seed=0)):
        assert part is None or part.device == meta
