"""Targets of tracking as a user names them: ``mlflow:URI``, ``wandb:PROJECT``, ``trackio``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.errors import UsageError, did_you_mean, shorten
from genbench.system import environment, extensions


@dataclass(frozen=True, slots=True)
class Target:
    """A tracker and the place that it is to write to, empty where none was named."""

    tracker: str
    place: str

    def __str__(self) -> str:
        """As it was typed, without passwords."""
        text = f"{self.tracker}:{self.place}" if self.place else self.tracker
        return environment.without_login(text)


def parse_targets(texts: Sequence[str]) -> tuple[Target, ...]:
    """Targets of texts ``TRACKER`` or ``TRACKER:PLACE``.

    `UsageError` for a tracker that no package announces, and for two targets of one tracker.
    """
    found: dict[str, Target] = {}
    for text in texts:
        name, _, place = text.partition(":")
        known = extensions.announced(extensions.TRACKERS)
        if name not in known:  # none at all: metadata from before there were any
            hint = did_you_mean(name, known) if known else "install genbench again"
            raise UsageError(f"unknown tracker {shorten(name)!r}: {hint}")
        target = Target(name, place)
        if name in found:
            raise UsageError(f"two targets of one tracker, {found[name]} and {target}: give one")
        found[name] = target
    return tuple(found.values())
