"""Artefacts as pictures: checked against their hash, decoded, and encoded again by us."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from genbench.errors import DataError
from genbench.results import Artifact, Entry
from genbench.system import read_npz

MAX_BYTES = 8_000_000
MAX_PIXELS = 4_000_000
MAX_CLOUD_BYTES = 64_000_000
MAX_SIDE = 1200
THUMBNAIL, TILES = 264, 4  # pixels of a side, and samples along it
MAX_POINTS = 20_000
LOG_TAIL_BYTES = 20_000
INK = np.array([[255, 255, 255], [191, 219, 226], [98, 168, 190], [28, 108, 138], [8, 48, 74]])


Limits = tuple[float, float, float, float]  # left, right, bottom, top


class ArtefactError(Exception):
    """An artefact that cannot be shown; the text says why and goes into the report."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG made by us."""

    data: bytes
    width: int
    height: int

    @property
    def name(self) -> str:
        """A file name that depends on the content only."""
        return f"{hashlib.sha256(self.data).hexdigest()[:20]}.png"

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.data).decode()


def artefact(entry: Entry, role: str) -> Artifact | None:
    """The entry's first artefact of this role."""
    return next((a for a in entry.record.artifacts if a.role == role), None)


def read(entry: Entry, role: str) -> bytes:
    """The verified bytes of an artefact: inside its folder, no links, not too big, hash as stated.

    `ArtefactError`, with the reason, if it is anything else or the record has none of this role.
    """
    found = artefact(entry, role)
    if found is None:
        raise ArtefactError("the record has none")
    if entry.folder is None:
        raise ArtefactError("not kept with this record")
    relative = PurePosixPath(found.path)
    if relative.is_absolute() or not relative.parts or ".." in relative.parts or "\0" in found.path:
        raise ArtefactError("its path leaves the folder of the record")
    path = entry.folder
    for part in relative.parts:
        path = path / part
        if os.path.islink(path):
            raise ArtefactError("its path is a link")
    data = _bytes(path)
    if hashlib.sha256(data).hexdigest() != found.sha256.removeprefix("sha256:"):
        raise ArtefactError("its content does not match the record's sha256")
    return data


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ArtefactError("the file is not in this copy of the records")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"the file cannot be read: {type(error).__name__}") from error
    if len(data) > MAX_BYTES:
        raise ArtefactError(f"the file is larger than {MAX_BYTES:,} bytes")
    return data


def grid_picture(entry: Entry, role: str) -> Picture:
    """A PNG artefact, decoded and encoded again; `ArtefactError` if that cannot be."""
    return _clean(read(entry, role))


def thumbnail(entry: Entry, side: int) -> Picture:
    """The first samples of the artefact ``grid``, whose images have this `side` (0: unknown).

    `ArtefactError` if it cannot be decoded.
    """
    image = _decoded(read(entry, "grid"))
    tile = (side + 1) * max(1, 28 // side) if side else THUMBNAIL  # as the worker lays them out
    most = max(1, min(image.width, image.height, TILES * tile - tile // (side + 1)))
    cut = image.crop((0, 0, most, most))
    cut.thumbnail((THUMBNAIL, THUMBNAIL))
    return encode(cut)


@lru_cache(maxsize=8)  # the real rows are one picture in all cells
def _clean(data: bytes) -> Picture:
    clean = _decoded(data)
    clean.thumbnail((MAX_SIDE, MAX_SIDE))
    return encode(clean)


def _decoded(data: bytes) -> Image.Image:
    """A PNG that anybody may have written, as grey or RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ArtefactError(f"it has more than {MAX_PIXELS:,} pixels")
                grey = image.mode in ("1", "L", "I", "I;16", "LA")
                return image.convert("L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise ArtefactError(f"it is not a usable PNG ({type(error).__name__})") from error


def encode(image: Image.Image) -> Picture:
    """A picture as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return Picture(buffer.getvalue(), image.width, image.height)


def cloud(entry: Entry, role: str) -> np.ndarray:
    """A point-cloud artefact ``(n, 2)`` float64 (first two dimensions), or `ArtefactError`."""
    data = read(entry, role)
    try:
        x = read_npz(io.BytesIO(data), "it", max_bytes=MAX_CLOUD_BYTES)["x"]
    except (DataError, KeyError) as error:
        raise ArtefactError(f"it is not a usable npz ({error})") from error
    if x.ndim != 2 or x.shape[1] < 2 or x.dtype.kind not in "fiu" or not np.isfinite(x).all():
        raise ArtefactError("it holds no finite (n, 2) array")
    return np.asarray(x[:MAX_POINTS, :2], dtype=np.float64)


def frame(x: np.ndarray) -> Limits:
    """Left, right, bottom, top of a square around the cloud `x`, with a margin."""
    centre = (x.max(0) + x.min(0)) / 2
    half = 0.58 * float((x.max(0) - x.min(0)).max()) or 1.0
    return (*(centre[0] + np.array([-half, half])), *(centre[1] + np.array([-half, half])))


def _counts(x: np.ndarray, limits: Limits, cells: int) -> np.ndarray:
    across = [[limits[2], limits[3]], [limits[0], limits[1]]]
    return np.asarray(np.histogram2d(x[:, 1], x[:, 0], bins=cells, range=across)[0])


def density_picture(x: np.ndarray, limits: Limits, cells: int = 72) -> Picture:
    """A heat map of the cloud's density over `limits`, smoothed a little."""
    counts = _counts(x, limits, cells)
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, "same")
    top = max(float(np.quantile(counts[counts > 0], 0.98)) if (counts > 0).any() else 1.0, 1e-9)
    return _ink(np.sqrt(np.clip(counts / top, 0, 1)), 4)


def scatter_picture(x: np.ndarray, limits: Limits, cells: int = 288) -> Picture:
    """The points themselves over `limits`, one dot each."""
    counts = _counts(x, limits, cells)
    spread = counts.copy()
    for axis in (0, 1):
        spread += 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return _ink(np.clip(0.75 * spread, 0, 1), 1)


def _ink(share: np.ndarray, zoom: int) -> Picture:
    at = np.linspace(0, 1, len(INK))
    rgb = np.stack([np.interp(share, at, INK[:, c]) for c in range(3)], -1)
    image = Image.fromarray(rgb[::-1].round().astype(np.uint8))
    size = (image.width * zoom, image.height * zoom)
    return encode(image.resize(size, Image.Resampling.BILINEAR) if zoom > 1 else image)


def log_tail(entry: Entry) -> str:
    """The end of the log artefact, or a sentence that says why it is not shown."""
    try:
        data = read(entry, "log")
    except ArtefactError as error:
        return f"(log not shown: {error})"
    text = data[-LOG_TAIL_BYTES:].decode("utf-8", "replace").replace("\r\n", "\n")
    return text if len(data) <= LOG_TAIL_BYTES else "…\n" + text.partition("\n")[2]
