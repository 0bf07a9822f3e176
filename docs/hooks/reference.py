"""Pages made from the code while the site is built, so that nothing is copied by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent.parent
# Pages in the order in which people need them; others follow by name.
ORDER = ("index", "plugins", "bring-your-own", "text", "sound", "python", "augment", "export",
         "gpu", "cluster", "baselines", "publish", "trackers", "cli", "suites", "metrics",
         "extractors", "record", "limits", "promises")  # fmt: skip
MADE = ("cli", "suites", "record")
CONTRIBUTING = ("index", "metric", "kind", "baseline", "loader", "extractor", "executor", "tracker")
# Only pages of users' own: what a page is called is its first heading.


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: what is in the folder and what is made here."""
    folder = Path(config.docs_dir)
    config.nav = [f"{name}.md" for name in _ordered(_pages(folder) | set(MADE), ORDER)]
    there = _ordered(_pages(folder / "contributing"), CONTRIBUTING)
    config.nav.append({"Contributing": [f"contributing/{name}.md" for name in there]})
    return config


def _pages(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.md")}


def _ordered(names: set[str], order: tuple[str, ...]) -> list[str]:
    known = [name for name in order if name in names]
    return [*known, *sorted(names - set(known))]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {"cli": commands(), "suites": suites(), "record": record()}
    for name, text in made.items():
        files.append(File.generated(config, f"{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put the table of all metrics where a page asks for it."""
    return markdown.replace("<!-- metrics table -->", metrics())


def commands() -> str:
    """Every command with its help and options, as click knows them."""
    cli = importlib.import_module("genbench.cli").cli
    lines = ["# Commands", "", _help(cli, "genbench")]
    for path, command in _walk(cli, "genbench"):
        if command is not cli and not isinstance(command, click.Group):
            lines += [f"## {path.removeprefix('genbench ')}", "", _help(command, path)]
    return "\n".join(lines)


def _walk(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found += _walk(command.commands[name], f"{path} {name}")
    return found


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    return f"```text\n{command.get_help(context)}\n```\n"


def suites() -> str:
    """The fields of a suite file: the page that lies beside the suites."""
    text = (ROOT / "suites" / "README.md").read_text("utf-8")
    return text.replace("# Suites\n", "# Suite files\n", 1)


def metrics() -> str:
    """Every metric: what it is, its direction, what it needs, what it costs, who defined it."""
    table = importlib.import_module("genbench.metrics.table").METRICS
    better = {True: "higher", False: "lower", None: "neither"}
    lines = ["| id | what it says | better | unit | needs | cost | defined by |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, info in table.items():
        cells = (f"`{name}`", info.description, better[info.higher_is_better], info.unit or "-",
                 ", ".join(sorted(info.needs)), info.cost, info.reference)  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def record() -> str:
    """The fields of a record, from its JSON Schema."""
    schema = importlib.import_module("genbench.results.schema").record_schema()
    lines = [
        "# Records", "",
        "One attempt at a cell is one `record.json`, written last and never changed. "
        "`genbench show schema` prints this as JSON Schema; `genbench show FILE` prints a record. "
        "`digest` covers the whole record, `result_digest` leaves out when, where and how fast: "
        "two runs that computed the same thing have the same one.", "",
        "| field | holds |", "|---|---|",
    ]  # fmt: skip
    _fields(schema, "", lines)
    return "\n".join(lines) + "\n"


def _fields(schema: dict[str, Any], path: str, lines: list[str]) -> None:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    for name, part in properties.items():
        place = f"{path}{name}"
        optional = "" if name in required else ", may be absent"
        lines.append(f"| `{place}` | {_kind(part)}{optional} |")
        _fields(part, f"{place}.", lines)
        more = part.get("additionalProperties")
        if isinstance(more, dict):
            _fields(more, f"{place}.NAME.", lines)
        if isinstance(part.get("items"), dict):
            _fields(part["items"], f"{place}[].", lines)


def _kind(part: dict[str, Any]) -> str:
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    kind = part.get("type", "anything")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return text + (f": {part['description']}" if "description" in part else "")
