"""The content signature of a version: one statement of what its documents are, signed by the institution's key.

The statement is a few digests: of the canonical bytes, of the sealed PDF, and of each DICOM object, whole and without
what changes when it leaves under its receiver's patient number. It is signed once, and the JSON and the DICOM objects
each carry it: so each of them is checked by itself, without a network (`huren verify`), and names its siblings. The PDF
has a seal of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal

from cryptography import x509

from interfaces.dicom import signatures
from interfaces.dicom.coercion import lasting_digest
from interfaces.dicom.objects import open_part10
from interfaces.dicom.report_objects import ReportObject
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN
from reading_room.documents.signer import Signer, Sound, check_signed, signed
from worklist.documents import to_canonical, with_signature, without_signature
from worklist.errors import BadInput
from worklist.facts import DocumentKind, SignedReport

STATEMENT: Final = "huren-version-1"

Found = Literal[Sound, "unsigned", "carried"]
"""What a signature says of a file. "carried": a DICOM object whose content is whole, while its file header or its
patient's name and number are not those that were signed, as when it went through another system, or was altered."""


@dataclass(frozen=True)
class SignedContent:
    """The JSON of a version and its DICOM objects, as they are kept."""

    document: bytes
    objects: Mapping[DocumentKind, ReportObject]


@dataclass(frozen=True)
class Checked:
    """What a file turned out to be. `code` is its version's verification code, ``""`` unless the signature holds."""

    found: Found
    code: str = ""


def sign_content(
    signer: Signer, report: SignedReport, pdf: bytes, objects: Mapping[DocumentKind, ReportObject]
) -> SignedContent:
    """Sign a version whose documents are made; `pdf` is sealed already."""
    canonical = to_canonical(report)
    digests: dict[str, dict[str, str]] = {"json": {"sha256": _sha256(canonical)}, "pdf": {"sha256": _sha256(pdf)}}
    for kind, made in objects.items():
        lasting = lasting_digest(memoryview(made.dataset), EXPLICIT_LITTLE_ENDIAN)
        digests[kind] = {"lasting": lasting, "sha256": _sha256(made.head + made.dataset)}
    said = {
        "code": report.verification_code,
        "documents": digests,
        "format": STATEMENT,
        "report": report.report_id,
        "version": report.version,
    }
    signature = signed(signer, json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    return SignedContent(
        with_signature(canonical, signature),
        {
            kind: replace(made, dataset=signatures.with_signature(made.dataset, signature))
            for kind, made in objects.items()
        },
    )


def check_document(data: bytes, trusted: Sequence[x509.Certificate]) -> Checked:
    """Check a JSON file against the certificates of `trusted`. It is not parsed: it may be a stranger's."""
    canonical, signature = without_signature(data)
    if not signature:
        return Checked("unsigned")
    sound, code, documents = _statement(signature, trusted)
    if sound != "whole":
        return Checked(sound)
    return Checked("whole", code) if documents["json"]["sha256"] == _sha256(canonical) else Checked("altered")


def check_object(data: bytes, trusted: Sequence[x509.Certificate]) -> Checked:
    """Check a DICOM file against the certificates of `trusted`."""
    before, signature = signatures.without_signature(data)
    if not signature:
        return Checked("unsigned")
    sound, code, documents = _statement(signature, trusted)
    if sound != "whole":
        return Checked(sound)
    digest = _sha256(before)
    objects = [one for one in documents.values() if "lasting" in one]
    if any(one["sha256"] == digest for one in objects):
        return Checked("whole", code)
    try:
        syntax, dataset = open_part10(before)
        lasting = lasting_digest(dataset, syntax) if syntax == EXPLICIT_LITTLE_ENDIAN else ""
    except BadInput:
        lasting = ""
    return Checked("carried", code) if any(one["lasting"] == lasting for one in objects) else Checked("altered")


def _statement(signature: str, trusted: Sequence[x509.Certificate]) -> tuple[Sound, str, dict[str, dict[str, str]]]:
    """Whether a signature holds; the code and the digests that it is about."""
    sound, payload = check_signed(signature, trusted)
    if sound != "whole":
        return sound, "", {}
    said: dict[str, Any] = json.loads(payload)
    if said.get("format") != STATEMENT:  # the same key may have signed something else
        return "altered", "", {}
    return "whole", str(said["code"]), said["documents"]


def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest()
