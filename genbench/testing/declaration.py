"""Checks of a generator's declaration: its import, its spec, its parameters."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, get_args

from genbench import kinds
from genbench.errors import ContractError, PluginError, UsageError
from genbench.generator import GeneratorSpec, Labels, Likelihood
from genbench.plugins import Description, GeneratorRef
from genbench.plugins import finding as plugins
from genbench.testing.slowdown import slowdown
from genbench.testing.subject import changed, random_states, require

IMPORT_SECONDS = 10.0
DESCRIPTION = "description.json"


def check_import(ref: GeneratorRef, here: Path) -> None:
    """Import the plugin's module: how long, what it writes, what it seeds."""
    beside = [here] if ref.file is None else [here, Path(ref.file).parent]
    before, states = [_listing(folder) for folder in beside], random_states()
    slow, start = slowdown(), time.perf_counter()
    try:
        plugins.import_plugin(ref)
    except PluginError as error:
        cause = error.__cause__
        if not isinstance(cause, PermissionError):
            raise
        name = Path(str(cause.filename)).name
        raise ContractError(f"importing it wrote {name}: write nothing at import") from cause
    seconds = time.perf_counter() - start
    require(
        seconds <= IMPORT_SECONDS * slow,
        f"importing it took {seconds:.1f} s: move slow work from the module into fit()",
    )
    for folder, names in zip(beside, before, strict=True):
        new = sorted(_listing(folder) - names)
        require(not new, f"importing it wrote {', '.join(new)}: write nothing at import")
    disturbed = changed(states)
    require(
        not disturbed,
        f"importing it changed the global random state of {', '.join(disturbed)}: seed in fit(), "
        "inside torch.random.fork_rng",
    )


def check_spec(ref: GeneratorRef, out: Path) -> None:
    """Load the class, look at every field of its spec, and write its description."""
    description = plugins.describe(ref)
    problems = [*_field_problems(plugins.load(ref).spec), *_parameter_problems(description)]
    require(not problems, "; ".join(problems))
    (out / DESCRIPTION).write_text(json.dumps(description.to_json()))


def read_description(out: Path) -> Description:
    """Read the description that `check_spec` wrote."""
    return Description.from_json(json.loads((out / DESCRIPTION).read_text()))


def _listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def _field_problems(spec: GeneratorSpec) -> list[str]:
    found = [
        f"spec.{name} is {getattr(spec, name)!r}: give a text"
        for name in ("version", "family")
        if not isinstance(getattr(spec, name), str) or not getattr(spec, name)
    ]
    given: Any = spec.kinds
    if not isinstance(given, tuple) or not given or not set(given) <= set(kinds.names()):
        found.append(f"spec.kinds is {given!r}: give a tuple of {_either(kinds.names())}")
    if spec.labels not in get_args(Labels):
        found.append(f"spec.labels is {spec.labels!r}: give {_either(get_args(Labels))}")
    if spec.likelihood is not None and spec.likelihood not in get_args(Likelihood):
        allowed = _either(get_args(Likelihood))
        found.append(f"spec.likelihood is {spec.likelihood!r}: give {allowed}, or None")
    if not set(spec.likelihood_kinds) <= set(given):
        found.append(f"spec.likelihood_kinds is {spec.likelihood_kinds!r}: give some of its kinds")
    if not getattr(spec.params, "__dataclass_params__").frozen:  # noqa: B009 - mypy knows no such
        found.append(f"{spec.params.__name__} is not frozen: write @dataclass(frozen=True)")
    return found


def _parameter_problems(description: Description) -> list[str]:
    found = []
    for parameter in description.parameters:
        where = f"parameter {parameter.name!r}"
        try:
            json.dumps(parameter.default, allow_nan=False)
        except (TypeError, ValueError):
            found.append(f"{where}: the default {parameter.default!r} cannot stand in a record")
            continue
        if isinstance(parameter.default, list):
            continue
        try:
            value = description.parse({parameter.name: str(parameter.default)})[parameter.key]
        except UsageError as error:
            found.append(f"{where}: {error}")
            continue
        if value != parameter.default:
            found.append(f"{where}: the default {parameter.default!r} is read back as {value!r}")
    return found


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(repr(name) for name in names)
