"""The DICOM service: everything the functions of `function_app.py` call."""
