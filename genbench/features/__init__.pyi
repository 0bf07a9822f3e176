from .extractors import IDENTITY as IDENTITY
from .extractors import INCEPTION as INCEPTION
from .extractors import STANDARDISED as STANDARDISED
from .extractors import TFIDF as TFIDF
from .extractors import Extractor, ExtractorInfo, Features, list_extractors, load_extractor
from .extractors import extractor_problems as extractor_problems
from .extractors import moments_digest as moments_digest
from .inception import FILE as FILE
from .inception import SHA256_PREFIX as SHA256_PREFIX
from .inception import URL as URL
from .inception import places as places
from .texts import fit_texts as fit_texts
from .training import ExtractorPlan as ExtractorPlan
from .training import Hyperparameters as Hyperparameters
from .training import accuracy as accuracy
from .training import train_on as train_on

__all__ = ["Extractor", "ExtractorInfo", "Features", "list_extractors", "load_extractor"]
