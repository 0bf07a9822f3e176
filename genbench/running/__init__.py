"""Runs: the cells that are missing, and each cell from order to record."""
