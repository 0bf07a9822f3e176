"""The suites that ship with genbench: TOML files, their data and extractor weights."""
