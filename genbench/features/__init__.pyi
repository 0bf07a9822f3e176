from .extractors import IDENTITY as IDENTITY
from .extractors import STANDARDISED as STANDARDISED
from .extractors import TFIDF as TFIDF
from .extractors import Extractor, ExtractorInfo, Features, list_extractors, load_extractor
from .extractors import extractor_problems as extractor_problems
from .logmel import BANDS as BANDS
from .logmel import HOP as HOP
from .logmel import LogMel as LogMel
from .logmel import LogMelRecipe as LogMelRecipe
from .logmel import mel_bank as mel_bank
from .network import ClassifierNet as ClassifierNet
from .published import PUBLISHED as PUBLISHED
from .standardised import moments_digest as moments_digest
from .texts import fit_texts as fit_texts
from .texts import ngram_counts as ngram_counts
from .texts import weighed_counts as weighed_counts
from .training import ExtractorPlan as ExtractorPlan
from .training import Hyperparameters as Hyperparameters
from .training import accuracy as accuracy
from .training import train_on as train_on

__all__ = ["Extractor", "ExtractorInfo", "Features", "list_extractors", "load_extractor"]
