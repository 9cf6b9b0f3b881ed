"""Storage and index, for real."""
