"""What DICOM says, as tables and pure functions."""
