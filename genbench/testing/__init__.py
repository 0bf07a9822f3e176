"""Does a generator obey the contract? `check_generator` tells pytest, ``genbench check`` people."""

from __future__ import annotations

from genbench.testing.checking import check_generator
from genbench.testing.results import CheckResult, Conformance
from genbench.testing.rules import RULES, Rule

__all__ = ["RULES", "CheckResult", "Conformance", "Rule", "check_generator"]
