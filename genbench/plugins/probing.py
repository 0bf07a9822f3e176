"""Plugins asked what they are, in processes of their own: importing one runs a stranger's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from genbench.errors import GenbenchError, PluginError
from genbench.plugins.finding import Description, GeneratorRef, classes_in, describe
from genbench.system import ForkServerClient

PROBE_SECONDS = 60.0
PROBED = ("torch", "torch._dynamo")  # what nearly every generator imports, 2.6 s the second


class Prober:
    """Asks generators what they are.

    Use as a context manager: leaving it ends every process it started.

    Parameters
    ----------
    heavy
        Modules that its fork server imports once for all.
    log
        Where that server's own stderr goes; None for this process's.
    sandbox
        Whether processes that import a generator are confined.
    """

    def __init__(
        self,
        heavy: Sequence[str] = PROBED,
        *,
        log: IO[bytes] | None = None,
        sandbox: bool = True,
    ) -> None:
        self.forks = ForkServerClient(heavy, log)
        self.sandbox = sandbox

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *exc: object) -> None:
        self.forks.close()

    def describe(self, ref: GeneratorRef) -> Description:
        """Load a generator in a child process and return what it says of itself.

        Raises
        ------
        PluginError
            If it cannot be loaded, or takes longer than `PROBE_SECONDS`.
        """
        return Description.from_json(self._ask("described", ref.name, ref.to_json()))

    def describe_all(self, refs: Sequence[GeneratorRef]) -> Iterator[Description | GenbenchError]:
        """`describe` of several, loaded beside each other; the error of each that cannot be."""
        puts = [self._put("described", ref.to_json()) for ref in refs]
        for ref, put in zip(refs, puts, strict=True):
            try:
                told = self.forks.answer(put, ref.name, PROBE_SECONDS)
                yield Description.from_json(told)
            except PluginError as error:
                yield error
            except GenbenchError:  # another took too long, which ended the server
                yield from self.describe_all([ref])

    def classes_in(self, file: Path) -> list[tuple[str, str]]:
        """Class and generator names in a plugin file, read in a child process."""
        found = self._ask("classes", str(file), {"file": str(file)})
        return [(str(cls), str(name)) for cls, name in found]

    def _ask(self, function: str, name: str, args: Mapping[str, Any]) -> Any:
        return self.forks.answer(self._put(function, args), name, PROBE_SECONDS)

    def _put(self, function: str, args: Mapping[str, Any]) -> str:
        return self.forks.put(f"{__name__}:{function}", args, sandbox=self.sandbox)


def described(ref: Mapping[str, Any]) -> dict[str, Any]:
    """A generator's declaration as JSON data. Executes its code."""
    try:
        return describe(GeneratorRef.from_json(ref)).to_json()
    except GenbenchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"generator {ref['name']!r} fails: {reason}") from error


def classes(args: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Classes with a spec in a plugin file, ``(class name, spec name)`` each. Executes it."""
    return classes_in(Path(args["file"]))
