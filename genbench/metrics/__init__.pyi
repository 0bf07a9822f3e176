from . import custom
from .authentic import authenticity
from .copying import data_copying
from .custom import CustomMetric, described, find, provider
from .entry import Claim, MetricInfo
from .evaluation import evaluate
from .frechet import frechet_distance, frechet_distance_infinity, frechet_distance_per_class
from .inception import inception_score
from .kernel import kernel_distance
from .likelihood import bits_per_dim, nll_bits_per_dim, nll_nats
from .neighbours import density_coverage, precision_recall
from .reference_copies import FAKE_ROWS, REAL_ROWS, exact_copies, near_copies, random_rows
from .search import nearest_rows
from .signatures import signature
from .table import METRICS, is_likelihood, metric_info, split_id
from .transport import earth_movers_distance, sliced_wasserstein
from .two_sample import classifier_two_sample
from .uncertainty import Estimate, crossed, quantile, satterthwaite, trainings_mean, wilson_share
from .values import METRIC_STATUSES, Interval, MetricValue
from .vendi import vendi_score

__all__ = [
    "Claim",
    "CustomMetric",
    "Estimate",
    "FAKE_ROWS",
    "Interval",
    "METRICS",
    "METRIC_STATUSES",
    "MetricInfo",
    "MetricValue",
    "REAL_ROWS",
    "authenticity",
    "bits_per_dim",
    "classifier_two_sample",
    "crossed",
    "custom",
    "data_copying",
    "density_coverage",
    "described",
    "earth_movers_distance",
    "evaluate",
    "exact_copies",
    "find",
    "frechet_distance",
    "frechet_distance_infinity",
    "frechet_distance_per_class",
    "inception_score",
    "is_likelihood",
    "kernel_distance",
    "metric_info",
    "near_copies",
    "nearest_rows",
    "nll_bits_per_dim",
    "nll_nats",
    "precision_recall",
    "provider",
    "quantile",
    "random_rows",
    "satterthwaite",
    "signature",
    "sliced_wasserstein",
    "split_id",
    "trainings_mean",
    "vendi_score",
    "wilson_share",
]
