"""The idx format of the MNIST family: ``FILE-images`` and ``FILE-labels``, plain or gzip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import check_files, declared, read_checked
from genbench.data.rows import row_range
from genbench.data.split import Split
from genbench.errors import DataError
from genbench.generator import Space

verify = check_files


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows of ``FILE-images``, uint8 ``(n, C, H, W)``, and of ``FILE-labels``."""
    rows = row_range(dataset, split)
    images = _file(dataset, f"{rows.file}-images")
    part = rows.within(len(images))
    channels = (1,) if images.ndim == 3 else ()
    x = images[part].reshape(-1, *channels, *images.shape[1:]).copy()
    if space.classes == 0:
        return Split(x, None)
    labels = _file(dataset, f"{rows.file}-labels")
    if labels.shape != (len(images),):
        raise DataError(
            f"{rows.file}-labels of data set {dataset['name']!r} has shape {labels.shape}, "
            f"{rows.file}-images has {len(images)} rows: restore the two files together"
        )
    return Split(x, labels[part].astype(np.int64))


def _file(dataset: Mapping[str, Any], role: str) -> NDArray[np.uint8]:
    entry = declared(dataset, role)
    return parse_idx(read_checked(dataset, entry), entry["path"])


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array, uint8 of 1 to 4 axes, in an idx file (``00 00 08 ndim``, big-endian sizes).

    `DataError` if the header is not that of such a file, or the length is not what it says.
    """
    magic = content[:4]
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4:
        raise DataError(
            f"data file {name} begins with bytes {magic.hex(' ') or 'none'}, expected an idx file "
            "of unsigned bytes (00 00 08 and 1 to 4 dimensions): restore it from its source"
        )
    start = 4 + 4 * magic[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    size = start + math.prod(shape)
    if len(content) != size:
        raise DataError(
            f"data file {name} has {len(content)} bytes, its header says shape {shape}, which is "
            f"{size}: it is truncated or padded; restore it from its source"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
