"""Extractors: frozen, named, versioned, hashed networks that map samples to features.

Importing this package imports no torch; `list_extractors` reads a table that ships with the
weights, `load_extractor` builds the network and checks the weights against that table.
"""

import lazy_loader

# The other names of the stub are for the rest of the house.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = ["Extractor", "ExtractorInfo", "Features", "list_extractors", "load_extractor"]
