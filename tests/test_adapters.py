"""Models made elsewhere: each adapter samples as the contract says, and names what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genbench.adapters.commands import command
from genbench.adapters.diffusion import diffusers_pipeline
from genbench.adapters.functions import function
from genbench.adapters.networks import onnx, torch_module, torchscript
from genbench.errors import ContractError, GenbenchError, PluginError
from genbench.generator import Space, to_uint8
from genbench.plugins.finding import GeneratorRef, checked, classes_in, description_of
from tests.conftest import TINY, Command
from tests.test_isolation import is_gone

GREY = Space("image", (1, 8, 8), levels=256, classes=10)
COLOUR = Space("image", (3, 8, 8), levels=256)
PLANE = Space("points", (2,))


class Net(nn.Module):
    """z and a label to an image in [-1, 1]; its dropout draws of the global stream."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 64)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        x = self.layer(z)
        if y is not None:
            x = x * 0 + y[:, None].to(x.dtype) / 9 * 2 - 1
        return torch.tanh(nn.functional.dropout(x, 0.1)).reshape(-1, 1, 8, 8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save({"ema": Net().state_dict(), "step": 3}, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def ready(cls: Any, space: Space) -> Any:
    """The generator, made and fitted as the harness does it."""
    ref = GeneratorRef(cls.spec.name, cls.__name__, "a test", inline=True)
    checked(cls, ref)
    generator = cls(cls.spec.params(), space, torch.device("cpu"))
    generator.fit(None, None)
    return generator


def sampled(cls: Any, space: Space, n: int = 7, labels: Any = None) -> torch.Tensor:
    """Samples that obey the contract: shape, dtype, range, seeds, global state."""
    generator = ready(cls, space)
    state = torch.get_rng_state()
    x = generator.sample(n, seed=5, labels=labels)
    assert space.violation(x, n) is None
    assert torch.equal(torch.get_rng_state(), state), "global random state is left as found"
    assert torch.equal(generator.sample(n, seed=5, labels=labels), x)
    assert not torch.equal(generator.sample(n, seed=6, labels=labels), x)
    assert torch.equal(ready(cls, space).sample(n, seed=5, labels=labels), x)
    return x


def test_a_torch_module_and_its_checkpoint(checkpoint: Path) -> None:
    cls = torch_module("mine", Net, checkpoint, key="ema", latent=4, batch_size=3)
    x = sampled(cls, GREY)
    net = Net()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    z = torch.empty(7, 4).normal_(generator=torch.Generator().manual_seed(5))
    mean = torch.tanh(net.layer(z)).reshape(7, 1, 8, 8)
    close = (x.float() / 127.5 - 1 - mean).abs() < 0.3  # all but what the dropout moved
    assert close.float().mean() > 0.7
    assert cls.spec.pretrained_on == "unknown: made elsewhere"
    other = torch_module("mine", Net, checkpoint, key="ema", latent=4, pretrained_on="CIFAR-10")
    assert other.spec.pretrained_on == "CIFAR-10"


def test_another_checkpoint_is_another_version(checkpoint: Path) -> None:
    first = torch_module("mine", Net, checkpoint, key="ema", latent=4).spec.version
    torch.manual_seed(1)
    torch.save({"ema": Net().state_dict()}, checkpoint)
    assert torch_module("mine", Net, checkpoint, key="ema", latent=4).spec.version != first


def test_labels_are_passed_on(checkpoint: Path) -> None:
    cls = torch_module("mine", Net, checkpoint, key="ema", latent=4, labels=True)
    assert cls.spec.labels == "given"
    x = ready(cls, GREY).sample(2, seed=0, labels=torch.tensor([0, 9])).float().mean((1, 2, 3))
    assert x[0] < 60
    assert x[1] > 195


def test_a_torchscript_file(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z.reshape(-1, 2)

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases advise other formats
        torch.jit.trace(Plain(), torch.zeros(3, 2)).save(str(tmp_path / "net.ts"))
        cls = torchscript("mine", tmp_path / "net.ts", latent=2, kinds=("points",), noise="uniform")
        x = sampled(cls, PLANE, 500)
    assert x.min() < -0.9
    assert x.abs().max() <= 1


def test_an_onnx_file(tmp_path: Path) -> None:
    helper = pytest.importorskip("onnx").helper
    pytest.importorskip("onnxruntime")
    kind = 1  # float32
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["z"], ["x"])],
        "mine",
        [helper.make_tensor_value_info("z", kind, [None, 64])],
        [helper.make_tensor_value_info("x", kind, [None, 64])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    cls = onnx("mine", tmp_path / "net.onnx", latent=64)
    x = sampled(cls, GREY, 300)  # flat rows take the space's shape
    assert abs(x.float().mean().item() - 127.5) < 5
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(PluginError, match=r"bad.onnx is no ONNX model"):
        ready(onnx("mine", tmp_path / "bad.onnx", latent=64), GREY)


def grey_floats(n: int, seed: int) -> Any:
    """Floats in [0, 1], channels last."""
    return np.random.default_rng(seed).random((n, 8, 8, 3))


def classed(n: int, seed: int, labels: Any) -> Any:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 10, (n, 1, 8, 8))
    return (noise + 20 * labels[:, None, None, None]).astype(np.uint8)


def test_a_function() -> None:
    x = sampled(function("mine", grey_floats, low=0, high=1), COLOUR)
    expected = np.rint(grey_floats(7, 5).transpose(0, 3, 1, 2).astype(np.float32) * 255)
    np.testing.assert_array_equal(x.numpy(), expected)
    labels = torch.arange(7)
    x = sampled(function("mine", classed, labels=True), GREY, labels=labels)
    assert torch.equal(x.flatten(1).amin(1) // 20, labels)
    points = function(
        "mine", lambda n, seed: np.random.default_rng(seed).normal(size=(n, 2)), kinds=("points",)
    )
    assert sampled(points, PLANE).dtype == torch.float32


SCRIPT = """
import sys
import numpy as np

n, seed, out, labels = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], np.load(sys.argv[4])
x = np.random.default_rng(seed).integers(0, 10, (n, 8, 8)) + 20 * labels[:, None, None]
np.savez(out, x=x.astype(np.uint8))
"""


def test_a_command(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "sample.py"), "{n}", "{seed}", "{out}", "{labels}"]
    cls = command("mine", words, labels=True, files=[tmp_path / "sample.py"])
    labels = torch.arange(7)
    x = sampled(cls, GREY, labels=labels)
    assert torch.equal(x.flatten(1).amin(1) // 20, labels)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_command_does_not_outlive_the_process_that_samples(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    sleeper = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(99)"
    words = ["sh", "-c", f"exec '{sys.executable}' -S -c '{sleeper}' > '{file}'"]
    code = (
        "from pathlib import Path; from genbench.adapters.commands import _ended\n"
        "from genbench.adapters.frozen import Caller\n"
        f"_ended({words!r}, Caller('a test', Path({str(tmp_path)!r})))"
    )
    sampling = subprocess.Popen([sys.executable, "-c", code])
    while not (file.exists() and file.read_text().endswith("\n")):
        assert sampling.poll() is None
        time.sleep(0.05)
    sampling.kill()
    sampling.wait()
    assert is_gone(int(file.read_text()))


@pytest.mark.slow
def test_a_diffusers_pipeline(tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers", exc_type=ImportError)
        torch.manual_seed(0)
        net = diffusers.UNet2DModel(
            sample_size=8, in_channels=3, out_channels=3, layers_per_block=1,
            block_out_channels=(8, 8), norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )  # fmt: skip
        scheduler = diffusers.DDIMScheduler(num_train_timesteps=10)
        diffusers.DDIMPipeline(net, scheduler).save_pretrained(tmp_path / "tiny")
        cls = diffusers_pipeline("mine", tmp_path / "tiny", steps=2, batch_size=4)
        assert sampled(cls, COLOUR).float().std() > 1
        (tmp_path / "empty").mkdir()
        with pytest.raises(PluginError, match="empty is no diffusers pipeline"):
            ready(diffusers_pipeline("mine", tmp_path / "empty"), COLOUR)


def test_scripts_of_a_command_and_what_they_import_are_in_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str:
        globals_ = {"__name__": "theirs", "__file__": str(tmp_path / "theirs.py")}
        words = "['python', 'sample.py', '{n}', '{seed}', '{out}']"
        exec(f"from genbench.adapters import command\nc = command('mine', {words})", globals_)
        return str(globals_["c"].spec.version)  # type: ignore[attr-defined]

    (tmp_path / "model.py").write_text("x = 1")
    assert version() == "1", "there is no such file: 'sample.py' is some word"
    (tmp_path / "sample.py").write_text("import model")
    before = version()
    assert before != "1"
    (tmp_path / "model.py").write_text("x = 2")
    assert version() != before


def test_a_network_named_by_its_module_is_in_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nets_of_mine"
    package.mkdir()
    (package / "unet.py").write_text("from .blocks import Net")
    (package / "blocks.py").write_text("import torch\nNet = torch.nn.Identity")
    monkeypatch.syspath_prepend(tmp_path)

    def made() -> Any:
        return torch_module("mine", "nets_of_mine.unet:Net", latent=2, kinds=("points",))

    before = made().spec.version
    assert sampled(made(), PLANE).shape == (7, 2)
    (package / "blocks.py").write_text("import torch\nNet = torch.nn.Tanh")
    assert made().spec.version != before
    (package / "other.py").write_text("")
    assert [Path(f).name for f in made().version_files] == ["blocks.py", "unet.py"]
    assert torch_module("mine", "torch.nn:Identity", latent=2).spec.version == "1", "installed"


def with_external_data(folder: Path) -> Path:
    """A linear network whose weights lie beside it, as PyTorch writes large models."""
    onnx_ = pytest.importorskip("onnx")
    helper = onnx_.helper
    weights = onnx_.numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["z", "w"], ["x"])],
        "mine",
        [helper.make_tensor_value_info("z", 1, [None, 64])],
        [helper.make_tensor_value_info("x", 1, [None, 64])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx_.save_model(
        model, folder / "net.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    return folder / "net.onnx"


def test_external_data_of_an_onnx_file_are_in_the_version(tmp_path: Path) -> None:
    file = with_external_data(tmp_path)
    (tmp_path / "other.bin").write_bytes(b"not named in the model")
    cls = onnx("mine", file, latent=64)
    assert [Path(f).name for f in cls.version_files] == ["net.onnx", "weights.bin"]
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(bytes(weights))
    assert onnx("mine", file, latent=64).spec.version != cls.spec.version
    (tmp_path / "other.bin").write_bytes(b"still not")
    again = onnx("mine", file, latent=64).spec.version
    (tmp_path / "other.bin").unlink()
    assert onnx("mine", file, latent=64).spec.version == again


# The range of a float model's output.


def ramp(low: float, high: float) -> Callable[[int, int], Any]:
    """Images whose values reach evenly from `low` to `high`."""
    return lambda n, seed: np.linspace(low, high, n * 64).reshape(n, 1, 8, 8)


@pytest.mark.parametrize(
    ("made", "declared", "told"),
    [
        ((-1, 1), (-1, 1), []),
        ((-0.9, 0.9), (-1, 1), []),
        ((-1.003, 1.003), (-1, 1), []),  # within half a grey level
        (
            (0, 1),
            (-1, 1),
            ["50% of the grey levels are never reached", "low=0 and high=1 is meant"],
        ),
        ((-1, 1), (0, 1), ["49.8% of the values were clipped", "low=-1 and high=1 is meant"]),
        ((0, 255), (0, 1), ["99.4% of the values were clipped", "low=0 and high=255 is meant"]),
        ((-3, 3), (-1, 1), ["66.4% of the values were clipped", "reach from -3 to 3"]),
        ((2, 3), (-1, 1), ["100.0% of the values were clipped", "100% of the grey levels"]),
    ],
)
def test_values_that_do_not_fit_the_declared_range_are_told(
    made: tuple[float, float], declared: tuple[float, float], told: list[str]
) -> None:
    low, high = declared
    generator = ready(function("mine", ramp(*made), low=low, high=high), GREY)
    assert generator.sample_notes() == ()
    generator.sample(8, seed=0)
    notes = "\n".join(generator.sample_notes())
    assert bool(notes) == bool(told)
    for text in told:
        assert text in notes


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (1, 0), (1, -1), (float("nan"), 1), (0, float("inf"))]
)
def test_black_above_white_is_refused(low: float, high: float, checkpoint: Path) -> None:
    with pytest.raises(PluginError, match="must be below high="):
        function("mine", grey_floats, low=low, high=high)
    with pytest.raises(PluginError, match="must be below high="):
        torch_module("mine", Net, checkpoint, key="ema", latent=4, low=low, high=high)
    with pytest.raises(ContractError, match="low must be below high"):
        to_uint8(torch.zeros(2), low, min(low, high))


def test_half_a_range_is_refused() -> None:
    with pytest.raises(PluginError, match="has no low=: give low= and high=, or neither"):
        function("mine", grey_floats, high=1)


@pytest.mark.parametrize(
    ("made", "space", "message"),
    [
        (lambda n: np.zeros((n, 192), np.uint8), COLOUR, "in which the colours of a pixel may lie"),
        (lambda n: np.ma.masked_less(np.arange(n * 64).reshape(n, 64) % 9, 1), GREY, "has 50 mask"),
    ],
)
def test_what_would_need_a_guess_is_refused(made: Any, space: Space, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ready(function("mine", lambda n, seed: made(n)), space).sample(7, seed=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", ">f8"])
def test_floats_of_every_kind_are_read(dtype: str) -> None:
    def draw(n: int, seed: int) -> Any:
        x = np.random.default_rng(seed).integers(0, 2, (n, 1, 8, 8)).astype(np.float32)
        return torch.from_numpy(x).bfloat16() if dtype == "bfloat16" else x.astype(dtype)

    x = sampled(function("mine", draw, low=0, high=1), GREY)
    expected = np.random.default_rng(5).integers(0, 2, (7, 1, 8, 8)) * 255
    np.testing.assert_array_equal(x.numpy(), expected)


def exits(code: str) -> list[str]:
    return [sys.executable, "-c", code, "{n}", "{seed}", "{out}"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: torch_module("mine", Net, p / "no.pt", latent=4), "there is nothing at"),
        (lambda p: torch_module("mine", Net, p / "net.pt", latent=4), "does not load into Net"),
        (
            lambda p: torch_module("mine", Net, p / "net.pt", latent=4, key="gen"),
            "has no entry 'gen': it holds ema, step",
        ),
        (
            lambda p: torch_module("mine", "nowhere:Net", p / "net.pt", latent=4),
            "'nowhere:Net' does not import",
        ),
        (lambda p: torchscript("mine", p / "net.pt", latent=4), "is no TorchScript file"),
        (lambda p: function("mine", grey_floats), "say which floats are black and white"),
        (
            lambda p: function(
                "mine", lambda n, seed: np.full((n, 3, 8, 8), np.nan), low=0, high=1
            ),
            "returned NaN or infinity",
        ),
        (lambda p: command("mine", ["sample", "{n}"]), "it has no place for {seed}, {out}"),
        (lambda p: command("mine", "sample {n} {seed} {out}"), "each word apart"),
        (lambda p: command("mine", ["/no/such", "{n}{seed}{out}"]), "does not start"),
        (
            lambda p: command("mine", exits("import sys; sys.exit('out of luck')")),
            "ended with exit code 1: out of luck",
        ),
        (lambda p: command("mine", exits("")), "no {out} was written"),
        (
            lambda p: command(
                "mine", exits("import sys, numpy as np; np.savez(sys.argv[3], z=np.zeros(3))")
            ),
            "wrote arrays z: name them x",
        ),
    ],
)
def test_faults_are_named(
    make: Callable[[Path], Any], message: str, tmp_path: Path, checkpoint: Path
) -> None:
    with pytest.raises(GenbenchError) as error:
        sampled(make(tmp_path), COLOUR)
    assert message in str(error.value)
    assert isinstance(error.value, PluginError | ContractError)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"layer": Path.cwd}, tmp_path / "net.pt")
    with pytest.raises(PluginError, match="does not load into Net"):
        ready(torch_module("mine", Net, tmp_path / "net.pt", latent=4), GREY)


def test_a_plugin_file_of_three_lines_is_a_generator(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        '"""Their model."""\n'
        "from genbench.adapters import function\n"
        "Theirs = function('theirs', lambda n, seed: n, kinds=('points',))\n"
    )
    assert classes_in(tmp_path / "theirs.py") == [("Theirs", "theirs")]
    ref = GeneratorRef("theirs", "Theirs", "a file", file=str(tmp_path / "theirs.py"),
                       track_source=True)  # fmt: skip
    from genbench.plugins.finding import load

    description = description_of(load(ref), ref)
    assert description.summary == "Their model."
    assert len(description.source) == 64


WRONG_RANGE = """
import numpy as np
from genbench.adapters.functions import function

def draw(n, seed):
    return np.random.default_rng(seed).random((n, 1, 8, 8))

Mine = function("mine", draw, low=-1, high=1)
"""


@pytest.mark.slow
def test_a_range_that_does_not_fit_is_told_in_terminal_and_record(
    run_genbench: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(WRONG_RANGE)
    done = run_genbench("run", "--suite", TINY.with_name("tiny-images.toml"),
                        "--plugin", "mine.py", "--no-controls", "--skip", "downstream",
                        "--no-report", "--json")  # fmt: skip
    told = "50% of the grey levels are never reached"
    assert f"note: {told}" in done.err
    (line,) = done.lines
    assert line["notes"][0].startswith(told)
    (path,) = (tmp_path / "results").glob("*/mine~*/seed-0/*/record.json")
    (note,) = json.loads(path.read_text())["resources"]["notes"]
    assert note.startswith(told)
