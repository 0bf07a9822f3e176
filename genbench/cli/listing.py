"""``genbench list`` and ``genbench show``."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from genbench.cli import options
from genbench.cli.output import Sheet, echo, echo_json, heading
from genbench.errors import GenbenchError, UsageError, did_you_mean, shorten

DOUBLED = "two packages claim this name: uninstall one"
SECTIONS = ("suites", "generators", "metrics", "extractors", "executors", "trackers")


@click.command("list")
@click.argument("section", required=False, type=click.Choice(SECTIONS))
@click.option(
    "--check",
    is_flag=True,
    help="Import each generator (in a process of its own), each metric of another package and each"
    " executor and tracker, and show the broken ones.",
)
@options.as_json()
def list_(section: str | None, check: bool, as_json: bool) -> int:
    """List suites, generators, metrics, extractors, executors and trackers.

    Reads metadata only; a plugin that does not import is still listed. Use --check to find it.
    """
    found = {name: _LISTS[name]() for name in ((section,) if section else SECTIONS)}
    if check:
        for name in found.keys() & _CHECKS:
            _CHECKS[name](found[name])
    if as_json:
        echo_json(found, indent=1, sort_keys=True)
    else:
        for name, rows in found.items():
            _print(name, rows)
    return 6 if any(row.get("problem") for rows in found.values() for row in rows) else 0


@click.command()
@click.argument(
    "what", metavar="SUITE|GENERATOR|FILE[:Class]|METRIC|EXTRACTOR|RECORD|RESULTS|schema"
)
@click.option(
    "--sweep", is_flag=True, help="Show each metric against each parameter that RESULTS vary."
)
@options.as_json()
def show(what: str, sweep: bool, as_json: bool) -> None:
    """Show one suite, generator, metric or extractor, a record file, or the record's schema.

    Of a generator, an installed one or FILE, it shows too which files its version covers, so that
    editing one makes a new row, and what the version leaves out.

    With --sweep, WHAT is a results folder: a table per parameter that rows of a generator differ
    in, as `genbench run --sweep` makes them.
    """
    if sweep:
        _show_sweeps(Path(what), as_json=as_json)
        return
    body = _find(what)
    if as_json or what == "schema" or what.endswith(".json"):
        echo_json(body, indent=1, sort_keys=True)
        return
    width = max(len(k) for k in body)
    for key, value in body.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines = textwrap.wrap(text, max(40, 96 - width)) or [""]
        echo(f"{key:<{width}}  {lines[0]}")
        for line in lines[1:]:
            echo(f"{'':<{width}}  {line}")


def _show_sweeps(place: Path, *, as_json: bool) -> None:
    from genbench.report import lines, measured, sweeps, table
    from genbench.results import gather

    if not place.is_dir():
        raise UsageError(f"--sweep reads a results folder: {shorten(str(place))} is none")
    tasks, _ = gather([place])
    body = []
    for task in tasks:
        board = table(task)
        about = f"{task.suite['suite']['name']} {task.suite['profile']}"
        for found in sweeps(board):
            shown = measured([found], board)
            head = (found.parameter, "other parameters", *(f"{c.title} {c.arrow}" for c in shown))
            body.append({"task": about, "sweep": found.title, "head": [h.strip() for h in head],
                         "lines": [list(line) for line in lines(found, shown)]})  # fmt: skip
    if not body:
        raise UsageError(
            f"{shorten(str(place))} holds no rows of one generator that differ in a parameter: "
            "make some with genbench run --sweep NAME:key=a,b,c"
        )
    if as_json:
        echo_json(body, indent=1)
        return
    for part in body:
        _print_sweep(part)


def _print_sweep(part: Mapping[str, Any]) -> None:
    heading(f"{part['task']}  {shorten(part['sweep'])}")
    several = any(line[1] for line in part["lines"])
    columns = [i for i in range(len(part["head"])) if several or i != 1]
    sheet = Sheet()
    for i in columns:
        sheet.column(part["head"][i], right=i != 1, wrap=False)
    for line in part["lines"]:
        sheet.row(shorten(line[i], 60) for i in columns)
    sheet.print()


def _suites() -> list[dict[str, Any]]:
    from genbench.tasks import load_suite, profiles_of, shipped

    rows = []
    for name in shipped():
        suite = load_suite(name)
        rows.append({
            "name": name,
            "version": suite.version,
            "about": suite.document["suite"]["description"],
            "profiles": ", ".join(profiles_of(name)),
        })  # fmt: skip
    return rows


def _generators() -> list[dict[str, Any]]:
    from genbench.plugins import installed
    from genbench.results import is_control

    rows = []
    for name, owners in installed().items():
        control = any(is_control(name, owner.provider) for owner in owners)
        row = {
            "name": name,
            "provider": " and ".join(o.provider for o in owners),
            "where": ", ".join(f"{o.module}:{o.attr}" for o in owners),
            "about": "control" if control else "generator",
        }
        if len(owners) > 1:
            row["problem"] = DOUBLED
        rows.append(row)
    return rows


# What is shown of a metric: the rest of its entry is for the machinery.
_OF_METRICS = ("id", "title", "description", "unit", "higher_is_better", "needs", "kinds", "group",
               "scale", "cost", "reference")  # fmt: skip


def _metrics() -> list[dict[str, Any]]:
    from genbench.metrics import METRICS, custom
    from genbench.system import extensions

    rows = [
        {"name": name, "provider": "genbench", **_facts(info)} for name, info in METRICS.items()
    ]
    unknown = dict.fromkeys(("better", "unit", "needs", "cost"), "-")
    for found in _announced(extensions.METRICS):
        row = {"name": found["name"], "provider": found["provider"], **unknown,
               "about": found["where"]}  # fmt: skip
        problem = custom.complaint(found["name"]) or found.get("problem")
        rows.append(row if problem is None else {**row, "problem": problem})
    return rows


def _announced(kind: str) -> list[dict[str, Any]]:
    """The names that packages announce for a kind of extension, with their owners."""
    from genbench.system import extensions

    return [
        {
            "name": name,
            "provider": " and ".join(sorted(map(extensions.owner, entries))),
            "where": ", ".join(entry.value for entry in entries),
            **({"problem": DOUBLED} if len(entries) > 1 else {}),
        }
        for name, entries in sorted(extensions.announced(kind).items())
    ]


def _facts(info: Any) -> dict[str, str]:
    """The columns of a metric's row."""
    return {
        "better": {True: "higher", False: "lower", None: "-"}[info.higher_is_better],
        "unit": info.unit or "-",
        "needs": ", ".join(sorted(info.needs)),
        "cost": info.cost,
        "about": info.description,
    }


def _extractors() -> list[dict[str, Any]]:
    from genbench.features import list_extractors
    from genbench.system import extensions

    rows = [
        {
            "name": name,
            "version": info.version,
            "kind": info.kind,
            "sha256": info.sha256[:12] or "-",
            "accuracy": "-" if info.accuracy is None else f"{info.accuracy:.2%}",
            "about": info.trained_on or "the points as they are",
        }
        for name, info in list_extractors().items()
    ]
    unknown = dict.fromkeys(("version", "kind", "sha256", "accuracy"), "-")
    others = _announced(extensions.EXTRACTORS)
    return rows + [{"name": o["name"], **unknown, "about": o["where"]} for o in others]


def _executors() -> list[dict[str, Any]]:
    from genbench.system import extensions

    return _announced(extensions.EXECUTORS)


def _trackers() -> list[dict[str, Any]]:
    from genbench.system import extensions

    return _announced(extensions.TRACKERS)


_LISTS = {
    "suites": _suites,
    "generators": _generators,
    "metrics": _metrics,
    "extractors": _extractors,
    "executors": _executors,
    "trackers": _trackers,
}


def _check(rows: list[dict[str, Any]]) -> None:
    from genbench.plugins import Prober, find

    with Prober() as prober:
        for row in rows:
            try:
                row["about"] = prober.describe(find(row["name"])).summary
            except GenbenchError as error:
                row["problem"] = str(error)


def _check_metrics(rows: list[dict[str, Any]]) -> None:
    """Import the metrics of other packages, and tell what they say of themselves."""
    from genbench.metrics import METRICS, custom

    def facts(name: str) -> dict[str, str]:
        custom.find(name)
        return _facts(custom.described(name))

    _ask([row for row in rows if row["name"] not in METRICS and "problem" not in row], facts)


def _check_executors(rows: list[dict[str, Any]]) -> None:
    """Import the executors, and tell what they say of themselves."""
    from genbench.running import executors

    _ask(rows, lambda name: _with_options(executors.find(name)))


def _with_options(cls: Any) -> dict[str, str]:
    """What an executor says of itself, and the options that it takes."""
    from genbench.running import executors

    about, options = _said(cls)["about"], ", ".join(executors.options_of(cls))
    return {"about": f"{about} Options: {options}." if options else about}


def _check_trackers(rows: list[dict[str, Any]]) -> None:
    """Import the trackers, not their libraries, and tell what they say of themselves."""
    from genbench import tracking

    _ask(rows, lambda name: _said(tracking.find(name)))


def _said(cls: Any) -> dict[str, str]:
    """The first line of a class's docstring."""
    return {"about": (cls.__doc__ or "").strip().partition("\n")[0]}


def _ask(rows: list[dict[str, Any]], facts: Callable[[str], dict[str, str]]) -> None:
    for row in rows:
        try:
            row.update(facts(row["name"]))
        except GenbenchError as error:
            row["problem"] = shorten(str(error), 300)


_CHECKS = {
    "generators": _check,
    "metrics": _check_metrics,
    "executors": _check_executors,
    "trackers": _check_trackers,
}


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    heading(title)
    columns = [c for c in dict.fromkeys(k for row in rows for k in row) if c != "problem"]
    widths = {c: max(len(str(row.get(c, ""))) for row in rows) for c in columns}
    for row in rows:
        line = "  ".join(f"{row.get(c, '')!s:<{widths[c]}}" for c in columns)
        echo(f"  {line.rstrip()}")
        if row.get("problem"):
            echo(row["problem"], mark="    broken:", colour="red")
    echo()


def _find(what: str) -> dict[str, Any]:
    from genbench.features import list_extractors
    from genbench.metrics import METRICS, custom
    from genbench.plugins import installed
    from genbench.system import extensions
    from genbench.tasks import load_suite, shipped

    if what == "schema":
        from genbench.results import record_schema

        return record_schema()
    path = Path(what)
    if path.suffix == ".json" or os.path.isfile(path / "record.json"):
        from genbench.system import read_json

        body = read_json(path / "record.json" if os.path.isdir(path) else path)
        if not isinstance(body, dict):
            raise UsageError(f"{what} holds no record")
        return body
    if what in shipped() or path.suffix == ".toml":
        return load_suite(what).describe()
    if what in installed() or what.endswith(".py") or ".py:" in what:
        return _generator(what)
    if what in METRICS:
        info = METRICS[what]
        body = {name: _plain(getattr(info, name)) for name in _OF_METRICS}
        return {**body, "parameters": dict(info.defaults)}
    others = extensions.announced(extensions.METRICS)
    if what in others:
        metric = custom.find(what)
        body = {name: getattr(metric, name) for name in metric.__slots__ if name != "function"}
        return {"id": what, "provider": custom.provider(what), **body,
                "parameters": metric.parameters}  # fmt: skip
    if what in list_extractors():
        extractor = list_extractors()[what]
        return {name: _plain(getattr(extractor, name)) for name in extractor.__slots__}
    known = {*shipped(), *installed(), *METRICS, *others, *list_extractors(), "schema"}
    raise UsageError(f"nothing is called {shorten(what)!r}: {did_you_mean(what, known)}")


def _generator(what: str) -> dict[str, Any]:
    from genbench.plugins import Prober, find, from_files, installed

    with Prober() as prober:
        refs = [find(what)] if what in installed() else [r for _, r in from_files([what], prober)]
        if len(refs) > 1:
            known = ", ".join(f"{what}:{ref.attr}" for ref in refs)
            raise UsageError(f"{what} defines {len(refs)} generators: show one of {known}")
        body = prober.describe(refs[0]).to_json()
    body["provider"] = refs[0].provider
    body["parameters"] = {
        p["name"]: f"{' | '.join(p['choices']) or p['type']} = {p['default']}"
        + (f" ({p['key']} in records)" if p["key"] != p["name"] else "")
        for p in body["parameters"]
    }
    body["version covers"] = ", ".join(body.pop("covers"))
    body["it leaves out"] = "; ".join(body.pop("left_out"))
    return body


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value
