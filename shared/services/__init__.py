"""The transactions and background steps, free of HTTP."""
