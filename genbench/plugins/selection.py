"""From what a user asked for to generators with all their parameters."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from genbench.errors import GenbenchError, PluginError, UsageError, did_you_mean, shorten, visible
from genbench.plugins import finding as plugins
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import GeneratorRef
from genbench.plugins.probing import Prober
from genbench.plugins.serving import for_suite
from genbench.results import CONTROLS, is_ours
from genbench.tasks import Suite


def choose(
    suite: Suite,
    asked: Sequence[str],
    plugin_files: Sequence[str],
    prober: Prober,
    *,
    controls: bool = True,
    sweeps: Sequence[str] = (),
) -> list[GeneratorChoice]:
    """The generators of a run: what `asked` names, what the files define, and the controls.

    Parameters
    ----------
    asked
        ``NAME`` or ``NAME:key=value,key=value``; ``all`` for every generator of this package that
        models the suite's kind of data, ``family:NAME`` for those of a family, other packages'
        included. Empty for what `plugin_files` define, or else for those that the suite names.
    plugin_files
        ``FILE`` or ``FILE:Class``.
    sweeps
        ``NAME:key=a,b,c``: every generator of that name runs once with each value. Several for one
        name make a grid.

    Raises
    ------
    UsageError
        For unknown names and parameters, and generators that cannot model the suite's kind of data.
    PluginError
        For generators that cannot be loaded.
    """
    local = dict(from_files(plugin_files, prober))
    grids = _grids(sweeps)
    names = [part for text in asked for part in _parsed(text, suite, prober)]
    if not names:
        names = [(name, {}) for name in local or (() if grids else _default(suite, prober))]
    names += [(name, {}) for name in grids if name not in dict(names)]
    chosen: dict[str, GeneratorChoice] = {}
    for name, given in [(n, p) for n, g in names for p in _swept(n, g, grids.get(n, [{}]))]:
        if name in CONTROLS:
            remedy = "controls run with every suite by themselves"
            if name in local:
                remedy = "give the class another spec.name"
            raise UsageError(f"{name!r} is a control: {remedy}")
        choice = _choice(name, given, local, prober)
        require_kind(choice, suite)
        choice = for_suite(choice, suite)
        chosen[f"{name}{sorted(choice.params.items())}"] = choice
    return [*chosen.values(), *(controls_of(suite, prober) if controls else ())]


def controls_of(suite: Suite, prober: Prober) -> list[GeneratorChoice]:
    """The control rows that the suite runs."""
    return [_control(name, suite, prober) for name in suite.controls]


def _parsed(text: str, suite: Suite, prober: Prober) -> list[tuple[str, dict[str, str]]]:
    """The generators of one ``-g``, each with its parameters as texts."""
    if text == "all":
        return [(name, {}) for name in _families(baselines(), suite, prober)]
    what, _, family = text.partition(":")
    if what != "family":
        return [_parse(text)]
    known = _families(set(plugins.installed()) - set(CONTROLS), suite, prober)
    if found := [name for name, given in known.items() if given == family]:
        return [(name, {}) for name in found]
    raise UsageError(
        f"no generator of {suite.space.kind} is of the family {shorten(family)!r}: "
        f"{did_you_mean(family, set(known.values()))}"
    )


def _families(names: Iterable[str], suite: Suite, prober: Prober) -> dict[str, str]:
    """Those of the generators that model the suite's kind of data, each with its family."""
    families = {}
    for name in sorted(names):
        try:
            description = prober.describe(plugins.find(name))
        except GenbenchError:  # a broken package costs nothing but its own rows
            continue
        if suite.space.kind in description.kinds:
            families[name] = description.family
    return families


def _default(suite: Suite, prober: Prober) -> Sequence[str]:
    """The generators that the suite names, or else the baselines that model its kind of data."""
    if found := suite.generators or tuple(_families(baselines(), suite, prober)):
        return found
    raise UsageError(f"no baseline models {suite.space.kind}: name a generator with -g or --plugin")


def baselines() -> list[str]:
    """Names of the baselines that ship with genbench."""
    return [
        name
        for name, owners in plugins.installed().items()
        if name not in CONTROLS and any(is_ours(o.provider) for o in owners)
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


def _grids(sweeps: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """For each generator that is swept, every combination of values, as texts by key."""
    axes: dict[str, dict[str, list[str]]] = {}
    for text in sweeps:
        name, key, values = _parse_sweep(text)
        if key in axes.setdefault(name, {}):
            raise UsageError(f"--sweep sets {name}:{key} twice: give all values in one")
        axes[name][key] = values
    return {
        name: [dict(zip(keys, point, strict=True)) for point in itertools.product(*keys.values())]
        for name, keys in axes.items()
    }


def _parse_sweep(text: str) -> tuple[str, str, list[str]]:
    """``name:key=a,b,c`` as name, key and values."""
    name, _, rest = text.partition(":")
    key, _, listed = rest.partition("=")
    values = listed.split(",")
    if "=" in listed:
        raise UsageError(
            f"--sweep {text!r} names two parameters: repeat --sweep, and every combination runs"
        )
    if not name or not key or "" in values:
        raise UsageError(f"--sweep {text!r} is not NAME:key=a,b,c, such as vae:latent=8,16,32")
    if len(set(values)) < len(values):
        raise UsageError(f"--sweep {text!r} gives a value twice: keep one")
    return name, key, values


def _swept(name: str, given: dict[str, str], points: list[dict[str, str]]) -> list[dict[str, str]]:
    """The parameters that ``-g`` gave a generator, once with each point of its grid."""
    for key in points[0].keys() & given.keys():
        raise UsageError(f"{name}:{key} is set by both -g and --sweep: keep one")
    return [{**given, **point} for point in points]


def _choice(
    name: str, given: dict[str, str], local: dict[str, GeneratorRef], prober: Prober
) -> GeneratorChoice:
    if name not in local and local and name not in plugins.installed():
        known = {*local, *plugins.installed()} - set(CONTROLS)
        raise UsageError(f"unknown generator {name!r}: {did_you_mean(name, known)}")
    ref = local.get(name) or plugins.find(name)
    description = prober.describe(ref)
    passed = description.parse(given)
    return GeneratorChoice(ref, description, description.complete(passed), passed)


def _control(name: str, suite: Suite, prober: Prober) -> GeneratorChoice:
    ref = plugins.find(name)
    description = prober.describe(ref)
    table = suite.document.get("controls", {})
    known = {p.name for p in description.parameters}
    given = description.parse({k: str(v) for k, v in table.items() if k in known})
    return GeneratorChoice(ref, description, description.complete(given), {})


def require_kind(choice: GeneratorChoice, suite: Suite) -> None:
    """Refuse a generator that cannot model the suite's kind of data."""
    kinds = choice.description.kinds
    if suite.space.kind not in kinds:
        raise UsageError(
            f"generator {choice.name!r} models {', '.join(kinds)}, "
            f"suite {suite.name!r} holds {suite.space.kind}: leave it out, or name the kind in its "
            "spec if it can make such rows"
        )


def file_and_class(text: str) -> tuple[Path, str]:
    """``FILE[:Class]`` as an absolute path and a class name, empty for every class."""
    path, _, wanted = text.partition(".py:")
    return Path(path + (".py" if wanted else "")).resolve(), wanted


def from_files(files: Sequence[str], prober: Prober) -> list[tuple[str, GeneratorRef]]:
    """Each generator of the plugin files ``FILE[:Class]``, by name.

    Raises
    ------
    UsageError
        If a file has no such class, or no generator, or two of one name.
    PluginError
        If a file does not import.
    """
    found: dict[str, GeneratorRef] = {}
    for text in files:
        path, wanted = file_and_class(text)
        if not os.path.isfile(path):  # before a process is started for it
            raise PluginError(f"no plugin file at {shorten(str(path))}: check the path")
        classes = prober.classes_in(path)
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
                    name, cls, f"file {visible(path.name)}", file=str(path), track_source=True
                )
    return list(found.items())
