"""The FHIR R4 door: orders, images and reports read and searched for by other systems, every look on record; and
results of other regions handed in."""

from __future__ import annotations

from gateway.fhir.answers import declined, is_fhir
from gateway.fhir.describing import router as describing
from gateway.fhir.receiving import answer_of, read_content
from gateway.fhir.receiving import router as incoming
from gateway.fhir.report_bundle import report_bundle
from gateway.fhir.serving import router
from interfaces.fhir.capability import JSON

ROUTERS = (describing, router, incoming)

__all__ = ["JSON", "ROUTERS", "answer_of", "declined", "is_fhir", "read_content", "report_bundle"]
