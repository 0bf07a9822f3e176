"""Commands that run a module of this package in a Python of its own."""

from __future__ import annotations

import os
import sys

# Libraries that are imported begin no threads, so that the process may fork; `limit_threads` raises
# their number.
_RUN = (
    "import os, runpy, sys; entries = int(sys.argv[1]); sys.path[:] = sys.argv[2 : 2 + entries]; "
    "del sys.argv[: 2 + entries]; from genbench.system.threads import counted; "
    "os.environ.update(counted(1)); runpy.run_module(sys.argv[0], run_name='__main__')"
)


def python_module(module: str, *words: str) -> list[str]:
    """The command ``python -m module words`` with this process's ``sys.path``.

    ``-m`` would put the working directory first: in a checkout an installed genbench would import
    half of the other one, and a user's own folder could stand in for ours. It comes last, so that a
    plugin finds the modules beside which it is run.
    """
    path = [os.path.abspath(os.fspath(entry)) for entry in sys.path]
    if os.getcwd() not in path:
        path.append(os.getcwd())
    return [sys.executable, "-P", "-c", _RUN, str(len(path)), *path, module, *words]
