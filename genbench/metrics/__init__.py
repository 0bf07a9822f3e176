"""Metrics: pure functions on arrays, `real` before `fake`, and the table that describes them.

Importing this package imports neither torch nor numpy: each function is loaded when it is asked
for. `METRICS` says what each metric is; `evaluate` computes several at once and shares the work.
"""

import lazy_loader

# The other names of the stub are for the rest of the house.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

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
