"""Extractors: frozen, named, versioned, hashed networks that map samples to features.

Importing this package imports no torch; `list_extractors` reads a table that ships with the
weights, `load_extractor` builds the network and checks the weights against that table.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
