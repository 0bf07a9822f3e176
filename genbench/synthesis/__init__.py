"""Data sets built from a stored generator: drawn, filtered, balanced, documented."""
