"""FHIR R4 (HL7 FHIR 4.0.1), JSON: records to resources, and search parameters to criteria.

Resources are plain dictionaries in the order of the standard; `checking.to_json` holds them against the models of
fhir.resources before they leave.
"""
