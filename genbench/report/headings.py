"""The names by which the field knows a metric in an extractor's features, and no others.

FID is TensorFlow's Inception with its published weights; CMMD and FD-DINOv2 are numbers of one
network and one setting each; FAD is VGGish's, of clips that it hears at once. Whatever else is made
by the same formula is called after the formula, with the extractor's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from genbench import kinds
from genbench.metrics import METRICS, MetricInfo, MetricValue, split_id

TF_INCEPTION = "inception-v3-compat"
TF_WEIGHTS = ":6726825d"  # of the published file, in a signature; others make no canonical FID
DINOV2, CLIP, VGGISH = "dinov2-vitb14", "clip-vitb32", "vggish"
FRECHET_IN = MappingProxyType({DINOV2: "DINOv2 ViT-B/14", "minilm": "minilm"})  # never called FID
# Longer clips hold several stretches of VGGish's 0.96 s: FAD counts them one by one, we average.
FAD_SECONDS = 1.935
# Of the authors' code; the extractor's size of network is not theirs and stands beside the name.
CMMD: Mapping[str, Any] = MappingProxyType({
    "kernel": "rbf", "bandwidth": 10, "biased": True, "unit_length": True, "scale": 1000,
    "subsets": 0,
})  # fmt: skip


class Heading(NamedTuple):
    """What a column is called, and the features that must be said beside it, if any."""

    name: str
    features: str


def heading(metric: str, suite: Mapping[str, Any], values: Sequence[MetricValue]) -> Heading:
    """The heading of a metric's column: by its id, the suite's choices and the values there are."""
    name, extractor, _ = split_id(metric)
    info = METRICS[name]
    own = str(suite.get("protocol", {}).get("extractor", ""))
    used = "" if info.on_pixels else extractor or own
    if used in FRECHET_IN and info.says_extractor:
        return Heading(info.title.replace("FID", "FD"), FRECHET_IN[used])
    if used == CLIP and name == "mmd" and _settings(metric, suite).items() >= CMMD.items():
        return Heading("CMMD", "CLIP ViT-B/32")
    if info.says_extractor and _of_sounds(suite):
        return _of_heard(info.title, used, suite["space"])
    shown = extractor or (own if info.says_extractor else "")
    if shown == TF_INCEPTION:
        shown = _inception(info, values)
    return Heading(info.title, shown)


def _of_sounds(suite: Mapping[str, Any]) -> bool:
    kind = kinds.built_in(str(suite.get("space", {}).get("kind", "")))
    return kind is not None and kind.sounds


def _of_heard(title: str, extractor: str, space: Mapping[str, Any]) -> Heading:
    """A Frechet distance of sounds: nobody's FID, and FAD in VGGish alone."""
    seconds = space["shape"][0] / (space.get("rate") or 1)
    if extractor == VGGISH and seconds < FAD_SECONDS:
        return Heading(title.replace("FID", "FAD"), "")
    return Heading(title.replace("FID", "FD"), extractor)


def _settings(metric: str, suite: Mapping[str, Any]) -> dict[str, Any]:
    """The metric's parameters in this suite."""
    given = (m for m in suite.get("metrics", ()) if m["id"] == metric)
    return {**METRICS[split_id(metric).name].defaults, **next(given, {})}


def _inception(info: MetricInfo, values: Sequence[MetricValue]) -> str:
    """The Frechet distance of the published weights alone goes by no other name than FID."""
    if any(TF_WEIGHTS not in v.signature for v in values if v.status == "ok"):
        return f"{TF_INCEPTION}, other weights"
    return "" if info.says_extractor else TF_INCEPTION
