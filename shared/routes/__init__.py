"""Handlers: one function per DICOMweb route."""
