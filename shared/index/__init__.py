"""SQL: rows, searches, change feed."""
