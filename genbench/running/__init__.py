"""Runs: the cells that are missing, and each cell from order to record."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
