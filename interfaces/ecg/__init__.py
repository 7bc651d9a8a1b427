"""ECG recordings as carts write them: DICOM waveforms, SCP-ECG, HL7 aECG, Philips Sierra and GE MUSE XML."""
