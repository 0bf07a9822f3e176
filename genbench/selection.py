"""From what a user asked for to generators with all their parameters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from genbench import plugins
from genbench.cellspec import CONTROL_SPLITS, GeneratorChoice
from genbench.errors import PluginError, UsageError, did_you_mean, shorten
from genbench.executors.local import LocalExecutor
from genbench.plugins import GeneratorRef
from genbench.suite import Suite

OWN = "genbench.baselines."


def choose(
    suite: Suite,
    asked: Sequence[str],
    plugin_files: Sequence[str],
    executor: LocalExecutor,
    *,
    controls: bool = True,
) -> list[GeneratorChoice]:
    """The generators of a run: what `asked` names, what the files define, and the controls.

    Parameters
    ----------
    asked
        ``NAME`` or ``NAME:key=value,key=value``; empty for what `plugin_files` define, or else
        for every baseline.
    plugin_files
        ``FILE`` or ``FILE:Class``.

    Raises
    ------
    UsageError
        For unknown names and parameters, and generators that cannot model the suite's kind of data.
    PluginError
        For generators that cannot be loaded.
    """
    local = dict(_from_files(plugin_files, executor))
    names = [_parse(text) for text in asked]
    if not names:
        names = [(name, {}) for name in local or baselines()]
    chosen: dict[str, GeneratorChoice] = {}
    for name, given in names:
        if name in CONTROL_SPLITS:
            raise UsageError(f"{name!r} is a control: controls run with every suite by themselves")
        choice = _choice(name, given, local, executor)
        _require_kind(choice, suite)
        chosen[f"{name}{sorted(choice.params.items())}"] = choice
    return [*chosen.values(), *(controls_of(suite, executor) if controls else ())]


def controls_of(suite: Suite, executor: LocalExecutor) -> list[GeneratorChoice]:
    """The control rows that the suite runs."""
    return [_control(name, suite, executor) for name in suite.controls]


def baselines() -> list[str]:
    """Names of the baselines that ship with genbench."""
    return [
        name
        for name, owners in plugins.installed().items()
        if name not in CONTROL_SPLITS and any(str(o.module).startswith(OWN) for o in owners)
    ]


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0,1,2`` as distinct whole numbers; UsageError for anything else."""
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} is not a list of whole numbers like 0,1,2") from error
    if min(seeds) < 0 or max(seeds) >= 1 << 31 or len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds {text!r}: give distinct numbers from 0 to 2147483647")
    return seeds


def _parse(text: str) -> tuple[str, dict[str, str]]:
    """``name:key=value,...`` as a name and texts by key."""
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise UsageError(f"-g {text!r}: {part!r} is not key=value")
        if key in given:
            raise UsageError(f"-g {text!r} sets {key!r} twice: keep one")
        given[key] = value
    return name, given


def _choice(
    name: str, given: dict[str, str], local: dict[str, GeneratorRef], executor: LocalExecutor
) -> GeneratorChoice:
    if name not in local and local and name not in plugins.installed():
        known = {*local, *plugins.installed()} - set(CONTROL_SPLITS)
        raise UsageError(f"unknown generator {name!r}: {did_you_mean(name, known)}")
    ref = local.get(name) or plugins.find(name)
    description = executor.describe(ref)
    params = description.resolve(given)
    return GeneratorChoice(ref, description, params, {k: params[k] for k in given})


def _control(name: str, suite: Suite, executor: LocalExecutor) -> GeneratorChoice:
    ref = plugins.find(name)
    description = executor.describe(ref)
    table = suite.document.get("controls", {})
    known = {p.name for p in description.parameters}
    given = {k: str(v) for k, v in table.items() if k in known}
    return GeneratorChoice(ref, description, description.resolve(given), {})


def _require_kind(choice: GeneratorChoice, suite: Suite) -> None:
    kinds = choice.description.kinds
    if suite.space.kind not in kinds:
        raise UsageError(
            f"generator {choice.name!r} models {', '.join(kinds)}, "
            f"suite {suite.name!r} holds {suite.space.kind}: leave it out"
        )


def _from_files(files: Sequence[str], executor: LocalExecutor) -> list[tuple[str, GeneratorRef]]:
    """Each generator of the plugin files, by name."""
    found: dict[str, GeneratorRef] = {}
    for text in files:
        path_text, _, wanted = text.partition(".py:")
        path = Path(path_text + (".py" if wanted else "")).absolute()
        if not os.path.isfile(path):  # before a process is started for it
            raise PluginError(f"no plugin file at {shorten(str(path))}: check the path")
        classes = executor.classes_in(path)
        if wanted and wanted not in [cls for cls, _ in classes]:
            raise UsageError(
                f"{path.name} has no generator class {wanted!r}: "
                f"{did_you_mean(wanted, [cls for cls, _ in classes])}"
            )
        if not classes:
            raise UsageError(
                f"{path.name} defines no generator: a class with a GeneratorSpec `spec`"
            )
        for cls, name in classes:
            if wanted in ("", cls):
                if name in found:
                    raise UsageError(
                        f"two plugin classes are named {name!r}: choose with FILE:Class"
                    )
                found[name] = GeneratorRef(
                    name, cls, f"file {path.name}", file=str(path), track_source=True
                )
    return list(found.items())
