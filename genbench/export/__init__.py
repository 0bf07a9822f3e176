"""A stored generator's sampler as a file: noise and labels to samples, for use elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
