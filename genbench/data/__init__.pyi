from .fetching import Fetched as Fetched
from .fetching import fetch as fetch
from .fetching import fetch_file as fetch_file
from .files import FileCheck
from .files import gunzipped as gunzipped
from .files import places as places
from .listed import ROLE as ROLE
from .listed import ListedFile as ListedFile
from .listed import write_table as write_table
from .loading import LOADERS, load_split, verify_files
from .loading import changed_by as changed_by
from .loading import located as located
from .loading import sources as sources
from .loading import truth_of as truth_of
from .loading import vocabulary_of as vocabulary_of
from .readers import stated as stated
from .rows import APART as APART
from .rows import COPIES as COPIES
from .rows import TOGETHER as TOGETHER
from .rows import UNRELIABLE as UNRELIABLE
from .rows import digests as digests
from .rows import share_in as share_in
from .split import Split
from .split import counts_in_proportion as counts_in_proportion
from .split import proportional as proportional
from .splitnames import SplitName
from .splitnames import further_splits as further_splits
from .texts import LABELS as LABELS
from .texts import VOCABULARY as VOCABULARY
from .texts import label_lines as label_lines
from .texts import share_of as share_of
from .texts import text_digest as text_digest

__all__ = ["LOADERS", "FileCheck", "Split", "SplitName", "load_split", "verify_files"]
