from .build import Request
from .card import Provenance
from .evidence import require_help
from .exported import stage_drawn
from .run import Options, require_buildable, synthesize
from .write import require_free

__all__ = [
    "Options",
    "Provenance",
    "Request",
    "require_buildable",
    "require_free",
    "require_help",
    "stage_drawn",
    "synthesize",
]
