"""Data sets by loader name: one split at a time, checked against its checksums and its space.

A loader is a module with ``read(dataset, space, split)`` and ``verify(dataset)``; `LOADERS` maps
the name that a suite writes to the module, which is imported only when it is asked for. Packages
add loaders of their own under the entry-point group ``genbench.loaders``.
"""

import lazy_loader

# The other names of the stub are for the rest of the house.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = ["LOADERS", "FileCheck", "Split", "SplitName", "load_split", "verify_files"]
