"""DICOMweb (DICOM PS3.18): studies found and fetched over HTTP, within the caller's scope, every look on record."""

from __future__ import annotations

from gateway.dicomweb import frames, metadata, query, render, retrieve, roots, stow
from gateway.dicomweb.answers import status_of

ROUTERS = (
    query.router,
    metadata.router,
    frames.router,
    render.router,
    retrieve.router,
    stow.router,
    roots.router,  # the last one: it answers for what nobody serves
)

__all__ = ["ROUTERS", "status_of"]
