"""Blobs and records: Azure Storage, or a folder."""
