"""The records of genbench's own runs; those of mnist ship, to stand beside a reader's own rows."""
