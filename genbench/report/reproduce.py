"""The command line that computes a cell again, from what its record tells of the one that did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from genbench.results import Record, is_control_record, plain

_SCORED = "scored"
# Options of `run` and `score` that take no value: the word after one is not its value.
_FLAGS = ("--fresh", "--keep-failed", "--no-controls", "--dry-run", "--json", "--no-report")
_RUN = ("--plugin",)
_CHOICE = ("-g", "--generator", "--sweep")
_SCORE = ("--labels", "--on-bad")


def command(record: Record, seeds: Sequence[int] = ()) -> str:
    """``genbench run`` for a generator, ``genbench score`` for samples made elsewhere.

    A suite file, plugin files, and the samples are those of the recorded command line. A record
    made in a notebook has none: the suite's name, and a word in capitals for the rest, stand there.
    With `seeds`, the one for all of these cells of its row.
    """
    cell = record.cell
    scored = cell["generator"].get("family") == _SCORED
    words, given = _read(record, "score" if scored else "run")
    suite = _last(given, "--suite") or str(cell["suite"]["name"])
    profile = ["--suite", suite, "--profile", str(cell["suite"]["profile"])]
    if scored:
        samples = words[0] if words else "SAMPLES"
        parts = ["score", samples, *profile, "--name", record.generator, *_kept(given, _SCORE)]
    else:
        # Controls cannot be asked for: they come with whatever was run.
        who = _kept(given, _CHOICE) if is_control_record(record) else ["-g", _asked(record)]
        wanted = ",".join(map(str, seeds or [record.seed]))
        parts = ["run", *profile, *_kept(given, _RUN), *who, "--seeds", wanted]
    return shlex.join(["genbench", *parts])


def _asked(record: Record) -> str:
    """The generator with the parameters that were passed, as ``-g`` takes it."""
    passed = record.cell["generator"].get("params_passed") or {}
    given = ",".join(f"{k}={plain(v)}" for k, v in sorted(passed.items()))
    return f"{record.generator}:{given}" if given else record.generator


def _read(record: Record, verb: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Arguments and options of the recorded command line, empty if it is not `verb`."""
    argv = record.source.get("argv")
    if not isinstance(argv, list | tuple) or not all(isinstance(word, str) for word in argv):
        return [], []
    return _parsed(argv[2:]) if list(argv[1:2]) == [verb] else ([], [])


def _parsed(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    words: list[str] = []
    options: list[tuple[str, str]] = []
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif equals and name.startswith("--"):
            options.append((name, value))
        elif name not in _FLAGS and (following := next(rest, None)) is not None:
            options.append((name, following))
    return words, options


def _kept(options: Sequence[tuple[str, str]], names: Sequence[str]) -> list[str]:
    return [word for name, value in options if name in names for word in (name, value)]


def _last(options: Sequence[tuple[str, str]], name: str) -> str:
    return next((value for key, value in reversed(options) if key == name), "")
