from .fetching import Fetched, fetch, fetch_file
from .files import FileCheck, locate, places
from .image_folder import ROLE, ImageEntry, write_table
from .loading import LOADERS, SplitName, load_split, sources, verify_files
from .readers import stated
from .rows import APART, COPIES, TOGETHER, UNRELIABLE, digests, share_in
from .split import Split, counts_in_proportion, proportional
from .toy import log_density

__all__ = [
    "APART",
    "COPIES",
    "Fetched",
    "FileCheck",
    "ImageEntry",
    "LOADERS",
    "ROLE",
    "Split",
    "SplitName",
    "TOGETHER",
    "UNRELIABLE",
    "counts_in_proportion",
    "digests",
    "fetch",
    "fetch_file",
    "load_split",
    "locate",
    "log_density",
    "places",
    "proportional",
    "share_in",
    "sources",
    "stated",
    "verify_files",
    "write_table",
]
