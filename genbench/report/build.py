"""Write a report: the pages, the pictures, the data; nothing in it depends on time or order."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import re
from collections.abc import Callable, Hashable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from genbench.errors import StoreError
from genbench.report import text
from genbench.report.badge import badge_text
from genbench.report.cells import CellView, cell_view, record_json
from genbench.report.curves import CURVES
from genbench.report.exports import curves_csv, long_csv, table_json, wide_csv
from genbench.report.halves import in_halves
from genbench.report.images import Picture
from genbench.report.matrix import matrix
from genbench.report.page import Page, page, page_id
from genbench.report.row_pages import RowView, row_view
from genbench.report.rows import Row
from genbench.report.templating import environment
from genbench.results import Entry, TaskResults
from genbench.system import write_bytes

MANIFEST = "manifest.json"
OTHERS = 0.12  # what the pages of rows and the data take of the time of the pages of cells
PLOTLY = "plotly-cartesian.min.js"
SCRIPTS = ("theme.js", "state.js", "columns.js", "table.js", "figures.js", "samples.js",
           "sounds.js", "compare.js")  # fmt: skip
_CSP = (
    "default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
)
_ULID = re.compile(r"[0-9A-Za-z]{1,40}")
_OURS = re.compile(r"(index|[a-z0-9._-]+)\.html|(cells|data|images|rows)/[A-Za-z0-9._-]+")


def build(tasks: Sequence[TaskResults], out: Path, single_file: bool, badge: bool = False) -> Path:
    """See `genbench.report.build_report`."""
    # The records are many, stay until the end and hold no cycles: not looked at by each collection,
    # they are not copied by the second process either.
    gc.freeze()
    try:
        return _build(tasks, out, single_file, badge)
    finally:
        gc.unfreeze()


def _build(tasks: Sequence[TaskResults], out: Path, single_file: bool, badge: bool) -> Path:
    site = _Site(out, single_file)
    pages = [
        page(task, identity, site.place)
        for identity, task in sorted(_identities(tasks).items())
    ]  # fmt: skip
    site.alone = len(pages) <= 1 or single_file
    heavy = [_asset(PLOTLY), site.script]
    bodies = pages if site.alone else []
    several = matrix(pages, site.place) if len(pages) > 1 else None
    styles = ("report.css", "matrix.css") if several else ("report.css",)
    head = _head(heavy if bodies else [site.script], styles=styles)
    body = site.render("index.html.j2", pages=pages, bodies=bodies, matrix=several, **head)
    site.write("index.html", body)
    if not single_file:
        for found in pages:
            if not site.alone:
                body = site.render("task.html.j2", page=found, **_head(heavy))
                site.write(f"{found.id}.html", body)
            _write_details(site, found)
    if badge:
        for found in pages:
            body = site.render("badge.svg.j2", **badge_text(found))
            site.write(f"data/{found.id}-badge.svg", body)
    site.finish()
    return out / "index.html"


def _identities(tasks: Sequence[TaskResults]) -> dict[str, TaskResults]:
    found: dict[str, TaskResults] = {}
    for task in sorted(tasks, key=lambda t: (page_id(t), str(t.suite.get("task", "")))):
        identity = page_id(task)
        if identity in found or identity == "index":
            identity = f"{identity}-{hashlib.sha256(str(task.suite).encode()).hexdigest()[:8]}"
        found[identity] = task
    return found


def _write_details(site: _Site, found: Page) -> None:
    """Write the pages of rows and cells, and the data.

    They are named before any is written: two processes do that.
    """
    for row in found.table.rows:
        site.row_name(found, row)
    for _, entry in found.entries:
        site.cell_name(entry)

    def others() -> None:
        _write_rows(site, found)
        for name, make in _data_of(found).items():
            site.write(f"data/{found.id}-{name}", make(found))

    _write_cells(site, found, others)


def _write_rows(site: _Site, found: Page) -> None:
    up = f"../{site.page_file(found)}"
    head = _head([site.script], home="../index.html")
    rows = found.table.rows
    for before, row, after in zip((None, *rows), rows, (*rows[1:], None), strict=False):
        view = row_view(row, found, site.place_above, lambda entry: f"../{site.link(entry)}")
        around = {"before": before, "after": after}
        body = site.render("row.html.j2", view=view, page=found, up=up, **around, **head)
        site.write(f"rows/{site.row_name(found, row)}.html", body)


def _write_cells(site: _Site, found: Page, others: Callable[[], None]) -> None:
    up = f"../{site.page_file(found)}"
    head = _head([site.script], home="../index.html")
    names = [site.cell_name(entry) for _, entry in found.entries]

    def write(cells: Sequence[tuple[str, tuple[Row, Entry]]]) -> dict[str, str]:
        for name, (row, entry) in cells:
            view = cell_view(row, entry, found, site.place_above, f"{name}.json")
            site.write(f"cells/{name}.json", view.json)
            body = site.render("cell.html.j2", view=view, page=found, up=up, **head)
            site.write(f"cells/{name}.html", body)
        return site.written

    cells = list(zip(names, found.entries, strict=True))
    site.written.update(in_halves(write, cells, first=others, takes=OTHERS))


def _data_of(found: Page) -> dict[str, Callable[[Page], str]]:
    """The data of a page by file name, to be made."""
    data: dict[str, Callable[[Page], str]] = {
        "table.csv": wide_csv,
        "values.csv": long_csv,
        "table.json": table_json,
    }
    if any(figure.file == CURVES for figure in found.figures):
        data[CURVES] = curves_csv
    return data


def _asset(name: str) -> str:
    return (resources.files("genbench.report") / "static" / name).read_text("utf-8")


def _head(
    scripts: Sequence[str], home: str = "index.html", styles: Sequence[str] = ("report.css",)
) -> dict[str, Any]:
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    return {
        "scripts": [Markup(s) for s in scripts],
        "csp": _CSP.format(hashes=" ".join(f"'sha256-{h}'" for h in hashes)),
        "css": Markup("".join(map(_asset, styles))),
        "home": home,
    }


class _Site:
    """The output folder while it is written: addresses, files so far, what to remove at the end."""

    def __init__(self, out: Path, single: bool) -> None:
        self.out = out
        self.single = single
        self.alone = True
        self.script = "".join(_asset(name) for name in SCRIPTS)
        self.written: dict[str, str] = {}
        self._names: dict[Hashable, str] = {}
        self._data: dict[str, dict[str, str]] = {}
        self._taken: set[str] = set()

    def cell_name(self, entry: Entry) -> str:
        """A name of the cell's page that is safe and unique, whatever the record's id is."""
        record_id = entry.record.record_id
        name = record_id if _ULID.fullmatch(record_id) else text.slug(record_id)
        return self._unique(id(entry.record), name)

    def _unique(self, key: Hashable, wanted: str) -> str:
        """The name of what `key` stands for: the one `wanted`, or the next that is free."""
        if key not in self._names:
            name = wanted
            while name.casefold() in self._taken:  # some file systems know no case
                name = f"{name}-2"
            self._taken.add(name.casefold())
            self._names[key] = name
        return self._names[key]

    def render(self, template: str, **values: Any) -> str:
        """A page of a template, which can ask for addresses of the report's other parts."""
        return (
            environment()
            .get_template(template)
            .render(
                single=self.single,
                link=self.link,
                cell_id=lambda entry: f"cell-{self.cell_name(entry)}",
                cell_view=self.view,
                row_link=self.row_link,
                row_name=self.row_name,
                row_view=self.view_of_row,
                downloads=self.downloads,
                page_link=lambda found: f"#{found.id}" if self.alone else self.page_file(found),
                **values,
            )
        )

    def link(self, entry: Entry) -> str:
        """Address of the cell's details, from a task's page."""
        name = self.cell_name(entry)
        return f"#cell-{name}" if self.single else f"cells/{name}.html"

    def page_file(self, found: Page) -> str:
        """Name of the file that a task's page is in."""
        return "index.html" if self.alone else f"{found.id}.html"

    def row_name(self, found: Page, row: Row) -> str:
        """A name of the row's page that is safe and unique, whatever the row is called."""
        return self._unique((found.id, row.id), f"{found.id[:60]}-{text.slug(row.label)[:50]}")

    def row_link(self, found: Page, row: Row) -> str:
        """Address of the row's page, from its task's page."""
        name = self.row_name(found, row)
        return f"#row-{name}" if self.single else f"rows/{name}.html"

    def place(self, picture: Picture) -> str:
        """Store a picture; its address from the top folder."""
        if self.single:
            return picture.uri
        name = f"images/{picture.name}"
        if name not in self.written:
            self._put(name, picture.data)
        return name

    def place_above(self, picture: Picture) -> str:
        """Store a picture; its address from a folder below the top."""
        return f"../{self.place(picture)}"

    def view_of_row(self, row: Row, found: Page) -> RowView:
        """A row's details inside the single file."""
        return row_view(row, found, self.place, self.link)

    def view(self, row: Row, entry: Entry, found: Page) -> CellView:
        """A cell's details inside the single file."""
        content = base64.b64encode(record_json(entry.record).encode()).decode()
        return cell_view(row, entry, found, self.place, f"data:application/json;base64,{content}")

    def downloads(self, found: Page) -> list[tuple[str, str]]:
        """Names and addresses of the page's data."""
        if not self.single:
            return [(name, f"data/{found.id}-{name}") for name in _data_of(found)]
        return [
            (name, "data:text/plain;base64," + base64.b64encode(content.encode()).decode())
            for name, content in self._data_inside(found).items()
        ]

    def _data_inside(self, found: Page) -> dict[str, str]:
        """The data of a page of the single file by name, made once."""
        if found.id not in self._data:
            self._data[found.id] = {name: make(found) for name, make in _data_of(found).items()}
        return self._data[found.id]

    def write(self, name: str, content: str) -> None:
        """Put a text file into the report."""
        self._put(name, content.encode("utf-8", "replace"))

    def _put(self, name: str, data: bytes) -> None:
        path = self.out / name
        self.written[name] = hashlib.sha256(data).hexdigest()
        try:
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return
            write_bytes(path, data, sync=False)
        except (OSError, StoreError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            raise StoreError(
                f"cannot write the report to {path}: {getattr(cause, 'strerror', cause)}: "
                "choose another folder with -o"
            ) from error

    def finish(self) -> None:
        """Remove what an earlier report left here and this one does not have; list the files."""
        for name in self._before():
            if name not in self.written and _OURS.fullmatch(name) and ".." not in name:
                (self.out / name).unlink(missing_ok=True)
        body = {"schema": "genbench.report-files/1", "files": dict(sorted(self.written.items()))}
        self.write(MANIFEST, json.dumps(body, indent=1) + "\n")

    def _before(self) -> list[str]:
        try:
            body = json.loads((self.out / MANIFEST).read_text("utf-8"))
            return [str(name) for name in body["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []
