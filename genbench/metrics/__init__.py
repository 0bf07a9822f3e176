"""Metrics: pure functions on arrays, `real` before `fake`, and the table that describes them.

Importing this package imports neither torch nor numpy: each function is loaded when it is asked
for. `METRICS` says what each metric is; `evaluate` computes several at once and shares the work.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
