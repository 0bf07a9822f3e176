"""Generators by name: listed from package metadata without an import, loaded one at a time.

Nothing here imports a generator except `load`, and that is called in a process of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from genbench.errors import PluginError, UsageError, did_you_mean, shorten
from genbench.generator import CONTRACT, GeneratorSpec
from genbench.plugins import parameters
from genbench.plugins.parameters import Parameter
from genbench.plugins.source import INSTALLED, Sources, sources_of
from genbench.results import is_control, poses_as_control
from genbench.system import extensions

GROUP = "genbench.generators"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class GeneratorRef:
    """The place of a generator's class: an entry point (`module`) or a file of the user's (`file`).

    Parameters
    ----------
    name
        The name it is asked for by; for a file, its class's ``spec.name``.
    provider
        Distribution and version that own it, or the file's name.
    track_source
        True where the code may change under an unchanged version (a file, an editable install):
        then the source's digest is part of the cell's key.
    inline
        The class lives in the caller's process alone and is run there (`genbench.plugins.inline`).
    """

    name: str
    attr: str
    provider: str
    module: str | None = None
    file: str | None = None
    track_source: bool = False
    inline: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> GeneratorRef:
        """Undo `to_json`."""
        return cls(**body)


@dataclass(frozen=True, slots=True)
class Description:
    """A generator's declaration as plain data, which crosses a process boundary.

    Parameters
    ----------
    source
        Digest of its code where that may change under an unchanged version; empty elsewhere.
    unranked
        Why its row stands outside the ranking; empty if it does not.
    covers, left_out
        The files that version and source stand for, and what else it may depend on.
    likelihood_kinds
        The kinds of data of which it has its likelihood; empty for all.
    """

    name: str
    version: str
    family: str
    kinds: tuple[str, ...]
    labels: str
    likelihood: str | None
    reference: str
    pretrained_on: str | None
    summary: str
    source: str
    parameters: tuple[Parameter, ...]
    unranked: str = ""
    covers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    likelihood_kinds: tuple[str, ...] = ()

    def for_kind(self, kind: str) -> Description:
        """The declaration for one kind of data, of which it may have no likelihood."""
        if not self.likelihood_kinds or kind in self.likelihood_kinds:
            return self
        return dataclasses.replace(self, likelihood=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Description:
        """Undo `to_json`."""
        values = dict(body)
        values["kinds"] = tuple(values["kinds"])
        values["parameters"] = tuple(Parameter.from_json(p) for p in values["parameters"])
        for name in ("covers", "left_out", "likelihood_kinds"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)

    def parse(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The values that `given`, texts by either name, sets, by key.

        Raises
        ------
        UsageError
            For an unknown name or a text that is not of the parameter's type.
        """
        known = {p.key: p for p in self.parameters}
        texts = parameters.by_key(self.name, self.parameters, given)
        return {key: parameters.parse(self.name, known[key], text) for key, text in texts.items()}

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters as a record has them, with the values `given` by key."""
        return parameters.complete(self.parameters, given)


def installed() -> dict[str, list[GeneratorRef]]:
    """Every generator that an installed package announces; all owners of a name are kept."""
    found: dict[str, list[GeneratorRef]] = {}
    # Of several distributions of one name the first on the path counts, as imports do.
    for entry in metadata.entry_points(group=GROUP):
        if entry.dist is not None:
            ref = GeneratorRef(
                name=entry.name,
                attr=entry.attr,
                module=entry.module,
                provider=extensions.owner(entry),
                track_source=_is_editable(entry.dist),
            )
            found.setdefault(entry.name, []).append(ref)
    return dict(sorted(found.items()))


def find(name: str) -> GeneratorRef:
    """The one installed generator of this name.

    Raises
    ------
    UsageError
        If there is none.
    PluginError
        If two packages claim the name.
    """
    known = installed()
    if name not in known:
        raise UsageError(f"unknown generator {name!r}: {did_you_mean(name, known)}")
    owners = known[name]
    if len(owners) > 1:
        names = " and ".join(sorted(o.provider for o in owners))
        raise PluginError(
            f"generator {name!r} is announced by {names}: uninstall one, or use --plugin FILE"
        )
    return owners[0]


def import_plugin(ref: GeneratorRef) -> Any:
    """Import the module that a generator is in. PluginError, with the cause, if that fails."""
    return _import_file(Path(ref.file)) if ref.file else _import_module(ref)


def load(ref: GeneratorRef) -> Any:
    """Import a generator's class and check its spec. Executes the plugin's code.

    `PluginError` if it does not import, has no such class, or its spec breaks the contract.
    """
    module = import_plugin(ref)
    try:
        cls: Any = getattr(module, ref.attr)
    except AttributeError as error:
        raise PluginError(f"{_where(ref)} has no {ref.attr!r}: correct the name") from error
    return checked(cls, ref)


def checked(cls: Any, ref: GeneratorRef) -> Any:
    """The class, if its spec and methods obey the contract; `PluginError` if not."""
    spec = getattr(cls, "spec", None)
    if not isinstance(spec, GeneratorSpec):
        raise PluginError(
            f"{_where(ref)}:{ref.attr} has no `spec`: give the class a genbench.GeneratorSpec"
        )
    if spec.contract > CONTRACT:
        raise PluginError(
            f"generator {ref.name!r} of {ref.provider} is written for contract {spec.contract} and "
            f"this genbench knows {CONTRACT}: upgrade genbench, or install an older {ref.name}"
        )
    if not NAME.fullmatch(spec.name):
        raise PluginError(f"spec.name {spec.name!r} is not usable: use lower case, digits and -")
    if spec.name != ref.name:
        raise PluginError(
            f"{_where(ref)}: spec.name is {spec.name!r} but it is registered as {ref.name!r}: "
            "make them equal"
        )
    if poses_as_control(spec.name, ref.provider, spec.family):
        raise PluginError(
            f"generator {spec.name!r} of {ref.provider} calls its family 'control', which genbench "
            "keeps for its own reference rows: name the family of its model, such as 'gan'"
        )
    if not dataclasses.is_dataclass(spec.params):
        raise PluginError(f"generator {spec.name!r}: spec.params must be a dataclass")
    missing = [m for m in _methods(spec) if not callable(getattr(cls, m, None))]
    if missing:
        raise PluginError(f"generator {spec.name!r} lacks {', '.join(missing)}: add the methods")
    return cls


def classes_in(file: Path) -> list[tuple[str, str]]:
    """Class name and ``spec.name`` of each generator that a file defines. Executes the file."""
    module = _import_file(file)
    return [
        (name, value.spec.name)
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and isinstance(getattr(value, "spec", None), GeneratorSpec)
    ]


def describe(ref: GeneratorRef) -> Description:
    """Load a generator and put what it says of itself into plain data. Executes its code."""
    return description_of(load(ref), ref)


def description_of(cls: Any, ref: GeneratorRef) -> Description:
    """The declaration of a loaded generator."""
    spec: GeneratorSpec = cls.spec
    code = _code(cls, ref)
    module = inspect.getmodule(cls)
    doc = inspect.cleandoc((module and module.__doc__) or cls.__doc__ or "")
    return Description(
        name=spec.name,
        version=str(spec.version),
        family=spec.family,
        kinds=tuple(spec.kinds),
        labels=spec.labels,
        likelihood=spec.likelihood,
        reference=spec.reference,
        pretrained_on=spec.pretrained_on,
        summary=doc.split("\n\n")[0].replace("\n", " "),
        source=code.digest,
        parameters=parameters.declared(spec, control=is_control(spec.name, ref.provider)),
        covers=(*code.files, *getattr(cls, "version_files", ())),
        left_out=code.left_out,
        likelihood_kinds=tuple(spec.likelihood_kinds),
    )


def _code(cls: Any, ref: GeneratorRef) -> Sources:
    """The files that a generator's class consists of, where they may change."""
    if not ref.track_source:
        return Sources("", (ref.provider,), ("the code, which is known by its version alone",))
    file = Path(inspect.getfile(cls)).resolve()
    modules = [(file, cls.__module__ if cls.__module__ in sys.modules else file.stem)]
    asked = sys.modules.get(ref.module or _module_name(Path(str(ref.file))))
    entry = getattr(asked, "__file__", None)
    if entry is not None and Path(entry).resolve() != file:  # it may import the class
        modules.append((Path(entry).resolve(), str(ref.module or Path(entry).stem)))
    return sources_of(modules)


def _methods(spec: GeneratorSpec) -> list[str]:
    methods = ["fit", "sample", "state_dict", "load_state_dict"]
    return [*methods, "log_prob"] if spec.likelihood else methods


def _where(ref: GeneratorRef) -> str:
    return ref.file or (f"{ref.module} ({ref.provider})" if ref.module else ref.provider)


def _import_module(ref: GeneratorRef) -> Any:
    try:
        return importlib.import_module(str(ref.module))
    except Exception as error:
        raise PluginError(
            f"generator {ref.name!r} of {ref.provider} does not import: {_cause(error)}"
        ) from error


def _module_name(path: Path) -> str:
    """The name of a plugin file's module."""
    return "genbench_plugin_" + hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def _import_file(path: Path) -> Any:
    if not os.path.isfile(path):
        raise PluginError(f"no plugin file at {shorten(str(path))}: check the path")
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # behind all others, so that it hides nothing
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file: a plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"plugin file {path} does not import: {_cause(error)}") from error
    return module


def _cause(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    # A field that this GeneratorSpec has not: the class body fails before its contract can be read.
    newer = isinstance(error, TypeError) and "GeneratorSpec.__init__() got an unexp" in str(error)
    return f"{text}: is it written for a newer genbench?" if newer else text


def _is_editable(dist: metadata.Distribution) -> bool:
    """Whether the package is run from its sources, which change while its version does not.

    From a checkout's root Python finds the egg-info that setuptools left beside the sources before
    it finds what pip installed: it has no direct_url.json, and no RECORD either.
    """
    text = dist.read_text("direct_url.json")
    if not text:
        parts = Path(str(dist.locate_file(""))).resolve().parts
        return dist.read_text("RECORD") is None and not set(INSTALLED) & set(parts)
    try:
        return bool(json.loads(text).get("dir_info", {}).get("editable", False))
    except ValueError:
        return False
