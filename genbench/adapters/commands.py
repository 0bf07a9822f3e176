"""A command of any language and framework that writes its samples into an npz."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.adapters.frozen import UNKNOWN, Caller, Draw, caller, frozen, located
from genbench.adapters.ranges import stated
from genbench.errors import ContractError, PluginError
from genbench.generator import Kind, Space
from genbench.plugins import files_of_module, files_of_script

if TYPE_CHECKING:
    import torch

PLACES = ("{n}", "{seed}", "{out}")


def command(
    name: str,
    words: Sequence[str],
    *,
    files: Sequence[str | Path] = (),
    labels: bool = False,
    low: float | None = None,
    high: float | None = None,
    kinds: Sequence[Kind] = ("image",),
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from a command that writes ``x``, its `n` rows, into an ``.npz``.

    Images are ``(n, C, H, W)``, uint8 or floats; points ``(n, d)`` are floats. It is started for
    every chunk of samples (``sample_chunk`` of the suite), in the folder of the file that calls
    this, without a shell.

    Parameters
    ----------
    words
        The command, such as ``["python", "sample.py", "{n}", "{seed}", "{out}"]``: ``{n}``,
        ``{seed}`` and ``{out}`` are filled in, and ``{labels}``, an ``.npy`` of int64, if it takes
        labels.
    files
        Weights and other files it uses; their digests become part of the version, as do those of
        the scripts among its words and of what these import.
    low, high
        The floats that stand for black and white, unless it writes uint8; both or neither.

    Raises
    ------
    PluginError
        If `words` leave out a place that must be filled in, or a file is absent.
    """
    by = caller()
    if isinstance(words, str):
        raise PluginError(
            f"command of generator {name!r} is one text: give a list with each word apart"
        )
    places = (*PLACES, "{labels}") if labels else PLACES
    missing = [place for place in places if not any(place in word for word in words)]
    if missing:
        raise PluginError(
            f"command of generator {name!r} is {list(words)!r}: it has no place for "
            f"{', '.join(missing)}: put them among its words"
        )

    def load(space: Space, device: torch.device) -> Draw:
        return lambda n, seed, given: _run(name, words, by, n, seed, given if labels else None)

    given = [located(by, f) for f in files]
    scripts = [file for file in _scripts(words, by) if file not in given]
    return frozen(
        name, load, by, family="command", summary=f"The command {' '.join(words)}.", kinds=kinds,
        labels=labels, files=[*given, *scripts], pretrained_on=pretrained_on,
        values=stated(name, low, high),
    )  # fmt: skip


def _scripts(words: Sequence[str], by: Caller) -> list[Path]:
    """The files of the caller's folder that a command names, Python's with what they import."""
    found: list[Path] = []
    for before, word in pairwise(["", *words]):
        if before == "-m":  # python -m package.module
            found += files_of_module(word, by.folder)
        file = by.folder / word
        if "{" in word or not word or not file.is_file():
            continue
        if file.resolve().is_relative_to(by.folder):
            found += files_of_script(file) if file.suffix == ".py" else [file]
    return list(dict.fromkeys(found))


def _run(name: str, words: Sequence[str], by: Caller, n: int, seed: int, labels: Any) -> Any:
    import numpy as np

    from genbench.formats import open_arrays

    with tempfile.TemporaryDirectory(prefix="genbench-") as folder:
        out, label_file = Path(folder) / "samples.npz", Path(folder) / "labels.npy"
        if labels is not None:
            np.save(label_file, labels.cpu().numpy())
        filled = {"{n}": n, "{seed}": seed, "{out}": out, "{labels}": label_file}
        argv = [_fill(word, filled) for word in words]
        try:
            done = _ended(argv, by)
        except OSError as error:
            raise ContractError(f"command of generator {name!r} does not start: {error}") from error
        print(done.stdout, done.stderr, sep="", end="")  # into the attempt's log
        if done.returncode or not out.is_file():
            how = f"exit code {done.returncode}" if done.returncode else "no {out} was written"
            last = "; ".join(done.stderr.strip().splitlines()[-3:])
            raise ContractError(f"command of generator {name!r} ended with {how}: {last}")
        with open_arrays(out) as arrays:
            if "x" not in arrays:
                raise ContractError(
                    f"command of generator {name!r} wrote arrays {', '.join(arrays)}: name them x"
                )
            return arrays["x"].all()


def _ended(words: list[str], by: Caller) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends, or we do: a worker that is killed takes it along."""
    from genbench.system import killed_with_parent

    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads; ours goes on to the command at once.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.run(
            words,
            cwd=by.folder,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=partial(killed_with_parent, os.getpid()),
        )


def _fill(word: str, filled: dict[str, Any]) -> str:
    for place, value in filled.items():
        word = word.replace(place, str(value))
    return word
