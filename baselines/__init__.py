"""The baselines that ship with genbench, one self-contained file per generator."""
