"""Whose number is it? Issuers and catalogues as the URIs that FHIR calls systems.

Each of ours is known by a key: ``patient/TS01`` (numbers of patients that TS01 gives), ``placer/TS01``, ``visit/TS01``,
``accession``, ``report``, ``report-version``, ``procedure``, ``user``. The operator names OIDs or other URIs for them;
what has none is a URI below our own address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

CITIZEN: Final = "urn:oid:2.16.156.10011.1.3"
"""Number of the resident identity card (GB 11643), as the documents of WS/T 500 carry it."""
PASSPORT: Final = "http://hl7.org/fhir/sid/passport-"
"""And the country's three letters (FHIR R4, identifier systems)."""
DICOM_UID: Final = "urn:dicom:uid"
_COUNTRY: Final = re.compile(r"[A-Z]{3}")
_KINDS: Final = ("patient", "placer", "accession", "report")
"""Keys that something is sought by."""


@dataclass(frozen=True)
class Systems:
    """The systems of one installation. `base` is the address of its FHIR door, without a slash at the end."""

    base: str
    configured: Mapping[str, str] = field(default_factory=dict)  # key: URI

    def of(self, key: str, issuer: str = "") -> str:
        """The URI of one of our keys; "" where its issuer is not known."""
        key = f"{key}/{issuer}" if issuer else key
        return "" if key.endswith("/") else self.configured.get(key, f"{self.base}/sid/{quote(key)}")

    def patient(self, issuer: str) -> str:
        """The URI of an issuer of patient numbers; "" where it is not known."""
        return self.of("patient", issuer) if issuer else ""

    def document(self, kind: str, country: str) -> str:
        """The URI of a country's documents; "" where there is none that everybody knows."""
        if kind == "NI":
            return CITIZEN
        return PASSPORT + country if kind == "PPN" and _COUNTRY.fullmatch(country) else ""

    def find(self, uri: str) -> tuple[str, str | None] | None:
        """(kind of number, issuer) of a system that something is sought by; None for one that nobody here gives."""
        if uri == CITIZEN:
            return "document", "NI"
        if uri == DICOM_UID:
            return "study", None
        key = next((key for key, known in self.configured.items() if known == uri), "")
        if not key and uri.startswith(f"{self.base}/sid/"):
            key = unquote(uri.removeprefix(f"{self.base}/sid/"))
        kind, _, issuer = key.partition("/")
        return (kind, issuer or None) if kind in _KINDS else None
