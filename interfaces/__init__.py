"""The languages: HL7 v2 and DICOM bytes to facts and back. No sockets, no files, no database.

May import `worklist.facts` and `worklist.errors` only.
"""
