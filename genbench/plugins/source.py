"""The files that a generator's code consists of, found without running any of it.

A file of a user's is followed into the modules of his own that it imports, wherever in the code the
import stands: those beside it, those in packages beside it, and those that Python finds outside of
its installed packages. What only running the code would tell is not found, and is named instead.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OURS = "genbench"  # its version is in the record
BASELINES = "genbench.baselines"
MOST_FILES = 5000
NAMED = 12

_SUFFIXES = tuple(importlib.machinery.all_suffixes())
INSTALLED = ("site-packages", "dist-packages")
# Calls that import what a text says, or run it.
_BY_TEXT = ("import_module", "__import__")
_UNSEEN = ("spec_from_file_location", "run_path", "run_module", "walk_packages", "iter_modules")

Name = tuple[str, ...]  # a module's dotted name


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that a generator's version covers, by names below where imports start from.

    `digest` is the SHA-256, hex, of the one file itself, or of all of them with their names;
    `left_out` is what else the generator may depend on, in words.
    """

    digest: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Module:
    """A module's file, the package that its relative imports start from, and its import root."""

    file: Path
    package: Name
    root: Path

    @property
    def name(self) -> str:
        return self.file.relative_to(self.root).as_posix()


def sources_of(modules: Sequence[tuple[Path, str]]) -> Sources:
    """The sources of the given modules, file and dotted name each.

    The first is the generator's own, and its name does not count, so that a renamed file is the
    same generator.
    """
    file, name = modules[0]
    if name.partition(".")[0] == OURS:
        siblings = _siblings(file, name.rpartition(".")[0])
        others = [(other.name, other) for other in sorted(siblings)]
        left_out = ("the rest of genbench, known by its version",)
        return Sources(_joint_digest(file, others), (file.name, *(n for n, _ in others)), left_out)
    starts = [_module(file, name) for file, name in modules]
    first = starts[0]
    walk = _Walk(starts)
    others = sorted((m.name, m.file) for m in walk.found.values() if m.file != first.file)
    digest = _joint_digest(first.file, others)
    return Sources(digest, (first.name, *(name for name, _ in others)), walk.left_out())


def files_of_module(name: str, folder: Path) -> list[Path]:
    """The user's own files that importing a dotted name reads, looked for from `folder` on; none if
    it is an installed one.
    """
    walk = _Walk([], folder)
    walk.follow(tuple(name.split(".")), folder)
    return sorted(module.file for module in walk.found.values())


def files_of_script(file: Path) -> list[Path]:
    """A script and the user's own files that it imports, itself first."""
    walk = _Walk([_module(file, file.stem)])
    others = sorted(m.file for m in walk.found.values() if m.file != file)
    return [file, *others]


def _module(file: Path, name: str) -> _Module:
    parts = tuple(name.split("."))
    package = parts if file.name == "__init__.py" else parts[:-1]
    root = file.parents[len(package)]
    return _Module(file, package, root)


def _siblings(file: Path, package: str) -> set[Path]:
    """Of a baseline, the others that it imports, itself left out; of what else is ours, nothing."""
    found, waiting = {file}, [file] if package == BASELINES else []
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_bytes())):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{BASELINES}."):
                name = str(node.module).removeprefix(BASELINES).removeprefix(".")
                names = [name] if name else [alias.name for alias in node.names]
                new = {file.with_name(f"{name}.py") for name in names} - found
                found |= new
                waiting += new
    return found - {file}


def _joint_digest(file: Path, others: Sequence[tuple[str, Path]]) -> str:
    """SHA-256, hex: of `file` itself, or of it and of `others` with their names."""
    digest = _digest(file)
    if not others:
        return digest
    key = hashlib.sha256(digest.encode())
    for name, other in others:
        key.update(f"\n{name}\0{_digest(other)}".encode())
    return key.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Walk:
    """Everything that is imported from some modules on, each file once.

    Imports are looked for in `folder` first; by default where those of the first module start from.
    """

    def __init__(self, starts: Sequence[_Module], folder: Path | None = None) -> None:
        self.found: dict[Path, _Module] = {}
        self._folder = folder or starts[0].root
        self._roots: dict[str, Path | None] = {}
        self._installed: set[str] = set()
        self._computed: list[str] = []  # where code imports by a name that it computes
        self._waiting = list(starts)
        self._drain()

    def follow(self, name: Name, root: Path | None) -> None:
        """Take in the modules that importing `name` reads, and all that they import."""
        self._import(name, root)
        self._drain()

    def left_out(self) -> tuple[str, ...]:
        """Other things that the files may depend on."""
        dependencies = ["files that it reads when it runs"]
        if self._installed:
            names = sorted(self._installed)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            dependencies.append(f"installed packages: {', '.join(names[:NAMED])}{more}")
        dependencies += [f"what is run by a computed name ({place})" for place in self._computed]
        if len(self.found) >= MOST_FILES:
            dependencies.append(f"files beyond the first {MOST_FILES:,}")
        return tuple(dependencies)

    def _drain(self) -> None:
        while self._waiting and len(self.found) < MOST_FILES:
            module = self._waiting.pop()
            if module.file in self.found:
                continue
            try:
                data = module.file.read_bytes()
            except OSError:  # it will not import either
                continue
            if data.strip():  # an empty __init__.py says nothing
                self.found[module.file] = module
                self._read(module, data)

    def _read(self, module: _Module, data: bytes) -> None:
        if module.file.suffix != ".py":
            return
        try:
            nodes = list(ast.walk(ast.parse(data)))
        except (SyntaxError, ValueError, RecursionError):  # it will not import either
            return
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(tuple(alias.name.split(".")), module.root)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node, module)
            elif isinstance(node, ast.Call):
                self._call(node, module)

    def _import_from(self, node: ast.ImportFrom, module: _Module) -> None:
        base = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            if node.level - 1 > len(module.package):
                return
            base = module.package[: len(module.package) - node.level + 1] + base
        for alias in node.names:
            if alias.name != "*":
                self._import((*base, alias.name), module.root)
                continue
            self._import(base, module.root)
            inside = module.root.joinpath(*base)
            for file in sorted(inside.glob("*.py")) if base and inside.is_dir() else ():
                self._import((*base, file.stem), module.root)

    def _call(self, node: ast.Call, module: _Module) -> None:
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        first = node.args[0] if node.args else None
        if called in _BY_TEXT and isinstance(first, ast.Constant) and isinstance(first.value, str):
            text = first.value
            names = tuple(part for part in text.split(".") if part)
            above = len(text) - len(text.lstrip(".")) - 1  # packages above the module's own
            package = module.package[: len(module.package) - above] if above >= 0 else ()
            self._import((*package, *names), module.root)
        elif called in (*_BY_TEXT, *_UNSEEN) or ast.unparse(node.func) == "exec":
            self._import_computed(module, node.lineno)

    def _import_computed(self, module: _Module, line: int) -> None:
        """Of a package all modules, as it mostly picks one of its own; of other files, say so."""
        if not module.package:
            self._computed.append(f"{module.name}, line {line}")
            return
        top = module.root / module.package[0]
        for file in sorted(top.rglob("*.py")):
            parts = file.relative_to(module.root).with_suffix("").parts
            self._import(parts[:-1] if parts[-1] == "__init__" else parts, module.root)

    def _import(self, name: Name, root: Path | None) -> None:
        """Every file that is run when `name`, a module or something in one, is imported."""
        if not name or name[0] in (OURS, "__future__"):
            return
        place = self._root_of(name[0], root)
        if place is None:
            self._installed |= {name[0]} - sys.stdlib_module_names
            return
        for length in range(1, len(name) + 1):
            path = place.joinpath(*name[:length])
            if (path / "__init__.py").is_file():
                self._waiting.append(_Module(path / "__init__.py", name[:length], place))
                continue
            files = [file for file in _files(path) if file.is_file()]
            self._waiting += [_Module(file, name[: length - 1], place) for file in files]
            if files or not path.is_dir():
                return

    def _root_of(self, top: str, root: Path | None) -> Path | None:
        """The folder that a top-level name is imported from; None if it is an installed one."""
        for folder in (root, self._folder):
            if folder is not None and _holds(folder, top):
                return folder
        if top not in self._roots:
            self._roots[top] = _local_root(top)
        return self._roots[top]


def _files(path: Path) -> Iterator[Path]:
    """The files that a module at `path` may be, source or compiled."""
    return (path.with_name(path.name + suffix) for suffix in _SUFFIXES)


def _holds(folder: Path, top: str) -> bool:
    path = folder / top
    if any(file.is_file() for file in _files(path)):
        return True
    return path.is_dir() and ((path / "__init__.py").is_file() or any(path.rglob("*.py")))


def _local_root(top: str) -> Path | None:
    """The folder on Python's path that a name comes from, unless Python's own or installed."""
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name: nothing is run
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    if spec.has_location and spec.origin and not places:
        places = [spec.origin]
    if not places:
        return None
    path = Path(places[0]).resolve()
    stdlib = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")}
    if any(part in INSTALLED for part in path.parts) or stdlib & set(path.parents):
        return None
    return path.parent
