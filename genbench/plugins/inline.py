"""Generators given as classes: run from their file where they have one, else where they live.

A class of a notebook, or of the script that is running, exists in the caller's process alone. It is
fitted and sampled there, without the isolation and the limits that a process of its own gives, and
its records say so. It is scored by a worker like every other.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

from genbench.errors import PluginError, UsageError
from genbench.generator import GeneratorSpec
from genbench.plugins import finding as plugins
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import GeneratorRef
from genbench.plugins.parameters import by_key
from genbench.plugins.source import files_of_module

PROVIDER = "the caller's process"
MOST_VALUES = 10_000  # that are looked at below one name; of a longer list the rest is not read
MOST_NESTED = 50

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
    passed = by_key(ref.name, description.parameters, params)
    return GeneratorChoice(ref, description, description.complete(passed), passed)


def classes_by_name(own: Iterable[tuple[Any, GeneratorChoice]]) -> dict[str, type]:
    """The classes given with their choices, by generator name.

    Raises
    ------
    UsageError
        If two have one name.
    """
    found: dict[str, type] = {}
    for given, choice in own:
        cls = given[0] if isinstance(given, tuple) else given
        if found.setdefault(choice.name, cls) is not cls:
            raise UsageError(f"two classes have the spec.name {choice.name!r}: rename one")
    return found


def _ref(cls: Any) -> GeneratorRef:
    """The place where another process finds the class, or that none can."""
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
    """A digest of the class's code and of what it uses of its own module, however it was typed in,
    and of the files of the user's own modules that it uses.

    Two classes that a notebook defines one after the other under one name are told apart by it, and
    so is the same class after a network, or a list of its widths, in another cell was changed.
    """
    source = _Source(cls.__module__, {id(cls)})
    source.add_class(cls)
    return source.key.hexdigest()


class _Source:
    """A digest of code and of the values it refers to; the same in every process.

    Classes and functions of `module` count by their code, all others by their name and, if their
    modules are files of the user's, by these: `files` holds the digests of the user's files that
    importing a module reads, by module, as far as they are known. `seen` are classes and functions
    that have been added: they may refer to one another.
    """

    def __init__(self, module: str, seen: set[int], files: dict[str, str] | None = None) -> None:
        self.key = hashlib.sha256()
        self._module = module
        self._seen = seen
        self._files = {} if files is None else files
        self._within: list[int] = []  # the containers around a value: one may hold itself
        self._left = MOST_VALUES

    def add_class(self, cls: type) -> None:
        """The code and the values in a class's body, and its bases."""
        self._say(f"class {cls.__qualname__}")
        for base in cls.__bases__:
            self.add(base.__qualname__, base)
        for name, value in sorted(vars(cls).items()):
            if name not in _NOT_CODE:
                self.add(name, getattr(value, "__func__", getattr(value, "fget", value)))

    def add(self, name: str, value: Any) -> None:
        """A value under the name by which code refers to it."""
        self._left = self._left - 1 if self._within else MOST_VALUES
        self._say(f"{name}={type(value).__qualname__}")
        if isinstance(value, bool | int | float | complex | str | bytes):
            self._say(repr(value))
        elif isinstance(value, GeneratorSpec):
            self._say(value.version)
            self.add("params", value.params)
        elif isinstance(value, ModuleType):
            self._say(value.__name__)
            self._add_files(value.__name__)
        elif isinstance(value, type | FunctionType | BuiltinFunctionType):
            self._add_definition(value)
        elif id(value) not in self._within and len(self._within) < MOST_NESTED:
            self._within.append(id(value))
            self._add_content(value)
            self._within.pop()

    def _say(self, text: str) -> None:
        self.key.update(f"{len(text)} {text}".encode())  # the length, as texts follow one another

    def _add_definition(self, value: Any) -> None:
        self._say(f"{value.__module__}.{value.__qualname__}")
        if value.__module__ != self._module:
            self._add_files(value.__module__)
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, type):
            self.add_class(value)
        elif isinstance(value, FunctionType):
            for given in inspect.signature(value, follow_wrapped=False).parameters.values():
                self.add(f"{given.kind} {given.name}", given.default)
            for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                self.add(name, _content(cell))
            self._add_code(value.__code__, value.__globals__)

    def _add_files(self, module: str | None) -> None:
        """The files of a module that is the user's own; nothing of an installed one."""
        if not module or module == "__main__":
            return
        if module not in self._files:
            files = files_of_module(module, Path.cwd())
            digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
            self._files[module] = "".join(digests)
        if self._files[module]:
            self._say(self._files[module])

    def _add_content(self, value: Any) -> None:
        """Of what is neither a container nor a dataclass, nothing but its type is known."""
        if isinstance(value, list | tuple):
            self._add_items(len(value), (("", item) for item in value))
        elif isinstance(value, dict):
            pairs = ((("key", k), ("value", v)) for k, v in value.items())
            self._add_items(len(value), chain.from_iterable(pairs))
        elif isinstance(value, set | frozenset):
            self._add_set(value)
        elif is_dataclass(value):
            for field in fields(value):
                self.add(field.name, getattr(value, field.name, None))
        if type(value).__module__ == self._module:
            self._add_definition(type(value))

    def _add_items(self, n: int, items: Iterable[tuple[str, Any]]) -> None:
        self._say(str(n))
        for name, item in items:
            if self._left < 0:
                return
            self.add(name, item)

    def _add_set(self, values: Collection[Any]) -> None:
        """In an order of their own: a set of texts has another one in every process."""
        self._say(str(len(values)))
        if len(values) > self._left:
            return
        digests = []
        for value in values:
            alone = _Source(self._module, set(self._seen), self._files)
            alone._within = [*self._within]
            alone._left = self._left // len(values)
            alone.add("", value)
            digests.append(alone.key.hexdigest())
        self._left -= len(values)
        self._say("".join(sorted(digests)))

    def _add_code(self, code: CodeType, names: Mapping[str, Any]) -> None:
        self.key.update(code.co_code)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._add_code(constant, names)
            else:
                self.add("", constant)
        for name in code.co_names:
            if name in names:
                self.add(name, names[name])
            else:
                self._say(name)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # its variable has no value yet
        return None
