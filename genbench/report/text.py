"""Numbers and untrusted strings as text a reader can trust: nothing hidden, nothing executed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from genbench.errors import visible
from genbench.results import dumps

# With the wide forms, which some spreadsheets take for the narrow ones.
_ISLAND = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shorten(text: str, limit: int = 48) -> str:
    """`text` cut in the middle to `limit` characters, so that both ends stay recognisable."""
    text = visible(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def coded(text: str) -> Markup:
    """`text` escaped, what stands in it between backticks as code."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # one of them has no partner
        parts[-2:] = ["`".join(parts[-2:])]
    return Markup().join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


def plot_label(text: str, limit: int = 40) -> str:
    """`text` for a Plotly label, whose pseudo-HTML must not be understood in it."""
    short = shorten(" ".join(text.split()), limit)
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plot_labels(texts: Sequence[str], limit: int = 40) -> list[str]:
    """`plot_label` of each; numbered where cutting made two alike, which Plotly would merge."""
    found: list[str] = []
    for text in texts:
        label, count = plot_label(text, limit), 1
        while label in found:
            count += 1
            label = f"{plot_label(text, limit)} ({count})"
        found.append(label)
    return found


def island(body: Any) -> str:
    """`body` as JSON that is safe inside a script element of type ``application/json``.

    A string is taken to be JSON already (Plotly's own serialiser writes such).
    """
    text = body if isinstance(body, str) else dumps(body)
    return re.sub("[<>&\u2028\u2029]", lambda match: _ISLAND[match.group()], text)


def slug(text: str) -> str:
    """`text` as a safe file and element name; hashed where cutting it would make it ambiguous."""
    safe = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
    if safe == text.lower() and len(safe) <= 80:
        return safe
    return f"{safe[:40] or 'x'}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def finite(value: Any) -> float | None:
    """`value` as a float if it is a finite number, else None: a record may hold anything."""
    if type(value) is float:  # nearly all, so first
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float can hold
        return None


def number(value: float | None, digits: int = 4) -> str:
    """`value` with `digits` significant digits: ``12.35``, ``3864``, ``1.2×10⁻⁶``, ``—``."""
    if value is None or not math.isfinite(value):
        return "—"
    size = abs(value)
    if size != 0 and (size < 10.0**-digits or size >= 1e6):
        mantissa, exponent = f"{value:.{max(1, digits - 2)}e}".split("e")
        return f"{_minus(mantissa)}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    decimals = digits - 1 if size == 0 else digits - 1 - math.floor(math.log10(size))
    return _fixed(value, max(0, min(decimals, digits)))


def with_error(value: float, half: float | None) -> tuple[str, str]:
    """`value` and its half-width, both to the last digit that the half-width leaves standing.

    That is the half-width's second significant digit where these two are at most 35, else the
    first: ``5.34 ±0.16`` but ``0.747 ±0.004``.
    """
    if half is None or not math.isfinite(half):
        return number(value), ""
    if half <= 0:
        return number(value), "0"
    if value == 0:
        return "0", number(half, 2)
    largest = max(abs(value), half)
    if largest >= 1e6 or largest < 1e-4:
        return number(value, 3), number(half, 3)
    place = math.floor(math.log10(half))
    decimals = (1 if half / 10.0**place <= 3.55 else 0) - place
    decimals = max(0, min(decimals, 4 - min(0, math.floor(math.log10(largest)))))
    return _fixed(value, decimals), _fixed(half, decimals)


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else _minus(text)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def duration(seconds: float | None) -> str:
    """Seconds as ``0.4 s``, ``181 s``, ``12.5 min`` or ``3.2 h``."""
    if seconds is None or not math.isfinite(seconds):
        return "—"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(value: float | None) -> str:
    """A count as ``950``, ``12.4 k``, ``3.1 M``."""
    if value is None or not math.isfinite(value):
        return "—"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g} {unit}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(n_bytes: float | None) -> str:
    """Bytes as ``812 MB`` or ``1.42 GB`` (powers of ten)."""
    if n_bytes is None or not math.isfinite(n_bytes):
        return "—"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.3g} {unit}"
    return f"{n_bytes:.0f} B"
