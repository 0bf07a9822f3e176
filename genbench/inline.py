"""Generators given as classes: run from their file where they have one, else where they live.

A class of a notebook, or of the script that is running, exists in the caller's process alone. It is
fitted and sampled there, without the isolation and the limits that a process of its own gives, and
its records say so. It is scored by a worker like every other.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from genbench import plugins
from genbench.cellspec import CellSpec, GeneratorChoice
from genbench.errors import PluginError, UsageError, did_you_mean
from genbench.executors import Executor
from genbench.executors.local import Ended
from genbench.generator import GeneratorSpec
from genbench.plugins import GeneratorRef

PROVIDER = "the caller's process"

_NOT_CODE = ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__",
             "__static_attributes__")  # fmt: skip


def choice_of(given: type | tuple[type, Mapping[str, Any]]) -> GeneratorChoice:
    """A class, or ``(class, parameters)``, as a row of the leaderboard.

    Raises
    ------
    PluginError
        If the class is no generator.
    UsageError
        If it has no such parameter.
    """
    cls, params = given if isinstance(given, tuple) else (given, {})
    if not isinstance(cls, type) or not isinstance(getattr(cls, "spec", None), GeneratorSpec):
        raise PluginError(
            f"{cls!r} is no generator: give a name, or a class with a genbench.GeneratorSpec `spec`"
        )
    ref = _ref(cls)
    description = plugins.description_of(plugins.checked(cls, ref), ref)
    if ref.inline:
        # A notebook's module has a docstring of IPython's.
        summary = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        description = replace(description, source=source_of(cls), summary=summary)
    values = {p.name: p.default for p in description.parameters}
    for name in params:
        if name not in values:
            raise UsageError(
                f"generator {ref.name!r} has no parameter {name!r}: {did_you_mean(name, values)}"
            )
    return GeneratorChoice(ref, description, {**values, **params}, dict(params))


def _ref(cls: Any) -> GeneratorRef:
    """Where another process finds the class, or that none can."""
    name = cls.spec.name
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    attr = next((k for k, v in getattr(module, "__dict__", {}).items() if v is cls), None)
    if cls.__module__ == "__main__" or file is None or attr is None:
        return GeneratorRef(name, cls.__qualname__, PROVIDER, inline=True)
    if "." in cls.__module__:
        provider = f"module {cls.__module__}"
        return GeneratorRef(name, attr, provider, module=cls.__module__, track_source=True)
    path = Path(file).resolve()
    return GeneratorRef(name, attr, f"file {path.name}", file=str(path), track_source=True)


def source_of(cls: type) -> str:
    """A digest of the class's code and of what it uses of its own module, however it was typed in.

    Two classes that a notebook defines one after the other under one name are told apart by it, and
    so is the same class after a network in another cell was changed.
    """
    key = hashlib.sha256()
    _add_class(cls, key, set())
    return key.hexdigest()


def _add_class(cls: type, key: Any, seen: set[int]) -> None:
    key.update(f"class {cls.__qualname__}".encode())
    for base in cls.__bases__:
        _add(base, base.__qualname__, cls.__module__, key, seen)
    for name, value in sorted(vars(cls).items()):
        if name not in _NOT_CODE:
            plain = getattr(value, "__func__", getattr(value, "fget", value))
            _add(plain, name, cls.__module__, key, seen)


def _add(value: Any, name: str, module: str, key: Any, seen: set[int]) -> None:
    if isinstance(value, bool | int | float | str | bytes | tuple):
        key.update(f"{name}={value!r}".encode())
    elif isinstance(value, GeneratorSpec):
        key.update(f"{name}={value.version}".encode())
        _add(value.params, "params", module, key, seen)
    elif getattr(value, "__module__", None) == module and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, type):
            _add_class(value, key, seen)
        elif isinstance(value, FunctionType):
            key.update(f"def {name}{inspect.signature(value)}".encode())
            _add_code(value.__code__, value.__globals__, module, key, seen)


def _add_code(
    code: CodeType, names: Mapping[str, Any], module: str, key: Any, seen: set[int]
) -> None:
    key.update(code.co_code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(constant, names, module, key, seen)
        elif isinstance(constant, frozenset):  # in another order in every process
            key.update(repr(sorted(map(repr, constant))).encode())
        else:
            key.update(repr(constant).encode())
    for name in code.co_names:
        key.update(name.encode())
        if name in names:
            _add(names[name], name, module, key, seen)


class InProcessExecutor:
    """Fits and samples classes of this process here, and leaves all else to another executor.

    Parameters
    ----------
    inner
        Scores what was sampled here, and runs every other cell.
    classes
        The classes by generator name.
    """

    def __init__(self, inner: Executor, classes: Mapping[str, type]) -> None:
        self._inner = inner
        self._classes = classes
        self.stopping = False

    def submit(self, spec: CellSpec) -> None:
        """Run the generator here if it lives here, then start a worker that scores."""
        if spec.generator.ref.inline and spec.reuse is None:
            from genbench.generation import Generation

            spec.folder.mkdir(parents=True, exist_ok=True)
            cls = self._classes[spec.generator.name]
            with torch_left_as_found():
                Generation(spec, cls, stopping=lambda: self.stopping).run()
        self._inner.submit(spec)

    def poll(self, seconds: float) -> list[Ended]:
        """See `genbench.executors.Executor.poll`."""
        return self._inner.poll(seconds)

    def stop(self) -> None:
        """Ask every worker to end."""
        self._inner.stop()

    def kill(self) -> None:
        """End every worker now; what runs here ends at its next batch."""
        self._inner.kill()


@contextmanager
def torch_left_as_found() -> Iterator[None]:
    """Undo what a cell sets in torch and the BLAS libraries."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    benchmark = torch.backends.cudnn.benchmark
    with threadpool_limits():  # restores each library's threads
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
            torch.backends.cudnn.benchmark = benchmark
