"""What is asked: a suite, read, checked, hashed, locked, made new."""
