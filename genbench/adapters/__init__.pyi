from .commands import command
from .diffusion import diffusers_pipeline
from .exported import class_of as class_of
from .exported import exported
from .exportfile import KEY as KEY
from .exportfile import ExportHeader as ExportHeader
from .exportfile import Format as Format
from .exportfile import format_of as format_of
from .exportfile import read_header as read_header
from .exportfile import require_onnxruntime as require_onnxruntime
from .exportfile import with_metadata as with_metadata
from .frozen import Caller as Caller
from .functions import function
from .networks import Forward as Forward
from .networks import onnx, torch_module, torchscript
from .networks import open_onnx as open_onnx
from .networks import open_torchscript as open_torchscript

__all__ = [
    "command",
    "diffusers_pipeline",
    "exported",
    "function",
    "onnx",
    "torch_module",
    "torchscript",
]
