from . import protocols
from .codes import CodesAsked, codes_asked
from .lock import check_lock, write_lock
from .new import Cutting, Hearing, new_suite
from .protocols import Augmentation, Classical, Imbalance, Protocols, Robustness
from .suite import Suite, load_suite, profiles_of, shipped

__all__ = [
    "Augmentation",
    "Classical",
    "CodesAsked",
    "Cutting",
    "Hearing",
    "Imbalance",
    "Protocols",
    "Robustness",
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
