"""Numbers in a CSV file, read strictly: what could be taken for data by accident is refused.

A heading is a first line of names. Where the first line could be either (numbers that count up as
pandas writes them over an array, a missing value, a name beside numbers), and where a column could
be row numbers, the reader asks instead of guessing; `Layout` holds the answers. A number is written
in ASCII digits with a point, and nothing else is a number: no ``2020_01``, no ``1,5``, no ``inf``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError, UsageError, did_you_mean, shorten

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "inf", "infinity", "-", "--",
           "?", "."}  # fmt: skip
ROW_NUMBERS = {"", "index", "idx", "id", "row", "rows", "row_id", "rowid", "rownames", "rn", "nr",
               "no", "no.", "#"}  # fmt: skip
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
ASK = "say --header yes if it is a heading, --header no if it is a row"
FEWEST_ROWS = 10  # of a column that may be told to be row numbers: fewer are so by chance
FLOAT32_MOST = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]
Line = tuple[int, list[str]]  # its number in the file, from 1, and its cells without outer spaces


@dataclass(frozen=True, slots=True)
class Layout:
    """The facts of a CSV that only its owner knows.

    Parameters
    ----------
    header
        Whether the first line is a heading; None: only if all its cells are names.
    drop
        Columns that are no data: by heading, or ``#N`` from 1.
    keep
        Columns that are data although they look like row numbers.
    """

    header: bool | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbers:
    """The rows of a CSV: float64 ``(n, d)``, the columns' names (none without a heading)."""

    x: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def parse_csv(
    content: bytes, file: str, layout: Layout | None = None, remedy: str = ASK
) -> Numbers:
    """The numbers of a CSV, its heading apart.

    Parameters
    ----------
    file
        Its name, for messages.
    remedy
        What to do where the first line may or may not be a heading.

    Raises
    ------
    DataError
        Naming the line and the column of what is no finite number within float32's range, a line of
        another length, a first line that may or may not be a heading, or row numbers.
    UsageError
        If `layout` names a column that is not there.
    """
    lines, layout = _lines(content, file), layout or Layout()
    names = _heading(file, lines, layout.header, remedy)
    rows = lines[1:] if names is not None else lines
    if not rows:
        raise DataError(f"{file} has no rows of numbers")
    width = len(names if names is not None else rows[0][1])
    _require_widths(file, rows, width, names)
    titles = [f"#{i + 1}" for i in range(width)] if names is None else names
    dropped = {column for ref in layout.drop for column in _columns(file, ref, titles)}
    kept = [column for column in range(width) if column not in dropped]
    if not kept:
        raise UsageError(f"{file}: every column is left out: keep one")
    _require_names_once(file, titles, kept)
    allowed = {column for ref in layout.keep for column in _columns(file, ref, titles)}
    x = np.array([_row(file, line, kept, titles) for line in rows], np.float64)
    notes = []
    for place, column in enumerate(kept):
        if column not in allowed:
            notes += _look_like_row_numbers(file, x[:, place], column, titles, names is not None)
    if dropped:
        which = ", ".join(f"column {_title(titles, c)}" for c in sorted(dropped))
        notes.append(f"left out: {which}")
    return Numbers(x, tuple(titles[c] for c in kept) if names is not None else (), tuple(notes))


def first_cells(content: bytes, file: str) -> list[str]:
    """The cells of the first line, as they are; nothing of an empty file."""
    lines = _lines(content, file)
    return lines[0][1] if lines else []


def _lines(content: bytes, file: str) -> list[Line]:
    """The lines that hold anything; LF, CR LF and CR end a line."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4096]:
        raise DataError(f"{file} is no text in UTF-8 (UTF-16?): save it as CSV in UTF-8")
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline=None)
        reader = csv.reader(text, strict=True)
        found = [(reader.line_num, [cell.strip(" \t") for cell in cells]) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a CSV in UTF-8: {error}") from error
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: not a CSV: {error}") from error
    while found and not found[-1][1]:
        found.pop()
    # In a table of one column an empty line is a row without its value.
    blank = next((n for n, cells in found if not cells), None)
    if blank is not None and max(len(cells) for _, cells in found) == 1:
        raise DataError(f"{file}, line {blank} is empty: remove it, or fill in its value")
    return [(n, cells) for n, cells in found if cells]


# The first line: a heading or a row.


def _heading(file: str, lines: list[Line], header: bool | None, remedy: str) -> list[str] | None:
    if not lines or header is False:
        return None
    number, first = lines[0]
    if header or _is_heading(first):
        return [re.sub(r"^#\s*", "", cell) if i == 0 else cell for i, cell in enumerate(first)]
    separator = _separator(first)
    if separator:
        raise DataError(f"{file}, line {number}: {separator}")
    why = _may_be_heading(first, [cells for _, cells in lines[1:]])
    if why:
        raise DataError(f"{file}, line {number} ({shorten(','.join(first))}) {why}: {remedy}")
    return None


def _is_heading(cells: list[str]) -> bool:
    """Names all over; the first may be empty, as pandas and R leave it over row numbers."""
    named = [_is_name(cell) for cell in cells]
    return all(named[1:]) and (named[0] or (cells[0] == "" and len(cells) > 1))


def _is_name(cell: str) -> bool:
    """Text whose first letter or digit is a letter, and that does not stand for a missing value."""
    first = re.search(r"[^\W_]", cell)
    return first is not None and not first[0].isnumeric() and cell.lower() not in MISSING


def _may_be_heading(first: list[str], rest: list[list[str]]) -> str | None:
    """The reason that a first line which is no plain heading may still be one."""
    strange = [cell for cell in first if not NUMBER.fullmatch(cell)]
    if first[0] == "" and len(strange) == 1 and len(first) > 1:
        return "begins with an empty cell, as a heading over row numbers does (--drop-column '#1')"
    if strange and len(strange) < len(first):
        return f"holds {strange[0]!r} beside numbers"
    if strange:
        odd = next(cell for cell in strange if not _is_name(cell))
        return f"holds {odd!r}, which is neither a name nor a number"
    values = np.array([float(cell) for cell in first])
    if _counts_up(values):
        return "counts up, as pandas writes over an array without names"
    columns = [[r[i] for r in rest if i < len(r)] for i in range(len(first))]
    if rest and all(_is_other(cell, column) for cell, column in zip(first, columns, strict=True)):
        return "is unlike every other line"
    return None


def _counts_up(values: Floats) -> bool:
    steps = np.diff(values)
    if values[0] == 0 and (steps == 1).all():
        return True
    return len(values) >= 3 and steps[0] > 0 and bool(np.allclose(steps, steps[0], rtol=1e-6))


def _is_other(cell: str, column: list[str]) -> bool:
    """A whole number over numbers with a point, or a value far outside all below it."""
    whole = sum(c.lstrip("+-").isdigit() for c in column)
    if cell.lstrip("+-").isdigit() and whole <= 0.01 * len(column):
        return True
    numbers = [float(c) for c in column if NUMBER.fullmatch(c)]
    if len(numbers) < FEWEST_ROWS:
        return False
    low, high = min(numbers), max(numbers)
    reach = 2 * (high - low)
    return high > low and not low - reach <= float(cell) <= high + reach


# Cells.


def _require_names_once(file: str, titles: list[str], kept: list[int]) -> None:
    """Samples are told by the columns' names: two of one name could be taken for each other."""
    first: dict[str, int] = {}
    for column in kept:
        other = first.setdefault(titles[column], column)
        if titles[column] and other != column:
            raise DataError(
                f"{file}: columns {other + 1} and {column + 1} are both called "
                f"{shorten(titles[column])!r}: rename one, or leave one out with "
                f"--drop-column '#{column + 1}'"
            )


def _require_widths(file: str, rows: list[Line], width: int, names: list[str] | None) -> None:
    for number, cells in rows:
        if len(cells) == width:
            continue
        hint = _separator(cells) or _width_hint(cells, width, names)
        problem = f"{file}, line {number}: {len(cells)} columns, expected {width}"
        raise DataError(f"{problem}: {hint}" if hint else problem)


def _width_hint(cells: list[str], width: int, names: list[str] | None) -> str:
    """The likely cause of a line wider or narrower than the heading or the first row."""
    if len(cells) == 2 * width and not any("." in cell for cell in cells):
        return "are there decimal commas? Write points"
    if names is not None and width == 1 and len(cells) > 2:
        return f"is {shorten(names[0])!r} a remark above the heading? Remove it"
    if names is not None and len(cells) == width + 1:
        return "are there row numbers without a heading? Leave them out, or name them"
    return ""


def _row(file: str, line: Line, kept: list[int], titles: Sequence[str]) -> list[float]:
    number, cells = line
    values = []
    for column in kept:
        cell = cells[column]
        value = float(cell) if NUMBER.fullmatch(cell) else None
        if value is None or abs(value) > FLOAT32_MOST:
            raise DataError(
                f"{file}, line {number}, column {_title(titles, column)}: {shorten(cell)!r} is no "
                f"finite number{_remedy(cell)}"
            )
        values.append(value)
    return values


def _remedy(cell: str) -> str:
    if NUMBER.fullmatch(cell):
        return " of float32: scale the column"
    separator = _separator([cell])
    if separator:
        return f": {separator}"
    if re.fullmatch(r"[+-]?\d[\d.' ]*,[\d,.' ]*", cell):
        return ": write a decimal point, and no separators of thousands"
    if re.fullmatch(r"[\d_.+-]+", cell) and "_" in cell:
        return ": an underscore is no part of a number (--drop-column leaves the column out)"
    if cell.lower().lstrip("+-") in MISSING:
        return ": remove the row or fill it"
    return ": remove or fill it; a column of text can be left out with --drop-column"


def _separator(cells: Sequence[str]) -> str | None:
    """The separator that is used in place of commas, and what to do about it."""
    found = next((name for sep, name in SEPARATORS.items() if any(sep in c for c in cells)), None)
    if found is None and any(
        len(parts := cell.split()) > 1 and all(NUMBER.fullmatch(p) for p in parts) for cell in cells
    ):
        found = "spaces"
    return found and f"columns are separated by {found}: save it with commas (and decimal points)"


# Columns that are no data.


def _columns(file: str, ref: str, titles: Sequence[str]) -> list[int]:
    """The columns of this heading, or number ``#N``."""
    found = [i for i, title in enumerate(titles) if title == ref]
    if found:
        return found
    numbered = re.fullmatch(r"#([0-9]{1,9})", ref)
    if numbered and 1 <= int(numbered[1]) <= len(titles):
        return [int(numbered[1]) - 1]
    known = [title for title in titles if title]
    raise UsageError(
        f"{file} has no column {shorten(ref)!r}: {did_you_mean(ref, known)}; "
        f"or #1 to #{len(titles)}"
    )


def _look_like_row_numbers(
    file: str, x: Floats, column: int, titles: Sequence[str], named: bool
) -> list[str]:
    """Refuse row numbers; tell of what may be some."""
    name = titles[column].lower() if named else ""
    pandas = named and (name == "" or name.startswith("unnamed:"))
    if not pandas and (len(x) < FEWEST_ROWS or not _all_different_whole(x)):
        return []
    which = f"column {_title(titles, column)}"
    low, high = x.min(), x.max()
    out = f"--drop-column '{titles[column] or f'#{column + 1}'}'"
    grows = bool((np.diff(x) > 0).all())
    if pandas or high - low == len(x) - 1 or (grows and column == 0 and name in ROW_NUMBERS):
        what = "has no name" if pandas else f"counts the rows ({low:.0f} to {high:.0f})"
        raise DataError(
            f"{file}: {which} {what}: leave it out with {out}, or say that it is data with "
            f"{out.replace('drop', 'keep')}"
        )
    if grows or name in ROW_NUMBERS:
        return [f"{which} is another whole number in every row: if it is an id, {out}"]
    return []


def _all_different_whole(x: Floats) -> bool:
    return bool((x == np.rint(x)).all()) and len(np.unique(x)) == len(x)


def _title(titles: Sequence[str], column: int) -> str:
    title: Any = titles[column]
    return title.removeprefix("#") if title == f"#{column + 1}" else repr(shorten(title))
