from . import custom as custom
from .authentic import authenticity
from .bleu import bleu_scores, self_bleu_scores
from .classes import HIT_SHARE as HIT_SHARE
from .classes import classes_hit as classes_hit
from .codes import linear_probe as linear_probe
from .codes import reconstruction_error as reconstruction_error
from .copying import data_copying
from .custom import CustomMetric
from .custom import described as described
from .custom import find as find
from .custom import provider as provider
from .discrepancy import maximum_mean_discrepancy
from .entry import GROUPS as GROUPS
from .entry import Claim as Claim
from .entry import Group as Group
from .entry import MetricInfo
from .evaluation import evaluate
from .frechet import frechet_distance, frechet_distance_infinity, frechet_distance_per_class
from .inception import inception_score
from .kernel import kernel_distance
from .likelihood import bits_per_dim
from .likelihood import nll_bits_per_dim as nll_bits_per_dim
from .likelihood import nll_nats as nll_nats
from .likelihood import perplexity as perplexity
from .mauve import Mauve as Mauve
from .mauve import divergence_curve as divergence_curve
from .mauve import frontier_integral as frontier_integral
from .mauve import mauve_area as mauve_area
from .mauve import mauve_score
from .neighbours import density_coverage, precision_recall
from .ngrams import distinct_share, ngram_distance
from .pitch import pitch_classes
from .reference_copies import FAKE_ROWS as FAKE_ROWS
from .reference_copies import REAL_ROWS as REAL_ROWS
from .reference_copies import exact_copies as exact_copies
from .reference_copies import near_copies as near_copies
from .reference_copies import random_rows as random_rows
from .reference_copies import training_copies as training_copies
from .search import nearest_rows as nearest_rows
from .signatures import signature
from .sound import clipped, log_spectral_distance, loudness_distance, pitch_distance, silent
from .sound_copies import nearest_sounds as nearest_sounds
from .table import METRICS, metric_info, split_id
from .table import asks_log_probs as asks_log_probs
from .table import is_likelihood as is_likelihood
from .table import plain_name as plain_name
from .text_copies import NearestTexts as NearestTexts
from .text_copies import nearest_texts as nearest_texts
from .transport import earth_movers_distance, sliced_wasserstein
from .two_sample import classifier_two_sample
from .uncertainty import Estimate as Estimate
from .uncertainty import crossed as crossed
from .uncertainty import quantile as quantile
from .uncertainty import satterthwaite as satterthwaite
from .uncertainty import trainings_mean as trainings_mean
from .uncertainty import wilson_share as wilson_share
from .values import METRIC_STATUSES as METRIC_STATUSES
from .values import Interval as Interval
from .values import MetricValue as MetricValue
from .vendi import vendi_score

__all__ = [
    "METRICS",
    "CustomMetric",
    "MetricInfo",
    "authenticity",
    "bits_per_dim",
    "bleu_scores",
    "classifier_two_sample",
    "clipped",
    "data_copying",
    "density_coverage",
    "distinct_share",
    "earth_movers_distance",
    "evaluate",
    "frechet_distance",
    "frechet_distance_infinity",
    "frechet_distance_per_class",
    "inception_score",
    "kernel_distance",
    "log_spectral_distance",
    "loudness_distance",
    "mauve_score",
    "maximum_mean_discrepancy",
    "metric_info",
    "ngram_distance",
    "pitch_classes",
    "pitch_distance",
    "precision_recall",
    "self_bleu_scores",
    "signature",
    "silent",
    "sliced_wasserstein",
    "split_id",
    "vendi_score",
]
