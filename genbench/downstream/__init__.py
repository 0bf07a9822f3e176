"""The worth of synthetic data to a classifier: the fixed classifier and the protocols."""
