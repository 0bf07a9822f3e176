from . import protocols
from .lock import check_lock, write_lock
from .new import new_suite
from .protocols import Augmentation, Classical, Imbalance, Protocols, Robustness
from .suite import Suite, load_suite, profiles_of, shipped

__all__ = [
    "Augmentation",
    "Classical",
    "Imbalance",
    "Protocols",
    "Robustness",
    "Suite",
    "check_lock",
    "load_suite",
    "new_suite",
    "profiles_of",
    "protocols",
    "shipped",
    "write_lock",
]
