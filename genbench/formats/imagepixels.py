"""The pixels of one image file, as a viewer shows them.

Nothing is resized or flattened unless a `Fitting` says so, and nothing requantised: what does not
fit a space as it is, is named. No file costs more memory than one image of the space, or than
`MOST_PIXELS` where it is resized, whatever its header or its compression claims.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genbench.formats.imagefit import Fitting
from genbench.formats.mediafiles import BadFile, FileTypes
from genbench.generator import Space

IMAGE_FILES = FileTypes(
    "image",
    "images",
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm",
    ),
    (
        ".apng", ".arw", ".avif", ".cr2", ".cr3", ".cur", ".dcm", ".dds", ".dib", ".dng", ".eps",
        ".exr", ".hdr", ".heic", ".heif", ".ico", ".j2k", ".jif", ".jp2", ".jpx", ".jxl", ".jxr",
        ".nef", ".pcx", ".psd", ".qoi", ".raw", ".sgi", ".svg", ".svgz", ".tga", ".xbm", ".xpm",
    ),
    "save it as PNG",
)  # fmt: skip
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MOST_PIXELS = 1 << 26  # of a file that is decoded to be resized, or for its orientation alone
AS_IS = Fitting()

_DEEP_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa")
_DEEPEST = 255  # the greatest value of a sample of 8 bits
_NO_IMAGE = "is corrupt or no image of a type that is read"

# Tag 0x0112 of EXIF, TIFF and XMP: what turns the stored pixels upright. 1 is upright already.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)  # those that exchange width and height

# What a PNG that has an orientation must hold; without any it need not be decoded to know.
_PNG_MARKS = (b"eXIf", b"Raw profile type", b"iTXt")


class BadImage(BadFile):
    """One file that is not an image of the space."""


class OtherSize(BadImage):
    """An image of another size than the space's."""


class Transparent(BadImage):
    """An image that something can be seen through."""


class InColour(BadImage):
    """A colour image where the space is grey."""


def decode(
    data: bytes,
    space: Space,
    *,
    upright: bool = True,
    deep: bool = False,
    fitting: Fitting = AS_IS,
) -> NDArray[np.uint8]:
    """One image of the space, uint8 ``(C, H, W)``, turned upright as its orientation tag says.

    Without `upright` the pixels stay as they are stored, and where `deep` is set colours of 16 bits
    are cut to 8: the first readers of image folders took them so. `fitting` says what is done to
    an image that is of another size, or transparent.

    A grey image fits a colour space, and a colour image whose channels are equal a grey one; alpha
    that lets nothing through is dropped. Every other difference is told, not repaired.

    Raises
    ------
    BadImage
        If the bytes are no image of the space, with the reason.
    """
    if not data:
        raise BadImage("is empty")
    channels, height, width = space.shape
    resized = fitting.side is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which viewers pass over too
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Only the header is read here: a giant one costs nothing.
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if resized:
                _check_giant(image)
            elif sorted(image.size) != sorted((height, width)):  # lying or upright: known later
                _check_size(image.height, image.width, height, width)
            _check_header(image, deep)
            image.load()
            image = _upright(image) if upright else image
            if not resized:
                _check_size(image.height, image.width, height, width)
            pixels = np.asarray(_resized(_opaque(image, fitting.background), fitting), np.uint8)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("claims a giant size in its header") from error
    except Exception as error:  # Pillow's decoders raise many types on malformed bytes
        raise BadImage(f"{_NO_IMAGE} ({_reason(error)})") from error
    x = _fit_channels(pixels, channels)
    if int(x.max()) >= space.levels:
        raise BadImage(
            f"has grey levels up to {int(x.max())}, the space has 0..{space.levels - 1}",
            "save the levels themselves",
        )
    return np.ascontiguousarray(x)


def header(data: bytes) -> tuple[int, int, int]:
    """Channels (1 or 3), height and width of the upright image; `BadImage` without a header."""
    if not data:
        raise BadImage("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            height, width = _upright_size(image, data)
    except Exception as error:
        raise BadImage(f"{_NO_IMAGE} ({_reason(error)})") from error
    return (1 if image.mode in ("1", "L", "LA", *_DEEP_GREY) else 3, height, width)


def _upright(image: Any) -> Any:
    """The decoded image, turned; TIFFs are turned by Pillow, which then drops the tag."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Any, data: bytes) -> tuple[int, int]:
    """Height and width once the image is upright, from the header where that is enough."""
    if image.format == "TIFF":  # some releases of Pillow exchange them on opening, others later
        width, height = int(image.tag_v2[256]), int(image.tag_v2[257])
    else:
        width, height = image.size
    if width == height or (image.format == "PNG" and not _may_lie(image, data)):
        return height, width
    return (width, height) if _orientation(image) in _LYING else (height, width)


def _may_lie(image: Any, data: bytes) -> bool:
    """Whether a PNG, whose metadata may follow its pixels, is worth decoding for them."""
    small = image.width * image.height <= MOST_PIXELS
    return small and any(mark in data for mark in _PNG_MARKS)


def _orientation(image: Any) -> int:
    """1 to 8; 1 for what is no orientation, as in viewers."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata that cannot be read turn nothing
        return 1
    return found if found in _TURNS else 1


def _check_giant(image: Any) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise BadImage(
            f"is {image.width} x {image.height}, more than {MOST_PIXELS >> 20} million pixels",
            "make it smaller yourself",
        )


def _check_header(image: Any, deep: bool) -> None:
    if getattr(image, "n_frames", 1) != 1:
        raise BadImage(f"has {image.n_frames} frames", "save one image per file")
    if image.mode in _DEEP_GREY or (not deep and _is_deep(image)):
        raise BadImage(f"has 16 bits or more per channel ({image.mode})", "save 8 bits")
    if image.mode not in ("1", "L", "P", "RGB", *_WITH_ALPHA):
        raise BadImage(f"has colour mode {image.mode}", "save it as grey or RGB")


def _is_deep(image: Any) -> bool:
    """Whether samples have more than 8 bits, of which Pillow keeps the upper 8 in colour images.

    Only the way they are stored tells it, as ``RGB;16B`` in PNG and TIFF, as the greatest value in
    PPM.
    """
    for _, _, _, stored in image.tile:
        parts = stored if isinstance(stored, tuple) else (stored,)
        if any(isinstance(part, str) and ";16" in part for part in parts):
            return True
        if image.format == "PPM" and any(type(p) is int and p > _DEEPEST for p in parts):
            return True
    return False


def _check_size(found_height: int, found_width: int, height: int, width: int) -> None:
    if (found_height, found_width) != (height, width):
        raise OtherSize(
            f"is {found_width} x {found_height}, the suite has {width} x {height}",
            "make them that size yourself, as the filter changes the numbers",
        )


def _opaque(image: Any, background: str | None) -> Any:
    """The image as grey (L) or RGB; what can be seen through it is laid on the background."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    full = image.convert("RGBA")
    if full.getchannel("A").getextrema() == (255, 255):
        return full.convert("RGB")
    if background is None:
        raise Transparent(f"has transparency ({image.mode})", "flatten it onto a background")
    return Image.alpha_composite(Image.new("RGBA", full.size, background), full).convert("RGB")


def _resized(image: Any, fitting: Fitting) -> Any:
    """The image, cut and resized as asked; one that has the size already keeps its pixels."""
    if fitting.side is None or image.size == (fitting.side, fitting.side):
        return image
    if fitting.fit == "crop" and image.width != image.height:
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        image = image.crop((left, top, left + short, top + short))
    return image.resize((fitting.side, fitting.side), Image.Resampling.BICUBIC)


def _fit_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    if channels == 1:
        if (pixels != pixels[:, :, :1]).any():
            raise InColour("is in colour, the suite is grey", "convert it yourself")
        return pixels[None, :, :, 0]
    return pixels.transpose(2, 0, 1)


def _reason(error: Exception) -> str:
    """An error's text without the address of a buffer, which differs from run to run."""
    text = str(error)
    return type(error).__name__ if "BytesIO" in text or not text else text
