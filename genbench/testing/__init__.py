"""Checks of a generator, of the metrics and of this machine; `check_generator` for pytest."""

from __future__ import annotations

from genbench.testing.checking import check_generator
from genbench.testing.results import CheckResult, Conformance
from genbench.testing.rules import RULES, Rule

__all__ = ["RULES", "CheckResult", "Conformance", "Rule", "check_generator"]
