"""What the time of each transaction is spent on: `python -m bench.profiling`."""
