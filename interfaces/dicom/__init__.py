"""The DICOM language: encoded objects and messages to facts and back.

`charset` and `elements` read and write bytes without pydicom's character sets; the other modules speak of one
kind of message each. Everything here is a pure function.
"""
