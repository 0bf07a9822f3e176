"""Sample pictures of a cell: generated rows, real rows, and each one's nearest training row."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from genbench import kinds
from genbench.data import Split
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.running.codesplan import PAIRS, STEPS, pictured
from genbench.running.recording import CODES
from genbench.running.shown_sounds import write_sounds
from genbench.running.shown_texts import write_texts
from genbench.system import save_arrays, write_bytes

Array = npt.NDArray[Any]

COLUMNS = 10
POINTS = 2000


def write_pictures(
    folder: Path,
    space: Space,
    samples: Mapping[str, Array],
    real: Split,
    train: Split,
    words: Vocabulary | None,
    alike: Callable[[Array], Array | None],
) -> dict[str, str]:
    """Write the pictures that suit the space into `folder`; returns role -> file name.

    Images: ``grid`` and ``real`` show `COLUMNS` rows of each class, ``neighbours`` shows generated
    rows above the training rows nearest to them in pixels. Points: the first `POINTS` rows. Texts,
    where there are `words` to spell them, with what is `alike`: see `write_texts`.
    """
    if words is not None:
        return write_texts(folder, space, samples, real, train, words, alike)
    drawn = _DRAWN.get(kinds.of(space.kind).shown_as)
    return {} if drawn is None else drawn(folder, space, samples, real, train)


def _scatter(
    folder: Path, space: Space, samples: Mapping[str, Array], real: Split, train: Split
) -> dict[str, str]:
    save_arrays(folder / "points.npz", {"x": samples["x"][:POINTS]})
    save_arrays(folder / "real-points.npz", {"x": real.x[:POINTS]})
    return {"points": "points.npz", "real-points": "real-points.npz"}


def _grid(
    folder: Path, space: Space, samples: Mapping[str, Array], real: Split, train: Split
) -> dict[str, str]:
    top = space.levels - 1
    picks = _per_class(samples["x"], samples.get("y"), space.classes)
    save_png(folder / "grid.png", picks, top)
    save_png(folder / "real.png", _per_class(real.x, real.y, space.classes), top)
    chosen = samples["x"][:: max(1, len(samples["x"]) // (2 * COLUMNS))][: 2 * COLUMNS]
    near = train.x[nearest(chosen, train.x)]
    rows = []
    for start in range(0, len(chosen), COLUMNS):
        rows += [chosen[start : start + COLUMNS], near[start : start + COLUMNS]]
    save_png(folder / "neighbours.png", rows, top)
    return {"grid": "grid.png", "real": "real.png", "neighbours": "neighbours.png"}


# A way that nobody draws yet leaves a cell without pictures.
_DRAWN: Mapping[str, Callable[..., dict[str, str]]] = {
    "grid": _grid, "scatter": _scatter, "player": write_sounds,
}  # fmt: skip


def write_codes(folder: Path, space: Space, found: Mapping[str, Array], real: Split) -> None:
    """Write what a look inside found as pictures, beside the reference rows it began with.

    ``reconstructions``: two rows of each class, each above what was given back of it.
    ``interpolations``: from one of them to the other. ``traversals``: numbers of a code moved.
    """
    if kinds.of(space.kind).shown_as != "grid":
        return
    top, pairs = space.levels - 1, pictured(real.y, len(real.x))
    sheets: dict[str, list[Array]] = {"traversals": list(found.get("traversed", ()))}
    if len(found.get("rebuilt", ())) == len(real.x):
        sides = (real.x, found["rebuilt"])
        sheets["reconstructions"] = [x[pairs[:, end]] for end in (0, 1) for x in sides]
    if len(steps := found.get("interpolated", ())) == len(pairs):
        ends = real.x[pairs]  # (pairs, 2, C, H, W)
        whole = np.concatenate([ends[:, :1], steps, ends[:, 1:]], 1) if len(pairs) else ()
        sheets["interpolations"] = list(whole)
    for role, rows in sheets.items():
        if rows:
            save_png(folder / CODES[role], [row[: STEPS + 2] for row in rows[: 2 * PAIRS]], top)


def nearest(x: Array, train: Array) -> npt.NDArray[np.int64]:
    """Index of the training row nearest to each row of `x`, Euclidean in pixels."""
    a = x.reshape(len(x), -1).astype(np.float32)
    best = np.full(len(a), np.inf, np.float32)
    index = np.zeros(len(a), np.int64)
    for start in range(0, len(train), 10_000):
        b = train[start : start + 10_000].reshape(-1, a.shape[1]).astype(np.float32)
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
        found = squared.argmin(1)
        value = squared[np.arange(len(a)), found]
        closer = value < best
        best[closer], index[closer] = value[closer], start + found[closer]
    return index


def save_png(path: Path, rows: list[Array], top: int) -> None:
    """Write rows of images, each ``(k, C, H, W)`` in ``0 .. top``, as one PNG."""
    width = max(len(row) for row in rows)
    channels, height, side = rows[0].shape[1:]
    sheet = np.full(
        (len(rows) * (height + 1) - 1, width * (side + 1) - 1, channels), top / 2, np.float32
    )
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            y, x = r * (height + 1), c * (side + 1)
            sheet[y : y + height, x : x + side] = image.transpose(1, 2, 0)
    pixels = np.rint(sheet * (255 / top)).clip(0, 255).astype(np.uint8)
    if channels not in (1, 3):
        pixels = pixels[:, :, :1]
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    scale = max(1, 28 // side)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())


def _per_class(x: Array, y: Array | None, classes: int) -> list[Array]:
    """`COLUMNS` rows of each class, or of the first hundred where there are no classes."""
    if y is None or not classes:
        return [x[i : i + COLUMNS] for i in range(0, min(len(x), COLUMNS**2), COLUMNS)]
    return [x[y == c][:COLUMNS] for c in range(min(classes, 20))]
