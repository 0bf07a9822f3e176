"""What synthetic data is worth to a classifier: the fixed classifier and the protocols."""
