"""Checks of the deployment that need no compiler, no login and no network."""
