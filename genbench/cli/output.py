"""The one door to the terminal: what passes it is harmless, fits the encoding, and is heard.

Names, parameters, messages and paths come from plugins, records and archives. No other module of
the command line writes to a stream or builds a table, so nothing can be forgotten.
"""

from __future__ import annotations

import io
import json
import os
import re
import select
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from genbench.errors import GenbenchError, one_line, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# What stands for our own signs where a terminal cannot show them; anything else becomes "?".
_PLAINER = {"±": "+/-", "≈": "~", "−": "-", "–": "-", "—": "-", "…": "...", "·": "-", "×": "x",
            "↑": "^", "↓": "v", "≤": "<=", "≥": ">=", "→": "->"}  # fmt: skip
FLOOR_STYLES = {"≈floor": "green", "~floor": "green", "floor?": "bright_black"}
_NO_LIMIT = 100_000  # a pipe has no width


class OutputError(GenbenchError):
    """A stdout that takes nothing more."""

    exit_code = 1


def harmless(text: str, *, err: bool = False) -> str:
    """`text` as one line that acts on no terminal and that the stream can encode."""
    return _encodable(one_line(text), sys.stderr if err else sys.stdout)


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if text.isascii():
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(
            _PLAINER.get(c, "?") if c.encode(encoding, "ignore") == b"" else c for c in text
        )
    return text


def echo(text: str = "", *, err: bool = False, mark: str = "", colour: str | None = None) -> None:
    """Print one line, a `mark` of ours before it, in this colour where there is a terminal."""
    line = harmless(text, err=err)
    _write(f"{click.style(mark, fg=colour)} {line}" if mark else line, err=err)


def heading(text: str) -> None:
    """Print one line in bold."""
    _write(click.style(harmless(text), bold=True))


def echo_json(body: Any, *, indent: int | None = None, sort_keys: bool = False) -> None:
    """Print JSON: several lines if indented, hidden characters escaped as JSON has it."""
    text = json.dumps(body, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    safe = re.sub(r"[^\x00-\x7f]+", _escaped, text).replace("\x7f", "\\u007f")
    _write(safe)


def _escaped(match: re.Match[str]) -> str:
    """Letters as they are, if the stream knows them; else the whole run as JSON escapes."""
    text = match.group()
    if visible(text) == text and _encodable(text, sys.stdout) == text:
        return text
    return json.dumps(text)[1:-1]


def redraw(text: str) -> None:
    """Put a line of progress in the place of the one before, on stderr."""
    click.echo(f"\r{harmless(text, err=True)}\033[K", nl=False, err=True)


def above(console: Console, text: str) -> None:
    """Print one line above the bars that `console` draws."""
    from rich.text import Text

    console.print(Text(harmless(text, err=True)))


def show_error(error: click.ClickException) -> None:
    """Show click's complaint of wrong usage, with the words that it quotes made harmless."""
    buffer = io.StringIO()
    error.show(file=buffer)
    for line in buffer.getvalue().splitlines():
        echo(line, err=True)


def _write(text: str, *, err: bool = False) -> None:
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        raise
    except OSError as error:
        if not err:  # what cannot be said on stderr cannot be said at all
            raise OutputError(refusal(error)) from error


def refusal(error: OSError) -> str:
    """The message about a stdout that takes nothing."""
    return f"cannot write to stdout: {error.strerror or error}"


class Sheet:
    """A table without lines, whose every cell is plain text."""

    def __init__(self, titles: Iterable[str] = ()) -> None:
        self._heads: list[tuple[str, Literal["left", "right"], bool]] = []
        self._rows: list[list[str] | None] = []
        for title in titles:
            self.column(title)

    def column(self, title: str, *, right: bool = False, wrap: bool = True) -> None:
        """One more column; `wrap` allows lines to be broken in it."""
        self._heads.append((harmless(title), "right" if right else "left", wrap))

    def row(self, cells: Iterable[object]) -> None:
        """One more row."""
        self._rows.append([harmless(str(cell)) for cell in cells])

    def section(self) -> None:
        """An empty line."""
        self._rows.append(None)

    def width(self, columns: Sequence[int]) -> int:
        """Characters that these of the columns need side by side."""
        from rich.measure import Measurement

        console = _console(_NO_LIMIT)
        return Measurement.get(console, console.options, self._table(columns)).maximum

    def print(self, columns: Sequence[int] | None = None) -> None:
        """Print it on stdout; of `columns`, if they are given, these only."""
        chosen = range(len(self._heads)) if columns is None else columns
        console = _console(room())
        with console.capture() as capture:
            console.print(self._table(chosen))
        for line in capture.get().splitlines():
            _write(line.rstrip())

    def _table(self, columns: Sequence[int]) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, justify, wrap in (self._heads[i] for i in columns):
            table.add_column(Text(title), justify=justify, no_wrap=not wrap)
        for row in self._rows:
            cells = [""] * len(columns) if row is None else [row[i] for i in columns]
            table.add_row(*map(_cell, cells))
        return table


def _cell(text: str) -> Text:
    """Plain text, with the colour of what a value is shown to be against real data."""
    from rich.text import Text

    cell = Text(text)
    for sign, style in FLOOR_STYLES.items():
        if text.endswith(f" {sign}"):
            cell.stylize(style, len(text) - len(sign))
    return cell


def room() -> int:
    """Characters in a line of stdout."""
    if not sys.stdout.isatty():
        return _NO_LIMIT
    return _console(None).width


def _console(width: int | None) -> Console:
    from rich.console import Console

    return Console(width=width, highlight=False, emoji=False)


def prepare() -> bool:
    """Make the streams usable, whatever the encoding; False if stdout is closed."""
    open_ = sys.stdout is not None
    if not open_ or sys.stderr is None:
        # A closed stream's number would go to the next file opened, and what is printed into it.
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(handle, True)
        os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    return open_


def finish(code: int) -> int:
    """Write out what is buffered; the exit code, which is 1 if stdout cannot take it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence(1)
        return 0
    except OSError as error:
        _silence(1)
        if code == 0:
            echo(f"error: {refusal(error)}", err=True)
            code = 1
    return code


def reader_gone() -> bool:
    """Whether nobody reads stdout or stderr any more: ``genbench list | head -1``."""
    for number in (1, 2):
        poll = select.poll()
        poll.register(number, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            _silence(number)
            return True
    return False


def _silence(number: int) -> None:
    """Let what a stream still holds go nowhere when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
