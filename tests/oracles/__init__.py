"""The naive form of every metric: its formula in a few lines of numpy and scipy, to be read first.

Nothing here is shared with genbench. A function takes those of `real`, `fake`, `train`,
`real_labels`, `fake_labels`, `probabilities`, `log_prob`, `dims`, `seed` that its formula needs,
and the metric's parameters, with its defaults. Rows are float64 ``(n, d)``. It need not be fast.
"""
