"""Tasks: suites read, checked, hashed, locked and made new."""
