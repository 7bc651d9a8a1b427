"""DICOM bytes to facts and back."""
