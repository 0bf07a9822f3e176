"""Sample sounds of a cell as a page plays them: wav in base64, beside a picture of the spectrum.

The page's policy forbids it to load media, data URIs too: its script decodes the clips itself.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genbench.errors import DataError
from genbench.report.images import INK, ArtefactError, Picture, artefact, encode, read
from genbench.report.placing import Place, RowSamples, Shown, ShownSound
from genbench.report.rows import Table
from genbench.report.text import number
from genbench.results import Entry
from genbench.system import read_npz

GENERATED, REAL = "sounds", "real-sounds"
TITLES = {GENERATED: "Generated, with the nearest training clip", REAL: "Real test clips"}
MOST_CLIPS, MOST_SECONDS, MOST_RATE = 12, 4, 48_000
MOST_BYTES = 64_000_000  # of an artefact's arrays
SEGMENT, HOP = 256, 64
HEIGHT, WIDTH = 64, 128  # pixels of a spectrogram
RANGE = 60.0  # dB that it shows, below its loudest point


def shown(entry: Entry, role: str, classes: Sequence[str], place: Place) -> Shown:
    """The clips of an artefact as they appear in a page, or why they do not."""
    try:
        return Shown(TITLES[role], sounds=_clips(entry, role, classes, place))
    except ArtefactError as error:
        return Shown(TITLES[role], missing=f"Not shown: {error}.")


def gallery(board: Table, place: Place) -> tuple[tuple[Shown, ...], tuple[RowSamples, ...]]:
    """Real clips once, and each row's own."""
    real: tuple[Shown, ...] = ()
    samples = []
    for row in board.rows:
        entry = next((e for e in row.done if artefact(e, GENERATED)), None)
        if entry is None:
            continue
        if not real:
            found = shown(entry, REAL, board.classes, place)
            real = (found,) if found.sounds else ()
        pictures = (shown(entry, GENERATED, board.classes, place),)
        samples.append(RowSamples(row, entry.record.seed, pictures))
    return real, tuple(samples)


def _clips(entry: Entry, role: str, classes: Sequence[str], place: Place) -> tuple[ShownSound, ...]:
    data = read(entry, role)
    try:
        arrays = read_npz(io.BytesIO(data), "it", max_bytes=MOST_BYTES)
        x, rate = arrays["x"], int(arrays["rate"])
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"it is not a usable npz ({error})") from error
    near, far = arrays.get("nearest"), arrays.get("distance")
    given = [x] if near is None else [x, near]
    if not all(_usable(clips, rate) and clips.shape == x.shape for clips in given):
        raise ArtefactError("it holds no clips of 16 bits at a usual sampling rate")
    found = []
    for i in range(min(len(x), MOST_CLIPS)):
        distance = None if far is None or far.shape != x.shape[:1] else float(far[i])
        found.append(ShownSound(
            label=_named(arrays.get("y"), i, classes),
            wav=_wav(x[i], rate), picture=_placed(x[i], place),
            nearest="" if near is None else _wav(near[i], rate),
            nearest_picture=None if near is None else _placed(near[i], place),
            distance="" if distance is None else f"{number(distance, 2)} dB",
        ))  # fmt: skip
    return tuple(found)


def _usable(x: NDArray[Any], rate: int) -> bool:
    clips = x.ndim == 2 and x.dtype == np.int16 and len(x) > 0
    return clips and 0 < rate <= MOST_RATE and 0 < x.shape[1] <= MOST_SECONDS * rate


def _named(labels: NDArray[Any] | None, row: int, classes: Sequence[str]) -> str:
    if labels is None or labels.ndim != 1 or row >= len(labels) or labels.dtype.kind not in "iu":
        return ""
    label = int(labels[row])
    return classes[label] if 0 <= label < len(classes) else str(label)


def _wav(clip: NDArray[np.int16], rate: int) -> str:
    """A wav file of one channel and 16 bits, in base64."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(clip.astype("<i2").tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def _placed(clip: NDArray[np.int16], place: Place) -> Shown:
    picture = spectrogram(clip)
    return Shown("spectrum over time", place(picture), picture.width, picture.height)


def spectrogram(clip: NDArray[np.int16]) -> Picture:
    """Power over time (to the right) and frequency (upwards), 60 dB from white to dark."""
    x = clip.astype(np.float64) / 32768
    x = np.pad(x, (0, max(0, SEGMENT - len(x))))
    starts = np.arange(0, len(x) - SEGMENT + 1, HOP)
    frames = x[starts[:, None] + np.arange(SEGMENT)] * np.hanning(SEGMENT)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    decibels = 10 * np.log10(power.T / max(float(power.max()), 1e-12) + 1e-12)
    share = np.clip(1 + decibels / RANGE, 0, 1)[::-1]
    at = np.linspace(0, 1, len(INK))
    rgb = np.stack([np.interp(share, at, INK[:, c]) for c in range(3)], -1)
    image = Image.fromarray(rgb.round().astype(np.uint8))
    return encode(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
