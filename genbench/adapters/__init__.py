"""Models people already have, as generators: each is one call in a plugin file or a notebook.

>>> from genbench.adapters import torch_module
>>> Mine = torch_module("mine", Net, "net.pt", latent=64)  # doctest: +SKIP

Nothing is trained: `fit` takes no training rows, the record shows 0 examples served. What a model
was trained on is unknown to the harness, and the record says so unless you say what it was. The
digests of the model's files are in the generator's version: another file is another generator.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

# The public names; the stub beside this file has those that other rooms use as well.
__all__ = [
    "command",
    "diffusers_pipeline",
    "exported",
    "function",
    "onnx",
    "torch_module",
    "torchscript",
]
