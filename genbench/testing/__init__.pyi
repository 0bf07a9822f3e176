from . import selftest
from .checking import check_all, check_generator
from .doctor import diagnose
from .examination import EXAMINED
from .results import CheckResult, Conformance
from .rules import RULES, Rule
from .scaffold import new_generator
from .selftest import Verdict

__all__ = [
    "CheckResult",
    "Conformance",
    "EXAMINED",
    "RULES",
    "Rule",
    "Verdict",
    "check_all",
    "check_generator",
    "diagnose",
    "new_generator",
    "selftest",
]
