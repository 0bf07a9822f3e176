from .extractors import (
    IDENTITY,
    INCEPTION,
    STANDARDISED,
    Extractor,
    ExtractorInfo,
    Features,
    extractor_problems,
    list_extractors,
    load_extractor,
    moments_digest,
)
from .inception import FILE, SHA256_PREFIX, URL, places
from .training import ExtractorPlan, Hyperparameters, accuracy, train_on

__all__ = [
    "Extractor",
    "ExtractorInfo",
    "ExtractorPlan",
    "FILE",
    "Features",
    "Hyperparameters",
    "IDENTITY",
    "INCEPTION",
    "SHA256_PREFIX",
    "STANDARDISED",
    "URL",
    "accuracy",
    "extractor_problems",
    "list_extractors",
    "load_extractor",
    "moments_digest",
    "places",
    "train_on",
]
