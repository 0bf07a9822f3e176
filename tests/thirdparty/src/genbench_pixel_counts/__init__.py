"""A generator plugin for genbench, as another author would publish it."""
