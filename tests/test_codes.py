"""A look inside a generator: its contract, its metrics, and what a run keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from genbench.data import Split, load_split
from genbench.errors import ContractError, MetricError, UsageError
from genbench.generator import Space
from genbench.metrics.codes import linear_probe, reconstruction_error
from genbench.plugins.coded import Coded
from genbench.results.records import Record
from genbench.running.arrivals import codes_problem
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import pictured, plan_codes
from genbench.running.encoding import STEPS, Look
from genbench.running.scoring import Scorer
from genbench.tasks import CodesAsked, codes_asked
from genbench.tasks.suite import load_suite, shipped
from tests.conftest import TINY, Command
from tests.test_plan import choice
from tests.test_run import records

IMAGES = Space("image", (1, 2, 2), levels=256, classes=3)


class Spec:
    name, labels = "mine", "given"


class Brighten(nn.Module):
    """Codes are half the grey level, less the class's own brightness."""

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        level = 2 * z + 10 * labels[:, None]
        return level.round().clamp(0, 255).to(torch.uint8).view(-1, 1, 2, 2)


class Generator:
    """Complete; tests break it."""

    spec: Any = Spec
    latent_size: Any = 4
    noise_size: Any = 4

    def encode(self, x: Tensor) -> Any:
        return x.flatten(1).float() / 2 - 5

    @property
    def decode(self) -> Any:
        return Brighten()


def rows(n: int, label: int = 1) -> Tensor:
    """Rows that only class 1 gives back exactly."""
    rng = torch.Generator().manual_seed(0)
    return (2 * torch.randint(20, 80, (n, 1, 2, 2), generator=rng)).to(torch.uint8)


def test_what_is_offered_is_found_and_what_is_missing_is_not() -> None:
    coded = Coded(Generator(), IMAGES)
    assert coded.offered == ("encode", "decode")
    assert coded.reconstructs
    assert not Coded(type("Plain", (), {"spec": Spec})(), IMAGES)


def test_without_reconstruct_the_class_that_comes_nearest_counts() -> None:
    x = rows(12)
    assert torch.equal(Coded(Generator(), IMAGES).reconstruct(x), x)


class One(nn.Module):
    """A module that takes labels and passes them over."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        found: Tensor = self.inner(z)
        return found


BREACHES = {
    "encode() returned float64 (5, 4), expected float32 (5, 4): latent_size is 4": {
        "encode": lambda self, x: x.flatten(1).double()
    },
    "encode() returned float32 (5, 2), expected float32 (5, 4)": {
        "encode": lambda self, x: x.flatten(1).float()[:, :2]
    },
    "encode() returned list": {"encode": lambda self, x: [1.0]},
    "encode() is not finite for row 102": {
        "encode": lambda self, x: x.flatten(1).float().index_fill(
            0, torch.tensor([2]), float("inf")
        )
    },
    "offers encode but no latent_size": {"latent_size": None},
    "latent_size is 0, expected a whole number above 0": {"latent_size": 0},
    "latent_size is True": {"latent_size": True},
    "decode is a function, expected a torch.nn.Module": {
        "decode": property(lambda self: lambda z, labels: z)
    },
    "decode(z, labels) returned has dtype torch.float32, expected torch.uint8": {
        "decode": property(lambda self: One(nn.Unflatten(1, (1, 2, 2))))
    },
    "offers sampler but no noise_size": {
        "sampler": property(lambda self: Brighten()), "noise_size": None
    },
}  # fmt: skip


def used(generator: Any) -> None:
    """Encode five rows and decode them."""
    coded = Coded(generator, IMAGES)
    coded.decode(coded.encode(rows(5), first=100), torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize("complaint", BREACHES)
def test_a_breach_is_told_with_what_was_given(complaint: str) -> None:
    broken = type("Broken", (Generator,), BREACHES[complaint])()
    with pytest.raises(ContractError) as told:
        used(broken)
    assert complaint in str(told.value)
    assert str(told.value).startswith("generator 'mine': ")


def test_the_error_of_a_reconstruction_is_per_scalar() -> None:
    real = np.zeros((50, 4))
    found = reconstruction_error(real, real + np.array([1.0, 0, 0, 3]))
    assert found.value == 2.5
    with pytest.raises(MetricError, match="40 rows of 50 were given back"):
        reconstruction_error(real, real[:40])


def world(n: int, seed: int) -> tuple[Any, Any]:
    """Three classes that overlap, in codes of very different scales and one that never changes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = np.eye(3, 5)[y] * 1.5 + rng.normal(size=(n, 5))
    return x * [1, 100, 0.01, 1, 0], y


def test_the_probe_is_scikit_learns_on_standardised_codes() -> None:
    (x, y), (held, held_y) = world(300, 0), world(200, 1)
    (told,) = linear_probe(x, y, held, held_y)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x, y)
    assert_allclose(told.mean(), theirs.score(held, held_y), atol=0.011)
    assert 0.6 < told.mean() < 0.95


def test_a_probe_does_not_depend_on_the_scale_of_codes() -> None:
    (x, y), (held, held_y) = world(300, 0), world(200, 1)
    moved = [1e3, 1e-3, 5, -2, 1]
    assert_allclose(
        linear_probe(x * moved + 7, y, held * moved + 7, held_y), linear_probe(x, y, held, held_y)
    )


def test_a_probe_of_few_labels_knows_no_others() -> None:
    (x, y), (held, held_y) = world(300, 0), world(200, 1)
    few = [np.arange(0, 30), np.arange(30, 60)]
    told = linear_probe(x, y, held, held_y, subsets=few)
    hidden = y.copy()
    hidden[60:] = 0
    assert told.shape == (2, 200)
    assert np.array_equal(told, linear_probe(x, hidden, held, held_y, subsets=few))
    with pytest.raises(MetricError, match="all rows are of one class"):
        linear_probe(x, y, held, held_y, subsets=[np.array([0, 3, 6])])


def test_pictures_go_from_one_row_to_another_of_its_class() -> None:
    y = np.array([2, 0, 0, 2, 1, 0])
    assert pictured(y, 6).tolist() == [[1, 2], [0, 3]], "class 1 has one row"
    assert pictured(None, 5).tolist() == [[0, 1], [2, 3]]
    assert pictured(np.repeat(np.arange(20), 2), 40).shape == (10, 2)


def looked(generator: Any, space: Space, n: int = 30) -> dict[str, Any]:
    """The arrays of a look at toy rows."""
    x, y = rows(n).numpy(), np.arange(n) % 3
    split = Split(x, y if space.classes else None)
    plan = plan_codes(CodesAsked(("probe_accuracy",), rows=20), split, split)
    cpu = torch.device("cpu")
    look = Look(Coded(generator, space), plan, cpu, lambda: False, lambda *told: None)
    found: dict[str, Any] = {}
    for arrays in look.take(split, split):
        found |= arrays
    return found


def test_a_look_holds_codes_reconstructions_and_pictures() -> None:
    found = looked(Generator(), IMAGES)
    assert {name: array.shape for name, array in found.items()} == {
        "train": (20, 4), "test": (20, 4), "rebuilt": (20, 1, 2, 2),
        "interpolated": (3, STEPS, 1, 2, 2), "traversed": (3, STEPS, 1, 2, 2),
    }  # fmt: skip
    assert codes_problem(IMAGES, found) is None
    steps = found["traversed"].reshape(3, STEPS, 4).astype(int)
    changing = (steps.std(1) > 0).sum(1)
    assert changing.tolist() == [1, 1, 1], "one number of the code moves, one pixel with it"


def test_a_generator_that_encodes_alone_has_codes_alone() -> None:
    alone = type("Alone", (Generator,), {"decode": None})()
    assert set(looked(alone, IMAGES)) == {"train", "test"}


def test_a_decoder_alone_is_traversed_from_the_same_noise_each_time() -> None:
    alone = type("Alone", (Generator,), {"encode": None})()
    found = looked(alone, IMAGES)
    assert set(found) == {"traversed"}
    assert np.array_equal(found["traversed"], looked(alone, IMAGES)["traversed"])


def test_arrays_that_a_generators_process_made_up_are_refused() -> None:
    x = rows(4).numpy()
    wrong = {
        "codes of float64": {"train": np.zeros((4, 2))},
        "or not finite": {"test": np.full((4, 2), np.nan, np.float32)},
        "expected uint8": {"rebuilt": x.astype(np.float32)},
        "expected uint8 of (n, *(1, 2, 2))": {"traversed": x},
        "'extra', which nobody asked for": {"extra": x},
    }
    for complaint, arrays in wrong.items():
        assert complaint in str(codes_problem(IMAGES, arrays))


CODES = """
[codes]
metrics = ["reconstruction_mse", "reconstruction_fid", "probe_accuracy"]
rows = 200
labels = [40, 5000]
subsets = 2
"""


def images_suite(folder: Path, more: str = CODES) -> Path:
    """Digits without downstream protocols."""
    text = TINY.with_name("tiny-images.toml").read_text()
    head, rest = text.split("[downstream.tstr]")
    path = folder / "coded.toml"
    path.write_text(head + more + rest[rest.index("[controls]") :])
    return path


def test_the_table_is_read_and_moves_no_hash(tmp_path: Path) -> None:
    with_it = load_suite(str(images_suite(tmp_path)))
    without = load_suite(str(images_suite(tmp_path, "")))
    assert codes_asked(without.document) is None
    asked = codes_asked(with_it.document)
    assert asked is not None
    assert (asked.rows, asked.labels, asked.subsets) == (200, (40, 5000), 2)
    assert (with_it.task_hash, with_it.suite_hash) == (without.task_hash, without.suite_hash)
    assert with_it.part_hash("codes") != without.part_hash("codes")
    assert with_it.part_hash("metrics") == without.part_hash("metrics")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ('metrics = ["fid"]', "'fid' in \\[codes\\] is no metric of codes"),
        ('metrics = ["probe_acuracy"]', "did you mean 'probe_accuracy'"),
        ("metrics = []\nrows = 1", "rows of \\[codes\\] is 1: it must be at least 2"),
        ("metrics = []\nlabels = [5]", "labels of \\[codes\\] has 5: give a row of each class"),
        ("metrics = []\nlabel = [50]", "unknown key 'label'.*did you mean 'labels'"),
        ("rows = 10", "lacks 'metrics'"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, wrong: str, complaint: str) -> None:
    path = images_suite(tmp_path, f"[codes]\n{wrong}\n")
    with pytest.raises(UsageError, match=complaint):
        load_suite(str(path))


def test_a_metric_of_codes_does_not_stand_among_the_others(tmp_path: Path) -> None:
    path = images_suite(tmp_path, '[[metrics]]\nid = "probe_accuracy"\n')
    with pytest.raises(UsageError, match=r"is made of codes: name it in the table \[codes\]"):
        load_suite(str(path))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "digits", "emoji"])
def test_shipped_images_ask_for_codes_but_at_a_glance(name: str) -> None:
    assert name in shipped()
    for profile, n in (("standard", 3), ("full", 3), ("smoke", 0)):
        asked = codes_asked(load_suite(name, profile).document)
        assert asked is not None
        assert len(asked.metrics) == n


RAISES = '''
from genbench.baselines.vae import VAE
from dataclasses import replace

class Blind(VAE):
    """A VAE that cannot look."""
    spec = replace(VAE.spec, name="blind")

    def encode(self, x):
        raise ValueError("no eyes")
'''


def part(record: Record) -> dict[str, tuple[str, str | None]]:
    """Status and reason of the metrics of codes."""
    ids = ("reconstruction_mse", "reconstruction_fid", "probe_accuracy")
    return {id_: (record.metrics[id_].status, record.metrics[id_].reason) for id_ in ids}


@pytest.mark.slow
def test_a_run_looks_inside_and_an_old_cell_is_looked_into_later(
    run_genbench: Command, tmp_path: Path
) -> None:
    plugin = tmp_path / "blind.py"
    plugin.write_text(RAISES)
    args = ("run", "--plugin", f"{plugin}:Blind", "-g", "blind", "-g", "vae", "-g", "gan")
    run_genbench(*args, "--suite", images_suite(tmp_path, ""), "--no-report")
    before = records(tmp_path / "results")
    assert "probe_accuracy" not in before["vae", 0].metrics

    done = run_genbench(*args, "--suite", images_suite(tmp_path))
    assert done.code == 0, done.err
    after = records(tmp_path / "results")
    vae = after["vae", 0]
    assert vae.timing["fit_s"] == before["vae", 0].timing["fit_s"], "nothing was fitted anew"
    assert 0 < vae.metrics["reconstruction_mse"].value < 0.3  # type: ignore[operator]
    probe = vae.metrics["probe_accuracy"]
    assert probe.interval is not None
    assert probe.interval.method == "wilson"
    assert probe.n == 200
    assert "|ref=200|" in probe.signature
    assert [one["labels"] for one in probe.details["few_labels"]] == [40], "5,000 are not there"
    assert 0.7 < probe.details["pixels"] < 1
    roles = {a.role for a in vae.artifacts}
    assert roles >= {"reconstructions", "interpolations", "traversals"}

    why = part(after["gan", 0])
    assert why["probe_accuracy"] == ("not_applicable", "gan does not encode rows")
    assert why["reconstruction_mse"][0] == "not_applicable"
    assert {a.role for a in after["gan", 0].artifacts} >= {"traversals"}
    assert part(after["heldout", 0])["probe_accuracy"] == (
        "not_applicable", "heldout is a control: it has no codes"
    )  # fmt: skip
    blind = after["blind", 0]
    assert blind.status == "ok"
    assert blind.metrics["pixel_fid"].status == "ok"
    assert blind.metrics["reconstruction_mse"].status == "failed"
    assert "no eyes" in str(blind.metrics["reconstruction_mse"].reason)
    page = (tmp_path / "results" / "report" / "index.html").read_text()
    assert "A look inside" in page

    (picture,) = (tmp_path / "results").glob("*/vae~*/seed-0/*/reconstructions.png")
    with Image.open(picture) as image:
        assert image.size == ((9 * 10 - 1) * 3, (9 * 4 - 1) * 3)
    again = run_genbench(*args, "--suite", images_suite(tmp_path), "--no-report")
    assert "1 to do" in again.err, "what failed is tried once more"


def scores(folder: Path, found: dict[str, Any], problem: str | None) -> dict[str, Any]:
    """The metrics of codes of what a look at digits told."""
    suite = load_suite(str(images_suite(folder)))
    spec = CellSpec(folder, folder / "cache", "key", suite, choice(), 0, parts=("codes",))
    x = np.zeros((10, 1, 8, 8), np.uint8)
    return Scorer(spec, {"x": x}, {}, None, {}, lambda what: None).codes(found, problem)


def test_what_was_told_before_a_failure_counts(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).normal(size=(2, 200, 3)).astype(np.float32)
    found = scores(tmp_path, {"train": codes[0], "test": codes[1]}, "its decoder broke")
    assert found["probe_accuracy"].status == "ok"
    assert found["probe_accuracy"].value < 0.3, "these codes tell nothing"
    assert found["probe_accuracy"].details["latent_size"] == 3
    assert found["reconstruction_mse"].status == "failed"
    assert found["reconstruction_mse"].reason == "its decoder broke"


def test_reconstructions_are_measured_against_the_rows_they_are_of(tmp_path: Path) -> None:
    suite = load_suite(str(images_suite(tmp_path)))
    train, test = (load_split(suite.dataset, suite.space, name) for name in ("train", "test"))
    asked = codes_asked(suite.document)
    assert asked is not None
    real = plan_codes(asked, train, test).of_reference(test).x
    same = scores(tmp_path, {"rebuilt": real}, None)
    assert same["reconstruction_mse"].value == 0
    assert abs(same["reconstruction_fid"].value) < 1e-6
    moved = scores(tmp_path, {"rebuilt": np.roll(real, 1, 0)}, None)
    assert moved["reconstruction_mse"].value > 0.05, "row by row, not as a set"
    assert moved["reconstruction_fid"].value == pytest.approx(0, abs=1e-3), "as a set"
    fewer = scores(tmp_path, {"rebuilt": real[:-1]}, None)["reconstruction_mse"]
    assert (fewer.status, fewer.reason) == (
        "failed", "199 rows of 200 were given back: give all, in order"
    )  # fmt: skip
