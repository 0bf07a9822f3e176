from . import protocols
from .classical import Affine, Classical, Edits, SoundChanges
from .codes import CodesAsked, codes_asked
from .lock import check_lock, write_lock
from .new import Cutting, Hearing, new_suite
from .protocols import Augmentation, Imbalance, Protocols, Robustness
from .suite import Suite, load_suite, profiles_of, shipped

__all__ = [
    "Affine",
    "Augmentation",
    "Classical",
    "CodesAsked",
    "Cutting",
    "Edits",
    "Hearing",
    "Imbalance",
    "Protocols",
    "Robustness",
    "SoundChanges",
    "Suite",
    "check_lock",
    "codes_asked",
    "load_suite",
    "new_suite",
    "profiles_of",
    "protocols",
    "shipped",
    "write_lock",
]
