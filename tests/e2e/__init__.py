"""DICOMweb over HTTP."""
