from . import finding
from .choice import GeneratorChoice
from .coded import Coded
from .contract import CheckedSamples, checked_log_prob, checked_samples, make_generator
from .driver import FitResult, GeneratorDriver, permuted_labels, requested_labels
from .external import Staged, samples_path, stage
from .external.media import OnBad
from .finding import Description, GeneratorRef, find, installed
from .inline import choice_of, classes_by_name
from .probing import PROBED, Prober
from .selection import choose, controls_of, file_and_class, from_files, parse_seeds, require_kind
from .serving import for_suite
from .snapshots import Snapshots
from .source import files_of_module, files_of_script
from .training import Budget, HarnessRun, MemoryTrainData, Stopped

__all__ = [
    "Budget",
    "CheckedSamples",
    "Coded",
    "Description",
    "FitResult",
    "GeneratorChoice",
    "GeneratorDriver",
    "GeneratorRef",
    "HarnessRun",
    "MemoryTrainData",
    "OnBad",
    "PROBED",
    "Prober",
    "Snapshots",
    "Staged",
    "Stopped",
    "checked_log_prob",
    "checked_samples",
    "choice_of",
    "choose",
    "classes_by_name",
    "controls_of",
    "file_and_class",
    "files_of_module",
    "files_of_script",
    "find",
    "finding",
    "for_suite",
    "from_files",
    "installed",
    "make_generator",
    "parse_seeds",
    "permuted_labels",
    "requested_labels",
    "require_kind",
    "samples_path",
    "stage",
]
