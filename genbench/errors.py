"""The errors genbench raises on purpose.

Every message says what was wrong, what was given, and what to do. The command line turns a
`GenbenchError` into a line on stderr, and one for each thing that it lists, and its `exit_code`;
anything else is our bug (exit 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

# Controls (but tab and newline), direction marks, what takes no width (joiners are kept: scripts
# and emoji are written with them), blank letters, invisible tags, lone surrogates.
_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u180e\\u200b\\u200e\\u200f"
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff"
    "\\U000e0000-\\U000e0fff]"
)


class GenbenchError(Exception):
    """Base of every error that genbench raises on purpose; its text is safe on a terminal.

    `lines` say more, each of one of the things that are wrong.
    """

    exit_code = 2

    def __init__(self, *args: object, lines: Iterable[str] = ()) -> None:
        super().__init__(*args)
        self.lines = tuple(lines)

    def __str__(self) -> str:
        return visible("\n  ".join((super().__str__(), *map(one_line, self.lines))))

    @property
    def text(self) -> str:
        """What is wrong, without `lines`."""
        return visible(super().__str__())


class UsageError(GenbenchError):
    """A command, parameter or suite file that cannot be used as given."""


class DeviceError(UsageError):
    """A device that is not there, or a card or its driver that failed."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A card that has no memory left."""


class PluginError(GenbenchError):
    """A generator, extractor or plugin file that cannot be loaded."""


class DataError(GenbenchError):
    """A data or weights file that is missing, corrupt or not what its checksum says."""


class StoreError(GenbenchError):
    """A results folder that cannot be read or written."""


class TrackerError(GenbenchError):
    """A tracker that cannot be reached, or refuses what it is told."""


class ContractError(GenbenchError):
    """A generator broke the plugin contract: wrong shape, dtype, range, count or value."""

    exit_code = 3


class Declined(GenbenchError):
    """The request was declined, because nothing shows that it would help."""

    exit_code = 7


class MetricError(GenbenchError):
    """A metric that cannot be computed from what it was given.

    Parameters
    ----------
    message
        What was wrong, what was given, what to do.
    status
        How the metric's cell is typed in a record: ``"undefined"`` (the number does not exist for
        this input), ``"not_applicable"`` (it makes no sense here) or ``"failed"``.
    """

    exit_code = 2

    def __init__(self, message: str, *, status: str = "undefined") -> None:
        super().__init__(message)
        self.status = status


def visible(text: str) -> str:
    """`text` with what would be hidden, or act on a terminal, written out: ``\\x1b``, ``\\u202e``.

    Names, parameters, messages and paths may come from anybody. Nothing in what is returned moves
    a cursor, sets a colour or a title, or turns the direction of reading; tabs and newlines stay.
    """
    if text.isascii() and text.isprintable():  # most are, and this is fast
        return text
    return _HIDDEN.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def one_line(text: str) -> str:
    """`visible`, with newlines and tabs written out too: a stranger's text adds no line to ours."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def shorten(text: str, limit: int = 80) -> str:
    """`text` in one line of at most `limit` harmless characters, for a message that quotes it."""
    line = visible(" ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A closing phrase for 'unknown X' messages: the nearest known name, or all of them."""
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}? (known: {', '.join(names)})"
    return f"known: {', '.join(names) if names else 'none'}"
