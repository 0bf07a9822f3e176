"""The errors genbench raises on purpose.

Every message says what was wrong, what was given, and what to do. The command line turns a
`GenbenchError` into one line on stderr and its `exit_code`; anything else is our bug (exit 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class GenbenchError(Exception):
    """Base of every error that genbench raises on purpose."""

    exit_code = 2


class UsageError(GenbenchError):
    """A command, parameter or suite file that cannot be used as given."""


class PluginError(GenbenchError):
    """A generator, extractor or plugin file that cannot be loaded."""


class DataError(GenbenchError):
    """A data or weights file that is missing, corrupt or not what its checksum says."""


class StoreError(GenbenchError):
    """A results folder that cannot be read or written."""


class ContractError(GenbenchError):
    """A generator broke the plugin contract: wrong shape, dtype, range, count or value."""

    exit_code = 3


class Declined(GenbenchError):
    """What was asked for was not done, because nothing shows that it would help."""

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


def shorten(text: str, limit: int = 80) -> str:
    """`text` in one line of at most `limit` printable characters, for a message that quotes it."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A closing phrase for 'unknown X' messages: the nearest known name, or all of them."""
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}? (known: {', '.join(names)})"
    return f"known: {', '.join(names) if names else 'none'}"
