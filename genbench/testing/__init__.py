"""Checks of a generator, of the metrics and of this machine; `check_generator` for pytest."""

import lazy_loader

# The other names of the stub are for the rest of the house.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = ["RULES", "CheckResult", "Conformance", "Rule", "check_generator"]
