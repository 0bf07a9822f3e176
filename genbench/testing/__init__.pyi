from . import selftest as selftest
from .checking import check_all as check_all
from .checking import check_generator
from .doctor import diagnose as diagnose
from .examination import EXAMINED as EXAMINED
from .results import CheckResult, Conformance
from .rules import RULES, Rule
from .scaffold import new_generator as new_generator
from .selftest import Verdict as Verdict

__all__ = ["RULES", "CheckResult", "Conformance", "Rule", "check_generator"]
