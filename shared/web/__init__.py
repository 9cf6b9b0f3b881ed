"""HTTP: pipeline, negotiation, bodies, query strings."""
