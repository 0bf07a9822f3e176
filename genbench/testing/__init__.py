"""Checks of a generator, of the metrics and of this machine; `check_generator` for pytest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
