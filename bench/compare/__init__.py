"""Ours beside another archive, in one run: `python -m bench.compare`."""
