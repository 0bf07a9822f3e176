"""From records to HTML: `build_report`. Imports no torch, and its own weight only when called."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
