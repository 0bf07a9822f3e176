from .columns import Column
from .exports import frame
from .gaps import notes
from .rows import Table
from .short_table import Brief, brief
from .swept import lines, measured, sweeps
from .tabulation import table
from .text import finite, shorten
from .writing import build_report, renew_report

__all__ = [
    "Brief",
    "Column",
    "Table",
    "brief",
    "build_report",
    "finite",
    "frame",
    "lines",
    "measured",
    "notes",
    "renew_report",
    "shorten",
    "sweeps",
    "table",
]
