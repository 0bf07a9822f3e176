from .commands import command
from .diffusion import diffusers_pipeline
from .functions import function
from .networks import onnx, torch_module, torchscript

__all__ = ["command", "diffusers_pipeline", "function", "onnx", "torch_module", "torchscript"]
