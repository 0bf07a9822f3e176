"""The pictures of the suite `emoji`, made from the npm packages that hold them.

    npm pack emoji-datasource-twitter@16.0.0 emoji-datasource-google@16.0.0
    npm pack @lobehub/fluent-emoji-3d@1.1.0
    python -m genbench.suites.make_emoji PACKAGES suites/data/emoji

writes ``emoji.npz`` (``x`` uint8 ``(n, 3, 32, 32)``, ``y`` int64 ``(n,)``, the splits one after
another) and ``emoji.csv`` (a line per row: split, vendor, code points, name, category), and prints
the rows of each split. The same packages give the same bytes: all arithmetic is of whole numbers.
README.md beside this file says why each rule is as it is.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genbench.errors import DataError, GenbenchError

SIDE = 32
NEAR = 0.15  # of `distances`: nearer pictures are one picture
SHARES = (("train", 0.5), ("valid", 0.75), ("test", 1.0))  # of the concepts, up to here
CATEGORIES = (
    "Activities", "Animals & Nature", "Flags", "Food & Drink", "Objects", "People & Body",
    "Smileys & Emotion", "Symbols", "Travel & Places",
)  # fmt: skip
COLUMNS = ("split", "vendor", "concept", "name", "category")
_REGION = re.compile(r"1f1[ef][0-9a-f]-|1f3f4-e0067")  # flags of countries and their parts
_PERSON = re.compile(r"\b(1F468|1F469|1F9D1)\b")  # man, woman, person
_CHILD = re.compile(r"\b(1F466|1F467|1F9D2)\b")  # boy, girl, child
_TONE = re.compile(r"-1f3f[b-f]")  # a skin tone after what it is laid on
_ASIDE = re.compile(r"-200D-(2640|2642|27A1)\b|-FE0F\b")  # a sex, a direction, how it is shown


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's package: its file, the SHA-256 of that, and where the pictures lie in it."""

    name: str
    archive: str
    sha256: str
    pictures: str
    regions: bool = True


HELD_OUT = Vendor(
    "twemoji",
    "emoji-datasource-twitter-16.0.0.tgz",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    "package/img/twitter/64/{}.png",
)
TRAINED = (
    Vendor(
        "noto",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        "package/img/google/64/{}.png",
    ),
    Vendor(
        "fluent",
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "package/assets/{}.webp",
        regions=False,  # Fluent has none: those in the package are Noto's
    ),
)
LIST = "package/emoji.json"  # in the held-out vendor's package


@dataclass(frozen=True, slots=True)
class Concept:
    """One emoji without a skin tone: its code points, the stem of its file, name, category."""

    code: str
    stem: str
    name: str
    category: str

    @property
    def family(self) -> str:
        """The code points with no word on sex or direction: the same for all that differ in it."""
        return _CHILD.sub("CHILD", _PERSON.sub("PERSON", _ASIDE.sub("", self.code)))


@dataclass(frozen=True, slots=True)
class Row:
    """One picture, uint8 ``(32, 32, 3)``, of one concept by one vendor, in one split."""

    split: str
    vendor: str
    concept: Concept
    picture: NDArray[np.uint8]

    @property
    def place(self) -> str:
        """What rows are sorted by within a split: a mixture of vendors and categories."""
        return _digest(f"{self.concept.code} {self.vendor}".encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m genbench.suites.make_emoji")
    parser.add_argument("packages", type=Path, help="the folder with the three .tgz files")
    parser.add_argument("out", type=Path, help="the folder that emoji.npz and emoji.csv go to")
    given = parser.parse_args(arguments)
    try:
        packages = [read_package(given.packages, v, v.sha256) for v in (HELD_OUT, *TRAINED)]
    except GenbenchError as error:
        parser.error(str(error))
    rows = make(packages[0], packages[1:])
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "emoji.npz").write_bytes(npz(rows))
    (given.out / "emoji.csv").write_text(listing(rows), "utf-8")
    for split in dict.fromkeys(row.split for row in rows):
        at = [i for i, row in enumerate(rows) if row.split == split]
        print(f"{split}: rows {at[0]} to {at[-1] + 1}, {len({rows[i].concept for i in at})} ideas")


@dataclass(frozen=True, slots=True)
class Package:
    """A vendor's pictures by the stem of their file, and its list of emoji where it has one."""

    vendor: Vendor
    pictures: Mapping[str, NDArray[np.uint8]]
    listed: Sequence[Mapping[str, Any]]


def read_package(folder: Path, vendor: Vendor, sha256: str) -> Package:
    """A vendor's package from its archive; `DataError` if it is not there or another file."""
    path = folder / vendor.archive
    if not path.is_file():
        raise DataError(f"{vendor.archive} is not in {folder}: fetch it with `npm pack`")
    content = path.read_bytes()
    if _digest(content) != sha256:
        raise DataError(f"{path} has SHA-256 {_digest(content)}, expected {sha256}: fetch it anew")
    before, after = vendor.pictures.split("{}")
    found, listed = {}, []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            name = member.name
            if file is None:
                continue
            if name == LIST:
                listed = json.load(file)
            elif name.startswith(before) and name.endswith(after):
                stem = name.removeprefix(before).removesuffix(after)
                if not _TONE.search(stem):
                    found[stem] = on_white(Image.open(file))
    return Package(vendor, found, listed)


def on_white(image: Image.Image) -> NDArray[np.uint8]:
    """A picture on white as uint8 ``(32, 32, 3)``: each pixel the mean over the area it covers.

    A picture whose sides are no equal multiple of 32 is first set in the middle of a transparent
    square. Laying it on white before the mean is taken weighs each colour by how opaque it is.
    """
    rgba = np.asarray(image.convert("RGBA"), np.int64)
    side = -(-max(rgba.shape[:2]) // SIDE) * SIDE
    square = np.zeros((side, side, 4), np.int64)
    top, left = ((side - length) // 2 for length in rgba.shape[:2])
    square[top : top + rgba.shape[0], left : left + rgba.shape[1]] = rgba
    colour, alpha = square[..., :3], square[..., 3:]
    step = side // SIDE
    laid = (alpha * colour + (255 - alpha) * 255).reshape(SIDE, step, SIDE, step, 3).sum((1, 3))
    whole = 255 * step * step
    return ((2 * laid + whole) // (2 * whole)).astype(np.uint8)


def make(held_out: Package, trained: Sequence[Package]) -> list[Row]:
    """The rows of all splits, each split's together, in the order in which they are stored."""
    packages = [*trained, held_out]
    concepts = distinct(concepts_of(held_out.listed), packages)
    split_of = splits(concepts)
    rows = []
    for package in packages:
        for concept in concepts:
            split = split_of[concept]
            if package is held_out:
                if split != "test":
                    continue
                split = "vendor"
            if (picture := _picture(package, concept)) is not None:
                rows.append(Row(split, package.vendor.name, concept, picture))
    order = [name for name, _ in SHARES] + ["vendor"]
    return sorted(rows, key=lambda row: (order.index(row.split), row.place))


def concepts_of(listed: Iterable[Mapping[str, Any]]) -> list[Concept]:
    """The emoji of a package's list in Unicode's order, without parts of others (skin tones)."""
    chosen = [entry for entry in listed if entry["category"] in CATEGORIES]
    return [
        Concept(e["unified"], e["image"].removesuffix(".png"), e["name"], e["category"])
        for e in sorted(chosen, key=lambda entry: (entry["sort_order"], entry["unified"]))
    ]


def distinct(concepts: Sequence[Concept], packages: Sequence[Package]) -> list[Concept]:
    """The concepts, in order, none of which looks like an earlier one in anybody's pictures."""
    owner, pictures = [], []
    for number, concept in enumerate(concepts):
        drawn = [p for package in packages if (p := _picture(package, concept)) is not None]
        owner += [number] * len(drawn)
        pictures += drawn
    near = distances(np.stack(pictures)) < NEAR
    whose = np.array(owner)
    taken = np.zeros(len(whose), bool)
    kept = []
    for number, concept in enumerate(concepts):
        mine = whose == number
        if mine.any() and not near[mine][:, taken].any():
            taken |= mine
            kept.append(concept)
    return kept


def distances(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How unlike pictures ``(n, h, w, 3)`` are, ``(n, n)``; 0 for equal or mirrored ones.

    The root of the summed squared difference of two pictures' ink (255 less each value), mirrored
    or not, the lesser, divided by the geometric mean of the two pictures' own sums: white ground
    that all share makes nothing alike. The sums are whole numbers that float64 holds exactly.
    """
    ink = 255.0 - pictures
    flat, mirrored = (a.reshape(len(a), -1) for a in (ink, ink[:, :, ::-1]))
    own = (flat * flat).sum(1)
    common = np.maximum(flat @ flat.T, flat @ mirrored.T)
    apart = own[:, None] + own[None] - 2 * common
    found: NDArray[np.float64] = np.sqrt(apart / np.sqrt(np.maximum(own[:, None] * own, 1)))
    return found


def splits(concepts: Sequence[Concept]) -> dict[Concept, str]:
    """The split of each concept: whole families, in the order of their digests, per category."""
    found = {}
    families: dict[str, list[Concept]] = {}
    for concept in concepts:
        families.setdefault(concept.family, []).append(concept)
    for category in CATEGORIES:
        mine = {k: v for k, v in families.items() if v[0].category == category}
        total, before = sum(map(len, mine.values())), 0
        for key in sorted(mine, key=lambda family: _digest(family.encode())):
            middle = (before + len(mine[key]) / 2) / total
            before += len(mine[key])
            split = next(name for name, end in SHARES if middle < end)
            found.update(dict.fromkeys(mine[key], split))
    return found


def npz(rows: Sequence[Row]) -> bytes:
    """Pictures and classes as an npz of the same bytes at any time, LZMA inside."""
    x = np.stack([row.picture for row in rows]).transpose(0, 3, 1, 2)
    y = np.array([CATEGORIES.index(row.concept.category) for row in rows], np.int64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in (("x", x), ("y", y)):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), (1, 0), False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980, on any day
            entry.compress_type = zipfile.ZIP_LZMA
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def listing(rows: Sequence[Row]) -> str:
    """One line of CSV per row, in the order of the arrays."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        c = row.concept
        writer.writerow((row.split, row.vendor, c.code, c.name, c.category))
    return buffer.getvalue()


def _picture(package: Package, concept: Concept) -> NDArray[np.uint8] | None:
    if not package.vendor.regions and _REGION.match(concept.stem):
        return None
    return package.pictures.get(concept.stem)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
