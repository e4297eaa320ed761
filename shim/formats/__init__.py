"""Bytes to values and back: one specification a file, no I/O. The specification's own field names."""
