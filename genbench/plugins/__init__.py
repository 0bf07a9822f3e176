"""Generators: from what a user names to one in our hands, held to the contract."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
