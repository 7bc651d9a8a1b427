"""Is this report genuine, and does it still stand? For /verify and `huren verify`.

A document that was issued is known by its SHA-256. Any other file is looked at more closely only to say what is wrong
with it: altered, or none of ours.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cryptography import x509

from gateway.store import ObjectStore
from interfaces.dicom.metadata import find_bulk
from reading_room.documents.checking import check_pdf
from reading_room.documents.content import Checked, check_document, check_object
from worklist.database import Database
from worklist.documents import FORMAT, from_canonical
from worklist.errors import BadInput
from worklist.facts import PersonName, SignedReport
from worklist.queries import verification
from worklist.queries.verification import Standing

Outcome = Literal["current", "superseded", "withdrawn", "carried", "altered", "unissued", "foreign", "unknown"]
"""The first three are genuine. "carried": a DICOM object of a current version, whose file header or patient's name and
number are not those that were signed; "unissued": our seal, and never issued; "foreign": a file that is none of ours;
"unknown": a code that no version carries."""
Offline = Literal["whole", "carried", "altered", "unsigned", "foreign"]
"""What a file says by itself: "whole" to the last byte; "unsigned": a report as JSON without any signature, as they
were before there were content signatures, or with it taken off; the others as above."""
GENUINE: Final = ("current", "superseded", "withdrawn")

CODE_LENGTH: Final = 16
ENCAPSULATED_DOCUMENT: Final = "00420011"
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})  # Crockford's base 32


@dataclass(frozen=True)
class Verdict:
    """What is known of a code or a file. `report` is the canonical document where the outcome is genuine."""

    outcome: Outcome
    standing: Standing | None = None
    report: SignedReport | None = None
    sha256: str = ""  # of the file that was handed in


def by_code(database: Database, store: ObjectStore, typed: str) -> Verdict:
    """What became of the version with this code, typed in any case and with any dashes or spaces.

    Raises
    ------
    Broken
        ``document_unreadable``, or the store's errors: the version is known and its document is not readable.
    """
    standing = database.read(lambda session: verification.by_code(session, plain_code(typed)))
    return _genuine(store, standing) if standing else Verdict("unknown")


def by_file(database: Database, store: ObjectStore, trusted: Sequence[x509.Certificate], data: bytes) -> Verdict:
    """What a file is: a document that was issued, byte for byte, or what is wrong with it.

    `trusted` are the certificates of the seals here. Raises as `by_code`.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    standing = database.read(lambda session: verification.by_sha256(session, sha256))
    if standing:
        return _genuine(store, standing, sha256)
    found, code = _offline(trusted, data)
    if found == "whole" or found == "carried":
        pdf = hashlib.sha256(enclosed_pdf(data)).hexdigest()  # a wrapper of before wrappers were signed
        standing = database.read(lambda s: verification.by_code(s, code) if code else verification.by_sha256(s, pdf))
        if standing is None or (code and found == "whole"):
            return Verdict("unissued", sha256=sha256)
        verdict = _genuine(store, standing, sha256)
        return replace(verdict, outcome="carried") if (verdict.outcome, found) == ("current", "carried") else verdict
    return Verdict("altered" if found == "unsigned" else found, sha256=sha256)


def enclosed_pdf(data: bytes) -> bytes:
    """The PDF inside a DICOM file (PS3.3 C.24.2), or b"". Around it the file may lawfully differ from what was issued:
    it leaves under the patient number that its receiver knows."""
    try:
        found = find_bulk(data, ENCAPSULATED_DOCUMENT)
    except BadInput:
        return b""
    if found.inflated or len(found.fragments) != 1:
        return b""
    at, length = found.fragments[0]
    document = data[at : at + length]
    return document.removesuffix(b"\0") if length % 2 == 0 else document  # padded to an even length (PS3.5 7.1)


def offline(trusted: Sequence[x509.Certificate], data: bytes) -> Offline:
    """What a file says of itself, by its seal or its signature, without asking anybody."""
    return _offline(trusted, data)[0]


def _offline(trusted: Sequence[x509.Certificate], data: bytes) -> tuple[Offline, str]:
    """The same; where there is a content signature also the code of the version."""
    if data.startswith(b"{"):
        is_ours = f'"format":"{FORMAT}"'.encode() in data
        said = check_document(data, trusted) if is_ours else Checked("unknown")
        return ("foreign" if said.found == "unknown" else said.found), said.code
    if data[128:132] == b"DICM":
        checked = check_object(data, trusted)
        if checked.found != "unknown" and checked.found != "unsigned":
            return checked.found, checked.code
    try:
        check_pdf(enclosed_pdf(data) or data, trusted)
    except BadInput as error:
        return ("altered" if error.code == "pdf_altered" else "foreign"), ""
    return "whole", ""


def plain_code(typed: str, length: int = CODE_LENGTH) -> str:
    """A code of `length` characters as it is kept, or "" for what cannot be one."""
    letters = unicodedata.normalize("NFKC", typed[:200]).upper()
    code = "".join(c for c in letters if c.isascii() and c.isalnum()).translate(_READ_AS)
    return code if len(code) == length else ""


def masked(name: PersonName) -> str:
    """A name of which only who knows it recognises it: 王*东, 王*, W*** X***."""
    shown = name.shown
    if not name.ideographic:
        return " ".join(f"{part[0]}***" for part in shown.split() if part)
    if len(shown) < 3:
        return f"{shown[:1]}*" if shown else ""
    return f"{shown[0]}{'*' * min(len(shown) - 2, 4)}{shown[-1]}"


def _genuine(store: ObjectStore, standing: Standing, sha256: str = "") -> Verdict:
    return Verdict(standing.outcome, standing, from_canonical(store.read(standing.document_key)), sha256)
