"""The FHIR R4 door: orders, images and reports read and searched for by other systems, every look on record."""

from __future__ import annotations

from gateway.fhir.answers import declined, is_fhir
from gateway.fhir.report_bundle import report_bundle
from gateway.fhir.serving import router
from interfaces.fhir.capability import JSON

ROUTERS = (router,)

__all__ = ["JSON", "ROUTERS", "declined", "is_fhir", "report_bundle"]
