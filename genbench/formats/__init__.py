"""Rows in files that anyone may have written: arrays, pictures, tables."""
