from .contract import find
from .exporting import export
from .live import Followers, following
from .targets import parse_targets

__all__ = [
    "Followers",
    "export",
    "find",
    "following",
    "parse_targets",
]
