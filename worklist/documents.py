"""A signed report as canonical bytes: what is hashed, signed, stored, and delivered from.

JSON with sorted keys, no spaces, UTF-8, aware UTC times in ISO 8601. The same report always gives the same bytes.
A signature over these bytes stands as a last member, ``signature``, in the file that is stored.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from worklist.errors import Broken
from worklist.facts import (
    CoveredOrder,
    Identifier,
    Letterhead,
    Measurement,
    PatientFacts,
    PersonName,
    RecognisedFor,
    ReportText,
    SignedReport,
)

FORMAT: Final = "huren-report-1"
_SIGNATURE: Final = re.compile(rb',"signature":"([A-Za-z0-9_.-]+)"\}')
_LONGEST: Final = 10_000  # bytes at the end of a file in which its signature is looked for


def to_canonical(report: SignedReport) -> bytes:
    """The canonical bytes of a report."""
    fields = asdict(report)
    fields["signed_at"] = report.signed_at.astimezone(UTC).isoformat()
    fields["observed_at"] = report.observed_at.astimezone(UTC).isoformat() if report.observed_at else None
    fields["format"] = FORMAT
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def with_signature(canonical: bytes, signature: str) -> bytes:
    """The file of a report: its canonical bytes with a signature over them as the last member."""
    return canonical[:-1] + f',"signature":"{signature}"}}'.encode("ascii")


def without_signature(data: bytes) -> tuple[bytes, str]:
    """The canonical bytes of such a file, and the signature; ``""`` for a file without one. Nothing is parsed."""
    at = data.rfind(b',"signature":"', -_LONGEST)
    found = _SIGNATURE.fullmatch(data, at) if at >= 0 else None
    return (data[:at] + b"}", found[1].decode()) if found else (data, "")


def verification_page(public_url: str) -> str:
    """The page where anybody checks a report; without an address that reaches this server there is none."""
    return f"{public_url}/verify" if public_url else ""


def verification_link(public_url: str, code: str) -> str:
    """The address that shows whether the version with this verification code is genuine and current."""
    return f"{public_url}/verify?code={code}" if public_url and code else ""


def as_recognised(report: SignedReport, serves: RecognisedFor) -> SignedReport:
    """The report as the HIS of an order hears of it that it serves: that order, and the patient as known there.

    The words, the people and the images are the report's own; a remark says where it is from and how far it serves.
    """
    taken = report.observed_at.astimezone(ZoneInfo(report.timezone)) if report.observed_at else None
    parts = (
        "互认结果",
        report.institution_name,
        f"{taken:%Y-%m-%d %H:%M}检查" if taken else "",
        "采用报告" if serves.report_adopted else "采用影像和数据，原结论仅供参考",
    )
    remark = "，".join(part for part in parts if part)
    uid = next((order.study_instance_uid for order in report.orders if order.study_instance_uid), "")
    marks = tuple(dict.fromkeys(mark for order in report.orders for mark in order.marks))
    return replace(
        report,
        orders=(replace(serves.order, study_instance_uid=uid, marks=marks),),
        patient=serves.patient,
        patient_id=serves.patient_id,
        patient_issuer=serves.patient_issuer,
        reason=f"{remark}。{report.reason}",
    )


def from_canonical(data: bytes) -> SignedReport:
    """The report that `to_canonical` wrote, with or without a signature, which is not checked here.

    Raises
    ------
    Broken
        ``document_unreadable`` if the bytes are not such a document.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        if fields.pop("format") != FORMAT:
            raise ValueError("unknown format")
        fields.pop("signature", "")
        patient = fields["patient"]
        patient["identifiers"] = tuple(Identifier(**i) for i in patient["identifiers"])
        patient["name"] = PersonName(**patient["name"])
        fields["patient"] = PatientFacts(**patient)
        fields["orders"] = tuple(
            CoveredOrder(**{**order, "marks": tuple(order.get("marks", ()))}) for order in fields["orders"]
        )
        fields["text"] = ReportText(**fields["text"])
        fields["instances"] = tuple((uid, sha) for uid, sha in fields["instances"])
        fields["key_images"] = tuple((uid, frame) for uid, frame in fields.get("key_images", ()))
        fields["measurements"] = tuple(Measurement(**one) for one in fields.get("measurements", ()))
        fields["head"] = Letterhead(**fields.get("head", {}))
        fields["signed_at"] = datetime.fromisoformat(fields["signed_at"])
        fields["observed_at"] = datetime.fromisoformat(fields["observed_at"]) if fields["observed_at"] else None
        return SignedReport(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise Broken("document_unreadable") from error
