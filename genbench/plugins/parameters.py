"""A generator's parameters: read from the dataclass it declares, set from text, named in records.

A parameter has two names. Users and the generator's code call it by its field; cell keys, records
and reports by its key, which a renamed field keeps, so that stored results stay its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from genbench.errors import PluginError, UsageError, did_you_mean
from genbench.generator import GeneratorSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a generator's parameters, as the command line and a record need it.

    `key` is its name in cell keys and records; both are understood where one is set. Its `type` is
    its annotation, such as ``float`` or ``tuple[int]``, without ``| None``, which is `optional`.
    One that was `added` after the generator's first results is left out of keys and records at its
    default. A text may be one of some `choices`. One of the `harness` is read by that, never by
    the generator.
    """

    name: str
    key: str
    type: str
    default: Any
    optional: bool = False
    added: bool = False
    choices: tuple[str, ...] = ()
    harness: bool = False

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Parameter:
        """Undo `dataclasses.asdict`."""
        return cls(**{**body, "choices": tuple(body.get("choices", ()))})


AUGMENT, BALANCE, TRANSFORMS = "augment", "balance", "transforms"
OFF, CLASSICAL = "none", "classical"
# What every generator can be told; see `genbench.plugins.serving`.
OF_HARNESS = (
    Parameter(AUGMENT, AUGMENT, "str", OFF, added=True, choices=(OFF, CLASSICAL), harness=True),
    Parameter(BALANCE, BALANCE, "bool", False, added=True, harness=True),
)


def is_harness(key: str, own: type) -> bool:
    """Whether a key of a choice's parameters is the harness's, and none of the dataclass `own`."""
    names = {name for field in dataclasses.fields(own) for name in (field.name, _key(field))}
    return key in (AUGMENT, BALANCE, TRANSFORMS) and key not in names


def declared(spec: GeneratorSpec, *, control: bool = False) -> tuple[Parameter, ...]:
    """The parameters that a spec's dataclass declares, and unless it is a control the harness's.

    `PluginError` if one has no default, or two could be meant by one name.
    """
    hints = get_type_hints(spec.params)
    found = []
    for field in dataclasses.fields(spec.params):
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            raise PluginError(
                f"generator {spec.name!r}: parameter {field.name!r} has no default: give it one"
            )
        kind, optional = _kind(hints[field.name])
        added = bool(field.metadata.get("added", False))
        choices = _choices(hints[field.name])
        found.append(
            Parameter(field.name, _key(field), kind, _plain(default), optional, added, choices)
        )
    _require_distinct(spec.name, found)
    ours = () if control else OF_HARNESS
    return (*found, *(p for p in ours if is_harness(p.key, spec.params)))


def by_field(params: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by key as the arguments of the dataclass `params`; lists become tuples again.

    Those of the harness are not among them.
    """
    fields = {_key(field): field.name for field in dataclasses.fields(params)}
    return {
        fields.get(key, key): tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
        if not is_harness(key, params)
    }


def by_key(generator: str, parameters: Sequence[Parameter], given: Mapping[str, T]) -> dict[str, T]:
    """The values that somebody set, whichever name was used, by key.

    `UsageError` for an unknown name, and for one parameter under both of its names.
    """
    keys = {name: p.key for p in parameters for name in (p.key, p.name)}
    found: dict[str, T] = {}
    for name, value in given.items():
        if name not in keys:
            known = [p.name for p in parameters]
            raise UsageError(
                f"generator {generator!r} has no parameter {name!r}: {did_you_mean(name, known)}"
            )
        if keys[name] in found:
            names = " and ".join(sorted(n for n in given if keys.get(n) == keys[name]))
            raise UsageError(f"{generator}: {names} are one parameter: keep one")
        found[keys[name]] = value
    return found


def parse(generator: str, parameter: Parameter, text: str) -> Any:
    """`text` as a value of the parameter's type; UsageError if it is none."""
    if parameter.optional and text.lower() == "none":
        return None
    try:
        match parameter.type:
            case "int":
                return int(text)
            case "float":
                value = float(text)
                if not abs(value) < float("inf"):
                    raise ValueError("not finite")
                return value
            case "bool":
                return {"true": True, "1": True, "yes": True, "false": False, "0": False,
                        "no": False}[text.lower()]  # fmt: skip
            case "str":
                if parameter.choices and text not in parameter.choices:
                    raise ValueError("none of the choices")
                return text
    except (ValueError, KeyError) as error:
        wanted = " or ".join(parameter.choices) or f"of type {parameter.type}"
        raise UsageError(
            f"{generator}:{parameter.name}={text!r} is not {wanted}: "
            f"the default is {parameter.default!r}"
        ) from error
    raise UsageError(
        f"{generator}:{parameter.name} is of type {parameter.type}, which cannot be set from text"
    )


def complete(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters by key: the defaults, with the values `given` by key laid over them.

    One that was added later is left out at its default: the cell stays what it was without it.
    """
    values = {p.key: given.get(p.key, p.default) for p in parameters}
    left_out = {p.key for p in parameters if p.added and _plain(values[p.key]) == p.default}
    return {key: value for key, value in values.items() if key not in left_out}


def _key(field: dataclasses.Field[Any]) -> str:
    """The name under which a field enters cell keys and records."""
    return str(field.metadata.get("key", field.name))


def _require_distinct(generator: str, parameters: Sequence[Parameter]) -> None:
    """Refuse a name that two parameters have, be it one's field and the other's key."""
    owners: dict[str, str] = {}
    for parameter in parameters:
        for name in (parameter.name, parameter.key):
            if not name.isidentifier():
                raise PluginError(
                    f"generator {generator!r}: parameter {parameter.name!r} has the key {name!r}, "
                    "which cannot be set: give it a name like a field's"
                )
            if owners.setdefault(name, parameter.name) != parameter.name:
                raise PluginError(
                    f"generator {generator!r}: parameters {owners[name]!r} and "
                    f"{parameter.name!r} are both called {name!r}: give one another key"
                )


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _kind(hint: Any) -> tuple[str, bool]:
    """A type hint's name without ``| None``, and whether it had that."""
    args = [a for a in get_args(hint) if a is not type(None)]
    if type(None) in get_args(hint) and len(args) == 1:
        return _kind(args[0])[0], True
    if get_origin(hint) is Literal:
        return type(args[0]).__name__, False
    if get_origin(hint) is tuple:
        return f"tuple[{_kind(args[0])[0]}]", False
    return getattr(hint, "__name__", str(hint)), False


def _choices(hint: Any) -> tuple[str, ...]:
    """The texts that a ``Literal`` allows."""
    return tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
