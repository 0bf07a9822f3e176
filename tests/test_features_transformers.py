"""DINOv2 and CLIP: built from the files of their authors, named by their hash, equal to others.

The weights here are random ones of the right architecture: the path is tested, not the networks.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import DataError, UsageError
from genbench.features import published, vision_transformers
from genbench.features.extractors import list_extractors, load_extractor
from genbench.features.published import PUBLISHED
from genbench.generator import Space

DINOV2, CLIP = "dinov2-vitb14", "clip-vitb32"
COLOUR = Space("image", (3, 32, 32), levels=256)
PACKAGES = {DINOV2: "timm", CLIP: "open_clip"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in PUBLISHED:
        monkeypatch.delenv(PUBLISHED[name].variable, raising=False)


def pinned(monkeypatch: pytest.MonkeyPatch, name: str, data: bytes) -> None:
    """Let this content be what the authors published."""
    digest = hashlib.sha256(data).hexdigest()
    info = replace(PUBLISHED[name].info, sha256=digest)
    ours = {**PUBLISHED, name: replace(PUBLISHED[name], info=info)}
    monkeypatch.setattr(published, "PUBLISHED", ours)
    table = {**list_extractors(), name: info}
    monkeypatch.setattr("genbench.features.extractors._table", lambda: table)


def images(n: int, space: Space = COLOUR) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, space.levels, (n, *space.shape), dtype=np.uint8)


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random weights by name; norms begin near 1, all else near 0."""
    rng = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=rng) * 0.03 for name, shape in shapes.items()}
    for name in state:
        if ("norm" in name or "ln_" in name) and name.endswith("weight"):
            state[name] += 1
    return state


def block(p: str, d: int) -> dict[str, tuple[int, ...]]:
    return {f"{p}.weight": (d,), f"{p}.bias": (d,)}


def linear(p: str, i: int, o: int) -> dict[str, tuple[int, ...]]:
    return {f"{p}.weight": (o, i), f"{p}.bias": (o,)}


def dinov2_state() -> dict[str, Tensor]:
    """The tensors of the published file, by its names, 12 blocks of width 768."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 768), "pos_embed": (1, 1370, 768), "mask_token": (1, 768),
        "patch_embed.proj.weight": (768, 3, 14, 14), "patch_embed.proj.bias": (768,),
    }  # fmt: skip
    for i in range(12):
        at = f"blocks.{i}"
        shapes |= block(f"{at}.norm1", 768) | block(f"{at}.norm2", 768)
        shapes |= linear(f"{at}.attn.qkv", 768, 2304) | linear(f"{at}.attn.proj", 768, 768)
        shapes |= linear(f"{at}.mlp.fc1", 768, 3072) | linear(f"{at}.mlp.fc2", 3072, 768)
        shapes |= {f"{at}.ls1.gamma": (768,), f"{at}.ls2.gamma": (768,)}
    state = draw(shapes | block("norm", 768))
    return {name: x + 1 if "gamma" in name else x for name, x in state.items()}


def clip_state() -> dict[str, Tensor]:
    """The image half's tensors, and one of the other half."""
    shapes: dict[str, tuple[int, ...]] = {
        "visual.class_embedding": (768,), "visual.positional_embedding": (50, 768),
        "visual.proj": (768, 512), "visual.conv1.weight": (768, 3, 32, 32),
        "token_embedding.weight": (7, 512),
    }  # fmt: skip
    for i in range(12):
        at = f"visual.transformer.resblocks.{i}"
        shapes |= block(f"{at}.ln_1", 768) | block(f"{at}.ln_2", 768)
        shapes |= {f"{at}.attn.in_proj_weight": (2304, 768), f"{at}.attn.in_proj_bias": (2304,)}
        shapes |= linear(f"{at}.attn.out_proj", 768, 768)
        shapes |= linear(f"{at}.mlp.c_fc", 768, 3072) | linear(f"{at}.mlp.c_proj", 3072, 768)
    return draw(shapes | block("visual.ln_pre", 768) | block("visual.ln_post", 768))


def archive(state: dict[str, Tensor], path: Path) -> None:
    """A TorchScript archive with these tensors in half precision, as CLIP's authors publish."""
    root = nn.Module()
    for name, x in state.items():
        *folders, last = name.split(".")
        at: Any = root
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, nn.Module())
            at = getattr(at, folder)
        at.register_parameter(last, nn.Parameter(x.half(), requires_grad=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch would rather have another form
        torch.jit.script(root).save(str(path))


def attention(x: Tensor, qkv: tuple[Tensor, Tensor], out: tuple[Tensor, Tensor]) -> Tensor:
    """Twelve heads of 64, written out."""
    n, length, _ = x.shape
    q, k, v = F.linear(x, *qkv).view(n, length, 3, 12, 64).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(2, 3) / 8).softmax(3)
    return F.linear((weights @ v).transpose(1, 2).reshape(n, length, 768), *out)


def pillow(rows: np.ndarray) -> Tensor:
    """Rows at 224 pixels by Pillow, in [0, 1]."""
    shown = [
        np.asarray(Image.fromarray(row.transpose(1, 2, 0)).resize((224, 224), Image.BICUBIC))
        for row in rows
    ]
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2) / 255


def dinov2_by_hand(state: dict[str, Tensor], rows: np.ndarray) -> Tensor:
    s = state
    mean, spread = (torch.tensor(c)[:, None, None] for c in vision_transformers.IMAGENET_COLOURS)
    x = F.conv2d(
        (pillow(rows) - mean) / spread,
        s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=14,
    ).flatten(2).transpose(1, 2)  # fmt: skip
    grid = s["pos_embed"][:, 1:].reshape(1, 37, 37, 768).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    x = x + grid.flatten(2).transpose(1, 2)
    x = torch.cat([(s["cls_token"] + s["pos_embed"][:, :1]).expand(len(x), -1, -1), x], 1)

    def norm(x: Tensor, p: str) -> Tensor:
        return F.layer_norm(x, (768,), s[f"{p}.weight"], s[f"{p}.bias"], eps=1e-6)

    def pair(p: str) -> tuple[Tensor, Tensor]:
        return s[f"{p}.weight"], s[f"{p}.bias"]

    for at in (f"blocks.{i}" for i in range(12)):
        y = attention(norm(x, f"{at}.norm1"), pair(f"{at}.attn.qkv"), pair(f"{at}.attn.proj"))
        x = x + s[f"{at}.ls1.gamma"] * y
        y = F.gelu(F.linear(norm(x, f"{at}.norm2"), *pair(f"{at}.mlp.fc1")))
        x = x + s[f"{at}.ls2.gamma"] * F.linear(y, *pair(f"{at}.mlp.fc2"))
    return norm(x, "norm")[:, 0]


def clip_by_hand(state: dict[str, Tensor], rows: np.ndarray) -> Tensor:
    s = {name.removeprefix("visual."): x.half().float() for name, x in state.items()}
    mean, spread = (torch.tensor(c)[:, None, None] for c in vision_transformers.CLIP_COLOURS)
    x = F.conv2d((pillow(rows) - mean) / spread, s["conv1.weight"], stride=32)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([s["class_embedding"].expand(len(x), 1, -1), x], 1) + s["positional_embedding"]

    def norm(x: Tensor, p: str) -> Tensor:
        return F.layer_norm(x, (768,), s[f"{p}.weight"], s[f"{p}.bias"])

    x = norm(x, "ln_pre")
    for at in (f"transformer.resblocks.{i}" for i in range(12)):
        qkv = s[f"{at}.attn.in_proj_weight"], s[f"{at}.attn.in_proj_bias"]
        out = s[f"{at}.attn.out_proj.weight"], s[f"{at}.attn.out_proj.bias"]
        x = x + attention(norm(x, f"{at}.ln_1"), qkv, out)
        y = F.linear(norm(x, f"{at}.ln_2"), s[f"{at}.mlp.c_fc.weight"], s[f"{at}.mlp.c_fc.bias"])
        y = y * torch.sigmoid(1.702 * y)
        x = x + F.linear(y, s[f"{at}.mlp.c_proj.weight"], s[f"{at}.mlp.c_proj.bias"])
    return norm(x[:, 0], "ln_post") @ s["proj"]


CASES = [
    (DINOV2, dinov2_state, lambda state, path: torch.save(state, path), dinov2_by_hand, 768),
    (CLIP, clip_state, archive, clip_by_hand, 512),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "save", "by_hand", "dims"), CASES, ids=PACKAGES)
def test_features_are_those_of_the_network_written_out(
    name: str, make: Callable[[], Any], save: Callable[[Any, Path], None],
    by_hand: Callable[[Any, np.ndarray], Tensor], dims: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip(PACKAGES[name], reason="the extra `embeddings` is not installed")
    state, path = make(), tmp_path / "home" / "weights" / PUBLISHED[name].file
    path.parent.mkdir(parents=True)
    save(state, path)
    pinned(monkeypatch, name, path.read_bytes())
    before = torch.get_rng_state()
    extractor = load_extractor(name, COLOUR)
    x = images(2) // 3 + 80  # no filter goes beyond black and white
    found = extractor.extract(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.probabilities is None
    assert found.features.shape == (2, dims)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert extractor.identity == f"{name}/1:{digits}@224px-bicubic"
    with torch.inference_mode():
        expected = by_hand(state, x).numpy()
    away = np.linalg.norm(found.features - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert away.max() < 0.01  # a level here and there that Pillow rounds otherwise
    differ = np.linalg.norm(expected[0] - expected[1]) / np.linalg.norm(expected[0])
    assert differ > 10 * away.max()
    assert_allclose(extractor.extract(x, batch_size=1).features, found.features, atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (300, 250), (224, 224)])
def test_resizing_is_that_of_pillow(size: tuple[int, int]) -> None:
    """Of pictures that stay between black and white."""
    small = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 120 + 60
    rows = F.interpolate(small, size, mode="bilinear").byte()
    found = vision_transformers.resized(rows, 224)
    gap = (found - pillow(rows.numpy()) * 255).abs()
    assert gap.max() <= 1
    assert (gap > 0.5).float().mean() < 0.2


@pytest.mark.parametrize("name", PACKAGES)
def test_another_file_is_refused_with_both_hashes_and_the_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(PACKAGES[name], reason="the extra `embeddings` is not installed")
    other = tmp_path / "other.bin"
    other.write_bytes(b"something else")
    monkeypatch.setenv(PUBLISHED[name].variable, str(other))
    with pytest.raises(DataError, match=f"genbench data fetch {name}") as told:
        load_extractor(name, COLOUR)
    for text in (str(other), hashlib.sha256(b"something else").hexdigest(),
                 PUBLISHED[name].info.sha256):  # fmt: skip
        assert text in str(told.value)
    pinned(monkeypatch, name, b"something else")
    with pytest.raises(DataError, match=f"does not fit {name} .*: put the file"):
        load_extractor(name, COLOUR)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_file_is_named_with_its_places(name: str, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[name], reason="the extra `embeddings` is not installed")
    with pytest.raises(DataError, match=f"or run `genbench data fetch {name}`") as told:
        load_extractor(name, COLOUR)
    file = PUBLISHED[name].file
    for place in ("torch/hub/checkpoints", "home/weights"):
        assert str(tmp_path / place / file) in str(told.value)
    assert PUBLISHED[name].variable in str(told.value)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_absent_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(module: str) -> Any:
        raise ImportError(module)

    monkeypatch.setattr(vision_transformers, "import_module", absent)
    with pytest.raises(UsageError, match=rf"needs {PACKAGES[name]}, .*genbench\[embeddings\]"):
        load_extractor(name, COLOUR)


def test_only_images_of_one_or_three_channels() -> None:
    with pytest.raises(UsageError, match="reads 1 or 3 channels, the suite has 2"):
        load_extractor(DINOV2, Space("image", (2, 8, 8), levels=256))
    with pytest.raises(UsageError, match="reads image, the suite has points"):
        load_extractor(CLIP, Space("points", (2,)))
