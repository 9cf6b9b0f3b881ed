"""Stores of full size; `make soak` runs them, `make test` small ones."""
