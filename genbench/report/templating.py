"""The templates of a report, and what they may call."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from genbench.errors import visible
from genbench.report import text
from genbench.report.figures import Figure
from genbench.report.groups import column_groups, roomy
from genbench.report.page import compare_data, verdict
from genbench.report.row_pages import code_of, sentence
from genbench.results import plain


@cache
def environment() -> jinja2.Environment:
    """Compiled templates are kept: a run renews its report after each cell."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("genbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        short=lambda v, limit=48: text.shorten(v if isinstance(v, str) else plain(v), limit),
        num=lambda v, digits=4: text.number(v, digits) if _is_number(v) else str(v),
        seconds=lambda v: text.duration(v if _is_number(v) else None),
        bytes=lambda v: text.size(v if _is_number(v) else None),
        count=text.count,
        thousands=lambda v: f"{v:,}" if _is_number(v) else str(v),
        plain=plain,
        hash8=lambda v: str(v).removeprefix("sha256:")[:8],
        clip=_clip,
        coded=lambda v: text.coded(v if isinstance(v, str) else plain(v)),
    )
    made.globals.update(
        verdict=verdict,
        column_groups=column_groups,
        roomy=roomy,
        sentence=sentence,
        code_of=code_of,
        compare_data=compare_data,
        island=lambda body: Markup(text.island(body)),
        specs=_specs,
    )
    return made


def _finalize(value: Any) -> Any:
    """Every string that reaches a page: hidden characters are written out, then it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _clip(value: Any, limit: int = 2000) -> str:
    value = str(value)
    return value if len(value) <= limit else f"{value[:limit]}\n… ({len(value):,} characters)"


def _is_number(value: Any) -> bool:
    return text.finite(value) is not None


def _specs(figure: Figure) -> Markup:
    """All variants of a figure and their findings, safe inside a script element."""
    specs = ",".join(f"{json.dumps(key)}:{spec}" for key, spec in figure.specs.items())
    findings = json.dumps(dict(figure.findings), sort_keys=True)
    return Markup(text.island(f'{{"specs":{{{specs}}},"findings":{findings}}}'))
