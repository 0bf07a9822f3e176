"""Texts in files that anyone may have written: one a line, text and label by tab, JSON lines."""

from __future__ import annotations

import codecs
import json
import unicodedata
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from genbench.errors import DataError, shorten

TEXT_FILES = (".txt", ".tsv", ".jsonl")
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before that of UTF-16, with which it begins
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_ZEROS = 0.3  # the share of NUL in Latin texts in UTF-16 is a half
# What the headings of a column of labels say, in small letters.
_HEADINGS = {"label", "labels", "class", "classes", "category", "intent", "target", "y"}
_SEEN = 4096  # bytes by which a coding is guessed
_NEW_LINES = "save it with line feeds, as by tr '\\r' '\\n'"
MOST_LABEL = 200  # characters of a class's name


@dataclass(frozen=True, slots=True)
class Line:
    """One text, its label if it has one, and the number of its line."""

    text: str
    label: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a file in its order, and the label of each, or None where none has one."""

    texts: list[str]
    labels: list[str] | None
    lines: list[int]


def parse_texts(content: bytes, name: str, *, empty: bool = False) -> Texts:
    """The texts of a ``.txt``, ``.tsv`` (text, tab, label) or ``.jsonl`` file.

    A line of the last is an object with ``text`` and perhaps ``label``.

    Parameters
    ----------
    name
        The file's name: for the format and for errors.
    empty
        Whether a JSON line may hold an empty text, as a generator may make one.

    Raises
    ------
    DataError
        If it is not UTF-8, a line is empty, ends as those of old Macs or is not of the format, a
        text or label holds a control character or half a surrogate pair, the first line is a
        heading, or some lines have labels and others none.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in TEXT_FILES:
        raise DataError(f"{name} is no {', '.join(TEXT_FILES)}: give one of these")
    read = {".txt": _plain, ".tsv": _tabbed, ".jsonl": _json}[suffix]
    found = []
    for number, line in enumerate(_decoded(content, name).split("\n"), start=1):
        where = f"{name}, line {number}"
        if not line.strip():
            raise DataError(f"{where} is empty: remove it")
        line = line.removesuffix("\r")
        if "\r" in line:
            raise DataError(f"{where} holds a carriage return, as old Macs end lines: {_NEW_LINES}")
        one = read(line, number, where)
        problem = _unreadable(one.text)
        if not one.text.strip() and not empty:
            problem = "has an empty text: remove it"
        if problem is not None:
            raise DataError(f"{where} {problem}")
        found.append(one)
    if suffix == ".tsv":
        _require_no_heading(found, name)
    return _together(found, name)


def _require_no_heading(found: list[Line], name: str) -> None:
    first = str(found[0].label)
    if first.lower() in _HEADINGS and all(line.label != first for line in found[1:]):
        raise DataError(f"{name}, line 1 is {first!r} over labels, a heading: remove the line")


def require_label(label: str, where: str) -> str:
    """A label without white space around it; `DataError` unless it can be the name of a class."""
    label = label.strip()
    problem = _unreadable(label)
    if not label:
        problem = "is empty: give every text a label, or none"
    elif len(label) > MOST_LABEL:
        problem = f"has {len(label):,} characters: give classes short names"
    if problem is not None:
        raise DataError(f"{where}: the label {problem}")
    return label


def _together(found: list[Line], name: str) -> Texts:
    bare = next((line for line in found if line.label is None), None)
    labelled = next((line for line in found if line.label is not None), None)
    if bare is not None and labelled is not None:
        raise DataError(
            f"{name}, line {bare.number} has no label, line {labelled.number} has one: give all "
            "of them labels, or none"
        )
    labels = None if labelled is None else [str(line.label) for line in found]
    return Texts([line.text for line in found], labels, [line.number for line in found])


def _decoded(content: bytes, name: str) -> str:
    """The file as text without its last line's end."""
    coding = next((coding for mark, coding in _MARKS.items() if content.startswith(mark)), None)
    if coding is None and content[:_SEEN].count(0) > _ZEROS * len(content[:_SEEN]):
        coding = "UTF-16LE" if content[1:2] == b"\0" else "UTF-16BE"
    if coding is not None:
        raise DataError(f"{name} is {coding}: save it as UTF-8, as by iconv -f {coding} -t UTF-8")
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {number} is not UTF-8 (byte {content[error.start]:#04x}): save it as "
            "UTF-8, as by iconv -f LATIN1 -t UTF-8"
        ) from error
    if not text.strip():
        raise DataError(f"{name} is empty: give a text a line")
    return text.removesuffix("\n").removesuffix("\r")


def _plain(line: str, number: int, where: str) -> Line:
    return Line(line, None, number)


def _tabbed(line: str, number: int, where: str) -> Line:
    cells = line.split("\t")
    if len(cells) != 2 or not cells[1].strip():
        raise DataError(f"{where} has {len(cells)} cells: give a text, a tab and its label")
    if any(map(_quoted, cells)) or all(cell[:1] == cell[-1:] == '"' for cell in cells):
        raise DataError(
            f"{where} is quoted as in a CSV: write it without, or as JSON lines (.jsonl)"
        )
    return Line(cells[0], require_label(cells[1], where), number)


def _quoted(cell: str) -> bool:
    """Whether a cell is one that CSV writers put into quotes, for the sake of quotes in it."""
    inside = cell[1:-1]
    doubled = '"' in inside and '"' not in inside.replace('""', "")
    return len(cell) > 2 and cell[0] == cell[-1] == '"' and doubled


def _json(line: str, number: int, where: str) -> Line:
    try:
        body: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}): give an object a line") from error
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        form = '{"text": "...", "label": "..."}'
        raise DataError(f"{where} is {shorten(line, 60)!r}: write {form}")
    label = body.get("label")
    if label is not None and not isinstance(label, str | int):
        raise DataError(f"{where} has the label {label!r}: give a text or a whole number")
    return Line(body["text"], None if label is None else require_label(str(label), where), number)


def _unreadable(text: str) -> str | None:
    """The complaint about a character that no text should hold; or None."""
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs":
            return f"holds U+{ord(character):04X}, half of a surrogate pair: remove it"
        # Those of 128 and above stand in texts that were saved as Windows-1252 and read as Latin-1.
        if category == "Cc" and character < "\x80" and not character.isspace():
            return f"holds the control character U+{ord(character):04X}: remove it"
        if character == "\ufeff":
            return "holds U+FEFF, the mark at the beginning of a file, inside: remove it"
    return None
