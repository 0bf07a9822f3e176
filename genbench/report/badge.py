"""The badge of a task: a few words for the top of a README."""

from __future__ import annotations

from typing import Any

from genbench.report.page import Page
from genbench.report.text import shorten


def badge_text(found: Page) -> dict[str, Any]:
    """The text of a badge: the suite and profile, and the leader on the primary metric."""
    board = found.table
    message, colour = "no results", "#6a6a6a"
    if board.placed and board.columns:
        first = board.columns[0].id
        best = next((row for row in board.placed if row.values[first].rank), board.placed[0])
        value = best.values[board.columns[0].id]
        message, colour = f"{best.name} {board.columns[0].title} {value.text}", "#1f6f54"
        if not value.rank:  # an order claims no lead
            message, colour = f"{message}, one seed", "#6a6a6a"
    label = f"{found.suite['suite']['name']} {found.suite['profile']}"
    label, message = shorten(label, 40), shorten(message, 60)
    # Seven pixels a character at 11 px; textLength makes every font keep to it.
    return {
        "label": label,
        "message": message,
        "colour": colour,
        "left": 7 * len(label) + 12,
        "right": 7 * len(message) + 12,
    }
