"""Class folders of a user's files: which class each file is of, under which number."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath

from genbench.data import ListedFile
from genbench.errors import DataError
from genbench.formats import FileTypes, in_order, synthesised

SPLIT_NAMES = {"train", "training", "valid", "val", "validation", "test", "testing"}
NAMED = 5


def files_of_set(place: Path, folder: str) -> tuple[Path, Set[str]]:
    """Where the files of a place lie, and how folders of splits are called there.

    A data set that `genbench synthesize` wrote has them in `folder`, in splits of any name.
    """
    if not place.is_dir() or not synthesised(place) or not (place / folder).is_dir():
        return place, SPLIT_NAMES
    inner = place / folder
    return inner, {path.name.lower() for path in inner.iterdir()}


def class_folders(
    names: Sequence[str], splits: Set[str], place: Path, types: FileTypes
) -> tuple[list[str], list[str]]:
    """The class folder of each file, empty where there is none, and what to tell about it.

    The first folder is the class. A folder that all lie in is looked through where all lie in
    folders below it, as those of a set that was packed as a whole. So are folders called like
    `splits`, if all are: they must hold the same class folders.
    """
    remarks = []
    paths = [PurePosixPath(name).parts for name in names]
    while len({p[0] for p in paths}) == 1 and all(len(p) > 2 for p in paths):
        if paths[0][0].lower() in splits:
            break
        remarks.append(f"all {types.many} lie in {paths[0][0]!r}: classes are the folders in it")
        paths = [p[1:] for p in paths]
    tops = {p[0].lower() for p in paths if len(p) > 1}
    if tops and tops <= splits and all(len(p) > 1 for p in paths):
        _require_same_classes(paths, place)
        remarks.append(f"folders {', '.join(sorted(tops))} are read as one set and split anew")
        paths = [p[1:] for p in paths]
    loose = [name for name, p in zip(names, paths, strict=True) if len(p) == 1]
    if len(loose) == len(paths):
        return [""] * len(paths), [*remarks, f"no labels: the {types.many} lie in no class folders"]
    if loose:
        raise DataError(
            f"{len(loose)} {types.many} lie outside the class folders: move them into one "
            f"({_some(loose)})"
        )
    return [p[0] for p in paths], remarks


def _require_same_classes(paths: Sequence[tuple[str, ...]], place: Path) -> None:
    """`DataError` if folders of splits hold other class folders than each other."""
    classes: dict[str, set[str]] = {}
    for p in paths:
        if len(p) > 2:
            classes.setdefault(p[0], set()).add(p[1])
    alone = [
        f"{name!r} is not in {', '.join(missing)}"
        for name in sorted(set().union(*classes.values()))
        if (missing := sorted(top for top, inside in classes.items() if name not in inside))
    ]
    if alone:
        raise DataError(
            f"{place}: the class folders of {', '.join(sorted(classes))} differ "
            f"({_some(alone)}): name them alike, or give one of them, such as "
            f"{place / max(classes)}"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def numbered(
    entries: Sequence[ListedFile], folders: Sequence[str], types: FileTypes
) -> tuple[list[ListedFile], list[str], list[str]]:
    """The entries with numbers for labels, the classes by number, and what to tell about it.

    Of a folder whose files are all bad there is no class.
    """
    classes = in_order({entry.label for entry in entries})
    lost = sorted(set(folders) - set(classes))
    remarks = [
        f"class {name!r} has no {types.one} that can be used: it is left out" for name in lost
    ]
    if len(classes) < 2:
        if classes and classes != [""]:
            remarks.append(f"no labels: all {types.many} lie in {classes[0]!r}")
        return [replace(entry, label="") for entry in entries], [], remarks
    number = {name: str(i) for i, name in enumerate(classes)}
    return [replace(entry, label=number[entry.label]) for entry in entries], classes, remarks
