"""`genbench export`: the file gives what the generator gives, elsewhere, and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genbench.adapters import exported
from genbench.adapters.exportfile import ExportHeader, format_of, read_header
from genbench.errors import ContractError, DataError, PluginError, UsageError
from genbench.export import Exported, export, formats
from genbench.export.target import target_of
from genbench.export.writing import sampler_of, write_sampler
from genbench.generator import Space
from genbench.plugins.contract import make_generator
from genbench.plugins.finding import GeneratorRef, classes_in, find
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from genbench.results.records import Record
from genbench.results.store import RECORD
from genbench.system import tensorfile
from tests.conftest import HERE, PLUGINS, TINY, genbench

IMAGES = HERE / "tiny-images.toml"
FORMATS = {"onnx": "onnx", "torchscript": "pt", "safetensors": "safetensors"}
pytest.importorskip("onnxruntime")


# Formats and headers, without a run.


class Net(torch.nn.Module):
    """Noise and a class to an image of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.classes = torch.nn.Linear(3, 16), torch.nn.Embedding(5, 16)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        x = torch.sigmoid(self.layer(noise) + self.classes(labels))
        return (x * 255).round().clamp(0, 255).to(torch.uint8).view(-1, 1, 4, 4)


SPACE = Space("image", (1, 4, 4), levels=256, classes=5)
HEADER = ExportHeader(
    "onnx", "mine", "1", {"latent": 3}, SPACE, 3, True, "sampler", "tiny@1.0.0", "standard",
    "sha256:0", 4, "01ABC", 1, "0.1.0",
)  # fmt: skip


def tiny_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(params=["onnx", "torchscript"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    header = replace(HEADER, format=request.param)
    path = tmp_path / f"net.{FORMATS[request.param]}"
    given = formats.inputs(3, 3, SPACE, True)
    path.write_bytes(formats.written(request.param, tiny_net(), given, header.to_text(), "mine"))
    return path


def test_a_file_gives_what_the_module_gives_for_any_n(file: Path) -> None:
    header = read_header(file)
    assert header is not None
    forward = formats.opened(header.format, file)
    given = [formats.inputs(n, 3, SPACE, True) for n in (1, 2, 50, 701)]
    trial = formats.tried(forward, tiny_net(), given, header.format, "mine")
    assert trial.values == 754 * 16
    assert trial.different <= 2, "rounding"
    assert trial.largest <= 1


def test_the_header_is_read_back_and_is_the_only_thing_that_is_read(file: Path) -> None:
    header = read_header(file)
    assert header == replace(HEADER, format=header.format if header else "onnx")
    if file.suffix == ".pt":
        with zipfile.ZipFile(file) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith("extra/genbench.export")]
            assert json.loads(archive.read(name))["record"] == "01ABC"
    else:
        import onnxruntime

        kept = onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map
        assert json.loads(kept["genbench.export"])["noise_size"] == 3


def test_an_exported_file_is_a_generator(file: Path) -> None:
    cls: Any = exported("mine", file)
    assert (cls.spec.labels, cls.spec.kinds) == ("given", ("image",))
    generator = cls(cls.spec.params(), SPACE, torch.device("cpu"))
    labels = torch.arange(20) % 5
    x = generator.sample(20, seed=3, labels=labels)
    noise = torch.empty(20, 3).normal_(generator=torch.Generator().manual_seed(3))
    expected = tiny_net()(noise, labels)
    assert int((x.int() - expected.int()).abs().max()) <= 1
    assert cls.spec.version != "1", "the file's digest is in the version"
    other = cls(cls.spec.params(), replace(SPACE, classes=4), torch.device("cpu"))
    with pytest.raises(ContractError, match=r"makes image \(1, 4, 4\) of 5 classes, asked for"):
        other.sample(2, seed=0)


def test_other_files_are_no_exports(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors")
    torch.save({"x": torch.zeros(2)}, tmp_path / "a.pt")
    for name in ("b.safetensors", "b.pt", "b.onnx", "b.npz"):
        (tmp_path / name).write_bytes(b"\x80\x03no")
    (tmp_path / "c.onnx").write_bytes(b"")
    (tmp_path / "d.pt").mkdir()
    for path in tmp_path.iterdir():
        assert read_header(path) is None, path.name
    assert read_header(tmp_path / "absent.onnx") is None
    with pytest.raises(PluginError, match="was not written by genbench export"):
        exported("mine", tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("before", "after"),
    [("genbench.export/1", "genbench.export/9"), ('"noise_size": 3', '"noise_size": -3'),
     ('"seed": 4', '"sead": 4'), ("{", "[")],
)  # fmt: skip
def test_a_header_of_another_form_is_told(tmp_path: Path, before: str, after: str) -> None:
    text = replace(HEADER, format="safetensors").to_text()
    assert before in text
    data = formats.to_safetensors({"w": torch.zeros(2)}, text.replace(before, after, 1))
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.safetensors has a header of genbench export that can"):
        read_header(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("net.bin", None, r"suffix '\.bin': name it net\.onnx or \.pt or \.safetensors"),
        ("net", "onnx", r"suffix 'of nothing': name it net\.onnx for onnx"),
        ("net.onnx", "torchscript", r"name it net\.pt or \.pth or \.ts for torchscript"),
    ],
)
def test_the_suffix_and_the_format_agree(name: str, asked: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        format_of(Path(name), asked)


def test_what_lies_there_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("mine")
    (tmp_path / "link.onnx").symlink_to("nowhere")
    for name in ("a.onnx", "link.onnx"):
        with pytest.raises(UsageError, match="is there already: pass --overwrite"):
            target_of(tmp_path / name, None, False)
    assert target_of(tmp_path / "a.onnx", None, True).format == "onnx"
    (tmp_path / "b.onnx").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        target_of(tmp_path / "b.onnx", None, True)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.adapters.exportfile.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'genbench\[onnx\]'"):
        target_of(tmp_path / "a.onnx", None, False)
    assert target_of(tmp_path / "a.pt", None, False).format == "torchscript"


# Samplers that are not what the contract says.

PLUGIN = PLUGINS / "exports.py"
POINTS = Space("points", (2,))


@pytest.mark.parametrize(
    ("attr", "message"),
    [
        ("Bare", "has no sampler and no decode"),
        ("Sized", "offers sampler but no noise_size"),
        ("Drawing", "sampler returned other rows for the same noise: it draws some itself"),
        ("Branching", "no branch of it may depend on the data or on n"),
        ("Whole", "the tensor that generator 'whole': sampler returned has dtype torch.int64"),
        ("NoModule", "sampler is a function, expected a torch.nn.Module"),
    ],
)
def test_a_sampler_that_cannot_be_trusted_is_refused(
    attr: str, message: str, tmp_path: Path
) -> None:
    (name,) = [spec for cls, spec in classes_in(PLUGIN) if cls == attr]
    ref = GeneratorRef(name, attr, "a test", file=str(PLUGIN))
    generator = make_generator(ref, {}, POINTS, torch.device("cpu"))
    header = replace(HEADER, format="torchscript", generator=name, space=POINTS, labels=False)
    with pytest.raises(ContractError, match=message):
        write_sampler(sampler_of(generator, POINTS), header, tmp_path / "a.pt")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points of a plugin's generators, trained."""
    folder = tmp_path_factory.mktemp("export")
    asked = ("-g", "branching", "-g", "bare", "-g", "fine:scale=0.5")
    done = genbench("run", "--suite", TINY, "--plugin", PLUGIN, *asked, "--no-controls",
                    "--no-report", cwd=folder)  # fmt: skip
    assert done.code == 0, done.err
    return folder


def of_plugin(home: Path, name: str, out: str, **more: Any) -> Exported:
    return export(name, TINY, home / out, plugins=(str(PLUGIN),), results=home / "results", **more)


@pytest.mark.slow
def test_a_refusal_is_one_line_and_leaves_no_file(home: Path) -> None:
    done = genbench("export", "branching", "--suite", TINY, "--plugin", PLUGIN, "-o", "b.pt",
                    cwd=home)  # fmt: skip
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert "branching seed 0 could not be put into torchscript" in line
    assert "no branch of it may depend on the data" in line
    assert not [path for path in home.iterdir() if "b.pt" in path.name]


@pytest.mark.slow
def test_one_without_a_sampler_says_who_has_one(home: Path) -> None:
    done = genbench("export", "bare", "--suite", TINY, "--plugin", PLUGIN, "-o", "bare.onnx",
                    cwd=home)  # fmt: skip
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "bare has no sampler to put into onnx (neither `sampler` nor `decode`)" in line
    rows = line.partition("of the rows of tiny ")[2].partition(" can be exported")[0].split(", ")
    assert {"gan", "vae", "wgan-gp"} <= set(rows)
    assert "flow" not in rows
    of_plugin(home, "bare", "bare.safetensors")
    assert set(load_file(home / "bare.safetensors")) == {"layer.weight", "layer.bias"}


@pytest.mark.slow
def test_a_plugins_points_as_float32_with_their_parameters(home: Path) -> None:
    made = of_plugin(home, "fine:scale=0.5", "fine.onnx")
    assert read_header(home / "fine.onnx") == made.header
    assert made.header.params == {"scale": 0.5}
    assert (made.header.noise_size, made.header.labels, made.different) == (2, False, 0)
    with pytest.raises(UsageError, match="is there already: pass --overwrite"):
        of_plugin(home, "fine:scale=0.5", "fine.onnx")
    with pytest.raises(UsageError, match=r"fine:scale=9\.0 seed 0 has no finished training in"):
        of_plugin(home, "fine:scale=9", "fine.onnx", overwrite=True)
    with pytest.raises(UsageError, match="names 3 generators: export one at a time"):
        export("family:gan", IMAGES, home / "all.onnx", results=home / "results")


# Baselines, there and back.

ROWS = {"gan": "gan:batch_size=16", "vae": "vae:batch_size=16"}
FILES = ("gan.onnx", "gan.safetensors", "vae.onnx", "vae.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two baselines, trained for a moment, and their files."""
    folder = tmp_path_factory.mktemp("trained")
    asked = [word for text in ROWS.values() for word in ("-g", text)]
    done = genbench("run", "--suite", IMAGES, *asked, "--no-controls", "--no-report", "--only",
                    "metrics", cwd=folder)  # fmt: skip
    assert done.code == 0, done.err
    for name in FILES:
        row = ROWS[name.partition(".")[0]]
        export(row, IMAGES, folder / name, results=folder / "results")
    return folder


def stored(folder: Path, row: str) -> tuple[Record, Path]:
    (file,) = folder.glob(f"results/*/{row}~*/seed-*/*/{RECORD}")
    return Record.from_json(json.loads(file.read_text())), file.with_name("state.safetensors")


ELSEWHERE = """
import sys
import numpy as np
import onnxruntime

given = np.load("given.npz")
fed = {name: given[name] for name in ("noise", "labels")}
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
assert [i.name for i in session.get_inputs()] == ["noise", "labels"]
np.save("there.npy", session.run(["x"], fed)[0])
assert "torch" not in sys.modules and "genbench" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_fresh_process_without_torch_draws_the_same_images(trained: Path, name: str) -> None:
    header = read_header(trained / f"{name}.onnx")
    assert header is not None
    generator = make_generator(find(name), header.params, header.space, torch.device("cpu"))
    record, state = stored(trained, name)
    generator.load_state_dict(tensorfile.load(state))
    assert (header.record, header.suite) == (record.record_id, "tiny-images@1.0.0")
    noise, labels = formats.inputs(300, header.noise_size, header.space, True)
    np.savez(trained / "given.npz", noise=noise.numpy(), labels=labels.numpy())
    words = [sys.executable, "-c", ELSEWHERE, f"{name}.onnx"]
    subprocess.run(words, cwd=trained, check=True)
    there = np.load(trained / "there.npy").astype(int)
    with torch.no_grad():
        here = sampler_of(generator, header.space).net(noise, labels).numpy().astype(int)
    assert there.shape == (300, 1, 8, 8)
    # gan: a value at the middle between two grey levels; vae: a pick on the edge of its share.
    assert (there != here).sum() <= 2
    assert name == "vae" or np.abs(there - here).max() <= 1
    assert (
        sampler_of(generator, header.space).part
        == header.module
        == ("decode", "sampler")[name == "vae"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_score_takes_every_format_back_and_finds_the_same_fid(trained: Path, file: str) -> None:
    row, _, suffix = file.partition(".")
    before = stored(trained, row)[0].metrics["pixel_fid"]
    done = genbench("score", file, "--suite", IMAGES, "--name", f"{row}-{suffix}", "--no-controls",
                    "--no-report", "--only", "metrics", cwd=trained)  # fmt: skip
    assert done.code == 0, done.err
    assert f"200 rows drawn from {file}: {row} of tiny-images@1.0.0 standard, seed 0" in done.err
    after = stored(trained, f"{row}-{suffix}")[0].metrics["pixel_fid"]
    if suffix == "safetensors":
        assert after.value == before.value, "the rows of the run themselves"
    else:
        assert before.interval is not None
        assert before.interval.low <= (after.value or 0.0) <= before.interval.high


@pytest.mark.slow
def test_what_cannot_be_scored_is_told(trained: Path, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        done = genbench("score", *words, "--no-report", cwd=trained)
        assert done.code == 2
        return done.err

    assert "score it against the former" in refused("vae.pt", "--suite", "mnist")
    assert "leave --labels out" in refused("vae.pt", "--suite", IMAGES, "--labels", "gan.onnx")
    (trained / "other.onnx").write_bytes(b"an onnx file, say")
    assert "genbench.adapters.onnx" in refused("other.onnx", "--suite", IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "dcgan", "wgan-gp", "vae", "autoencoder"])
def test_every_baseline_with_a_sampler_fits_both_formats(name: str, tmp_path: Path) -> None:
    """Operations that a format lacks, and shapes that it would fix, show after a moment's fit."""
    space, cpu = Space("image", (1, 8, 8), levels=17, classes=10), torch.device("cpu")
    x = torch.randint(0, 17, (200, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    generator, budget = make_generator(find(name), {}, space, cpu), Budget(200)
    data = MemoryTrainData(x, torch.arange(200) % 10, space, cpu, budget)
    generator.fit(data, HarnessRun(0, cpu, budget))
    for format_, suffix in (("onnx", "onnx"), ("torchscript", "pt")):
        header = replace(HEADER, format=format_, generator=name, space=space)
        trial = write_sampler(sampler_of(generator, space), header, tmp_path / f"a.{suffix}")
        assert trial.different <= 2
