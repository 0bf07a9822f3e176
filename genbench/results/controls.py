"""The one definition of a control: a reference row of genbench's own that calibrates the metrics.

A control is one of the names below, announced by genbench's own distribution. What a generator or a
record calls its family decides nothing; whoever else calls it ``control`` is refused, or unranked.
"""

from __future__ import annotations

FAMILY = "control"
DISTRIBUTION = "genbench"

# Controls and the split each is drawn from; every other generator sees the training split alone.
CONTROLS = {
    "heldout": "valid",
    "train-copy": "train",
    "gaussian": "train",
    "noise": "train",
    "mode-dropped": "valid",
    "logmel-gaussian": "train",
}


def is_ours(provider: str) -> bool:
    """Whether a generator's provider, ``distribution version``, is genbench itself."""
    return provider.partition(" ")[0] == DISTRIBUTION


def is_control(name: str, provider: str) -> bool:
    """Whether the generator of that name and provider is a control."""
    return name in CONTROLS and is_ours(provider)


def poses_as_control(name: str, provider: str, family: object) -> bool:
    """Whether a generator calls its family ``control`` and is none."""
    return family == FAMILY and not is_control(name, provider)
