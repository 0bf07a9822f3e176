"""A generator and a metric for genbench, as another author would publish it."""
