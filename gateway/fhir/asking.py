"""Who asks, from where, and what: one request to the FHIR door."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Annotated

from fastapi import Depends, Request

from gateway.dicomweb.roots import base_url
from gateway.fhir.answers import BASE
from gateway.http import Acting, Web, web_of
from interfaces.fhir.seals import sealed_by
from interfaces.fhir.systems import Systems
from worklist.documents import from_canonical
from worklist.errors import Forbidden, HurenError
from worklist.facts import ReportRecord, SealedBy, SignedReport
from worklist.people import Actor
from worklist.queries.records.searching import zone_of

SCOPES = frozenset({"read", "read cases"})


async def _reading(by: Acting) -> Actor:
    if by.scopes is not None and not by.scopes & SCOPES:
        raise Forbidden("token_lacks_scope", scope="read")
    return by


Looking = Annotated[Actor, Depends(_reading)]
"""Parameter of an endpoint: who asks, with a token (if it is one) that may look at something."""


@dataclass
class Asking:
    """One request: who asks, how they reach us, and what was read for them."""

    web: Web
    by: Actor
    root: str  # how the caller reaches this server, without a slash at the end
    systems: Systems
    zone: tzinfo  # of the caller's institution
    _documents: dict[str, SignedReport] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The address of the door, without a slash at the end."""
        return self.root + BASE

    def document(self, record: ReportRecord) -> SignedReport:
        """The canonical document of a version, read once."""
        if record.version_id not in self._documents:
            self._documents[record.version_id] = from_canonical(self.web.store.read(record.document_key))
        return self._documents[record.version_id]

    def pdf(self, record: ReportRecord) -> str:
        """The address of a version's sealed PDF."""
        return f"{self.root}/api/reports/{record.report_id}.pdf?version={record.number}"

    def sealed_by(self, record: ReportRecord) -> SealedBy | None:
        """With which certificate a version's PDF is sealed; None where its file cannot be read."""
        try:
            return sealed_by(self.web.store.read(record.pdf_key)) if record.pdf_key else None
        except HurenError:
            return None


def asking(request: Request, by: Actor) -> Asking:
    """Who asks what this request asks. It reads the database."""
    web, root = web_of(request), base_url(request)
    zone = web.database.read(lambda session: zone_of(session, by))
    return Asking(web, by, root, Systems((web.public_url or root) + BASE, web.identifier_systems), zone)
