"""The baselines that ship with genbench: a class for each, its parts in files of its name."""
