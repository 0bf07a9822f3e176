"""Which cells are missing, and one cell from order to record."""
