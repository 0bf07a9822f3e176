from . import cachetrust, card, confinement, environment, extensions, tensorfile
from .cachetrust import MARK, trusted_files
from .capture import CapturedStep, captures, move_average, optimizer_options
from .confinement import Sandbox, error_text, sandbox, scratch_folder
from .files import (
    LINK,
    MAX_JSON_BYTES,
    data_home,
    exists,
    inside,
    read_json,
    sha256_file,
    write_bytes,
    write_json,
)
from .forking import ForkServerClient
from .isolation import (
    Isolated,
    IsolatedWork,
    ProcessOutcome,
    run_isolated,
    start_isolated,
    wait_for_end,
)
from .jsontext import parse_json, plain_data, serialise
from .machine import (
    CELL_BYTES,
    Jobs,
    auto_jobs,
    available_cores,
    default_memory_limit,
    resolve_device,
    resolve_devices,
)
from .npzfile import READ_ERRORS, load_arrays, npz_bytes, read_npz, save_arrays
from .precision import plain_float32
from .slots import Slots
from .subprocesses import python_module
from .supervisor import killed_with_parent, settled
from .threads import counted, limit_interop_threads, limit_threads, one_torch_thread, short_spinning

__all__ = [
    "CELL_BYTES",
    "CapturedStep",
    "ForkServerClient",
    "Isolated",
    "IsolatedWork",
    "Jobs",
    "LINK",
    "MARK",
    "MAX_JSON_BYTES",
    "ProcessOutcome",
    "READ_ERRORS",
    "Sandbox",
    "Slots",
    "auto_jobs",
    "available_cores",
    "cachetrust",
    "captures",
    "card",
    "confinement",
    "counted",
    "data_home",
    "default_memory_limit",
    "environment",
    "error_text",
    "exists",
    "extensions",
    "inside",
    "killed_with_parent",
    "limit_interop_threads",
    "limit_threads",
    "load_arrays",
    "move_average",
    "npz_bytes",
    "one_torch_thread",
    "optimizer_options",
    "parse_json",
    "plain_data",
    "plain_float32",
    "python_module",
    "read_json",
    "read_npz",
    "resolve_device",
    "resolve_devices",
    "run_isolated",
    "sandbox",
    "save_arrays",
    "scratch_folder",
    "settled",
    "serialise",
    "sha256_file",
    "short_spinning",
    "start_isolated",
    "tensorfile",
    "trusted_files",
    "wait_for_end",
    "write_bytes",
    "write_json",
]
