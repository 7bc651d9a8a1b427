"""A signed report as canonical bytes: what is hashed, signed, stored, and delivered from.

JSON with sorted keys, no spaces, UTF-8, aware UTC times in ISO 8601. The same report always gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from worklist.errors import Broken
from worklist.facts import CoveredOrder, Identifier, Letterhead, PatientFacts, PersonName, ReportText, SignedReport

FORMAT: Final = "huren-report-1"


def to_canonical(report: SignedReport) -> bytes:
    """The canonical bytes of a report."""
    fields = asdict(report)
    fields["signed_at"] = report.signed_at.astimezone(UTC).isoformat()
    fields["observed_at"] = report.observed_at.astimezone(UTC).isoformat() if report.observed_at else None
    fields["format"] = FORMAT
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def verification_page(public_url: str) -> str:
    """The page where anybody checks a report; without an address that reaches this server there is none."""
    return f"{public_url}/verify" if public_url else ""


def verification_link(public_url: str, code: str) -> str:
    """The address that shows whether the version with this verification code is genuine and current."""
    return f"{public_url}/verify?code={code}" if public_url and code else ""


def from_canonical(data: bytes) -> SignedReport:
    """The report that `to_canonical` wrote.

    Raises
    ------
    Broken
        ``document_unreadable`` if the bytes are not such a document.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        if fields.pop("format") != FORMAT:
            raise ValueError("unknown format")
        patient = fields["patient"]
        patient["identifiers"] = tuple(Identifier(**i) for i in patient["identifiers"])
        patient["name"] = PersonName(**patient["name"])
        fields["patient"] = PatientFacts(**patient)
        fields["orders"] = tuple(CoveredOrder(**order) for order in fields["orders"])
        fields["text"] = ReportText(**fields["text"])
        fields["instances"] = tuple((uid, sha) for uid, sha in fields["instances"])
        fields["key_images"] = tuple((uid, frame) for uid, frame in fields.get("key_images", ()))
        fields["head"] = Letterhead(**fields.get("head", {}))
        fields["signed_at"] = datetime.fromisoformat(fields["signed_at"])
        fields["observed_at"] = datetime.fromisoformat(fields["observed_at"]) if fields["observed_at"] else None
        return SignedReport(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise Broken("document_unreadable") from error
