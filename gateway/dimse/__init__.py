"""The DIMSE door: verification, storage, modality worklist and performed procedure steps (DICOM PS3.4, PS3.7)."""
