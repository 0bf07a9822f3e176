"""Files and processes, trusted in nothing."""
