"""Documents shaped after WS/T 500 (shared documents of electronic medical records): HL7 CDA R2 out of signed reports.

What is written here follows published examples of the header and of the sections; it was held against no official
platform and no official schema. What a platform wants otherwise is changed in the templates.
"""
