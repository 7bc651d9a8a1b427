"""Under which names patients and objects lie in an archive that knows no issuers."""

from __future__ import annotations

from hashlib import sha1, sha256
from typing import Final

LONGEST: Final = 64  # characters of a Patient ID (VR LO, PS3.5 6.2)


def archive_patient_id(issuer: str, value: str) -> str:
    """One Patient ID for (issuer, value), so that two issuers' "P1" never become one patient.

    ``ISSUER^VALUE`` where that is short, plain ASCII and says in one way only which part is which; else the SHA-256 of
    both in hexadecimal, which has the 64 characters that a Patient ID may have and no ``^``. Which study lies under
    which is in the database.
    """
    plain = f"{issuer}^{value}"
    is_plain = issuer and value and "^" not in issuer and "\\" not in plain and plain == plain.strip()
    if is_plain and len(plain) <= LONGEST and plain.isascii() and plain.isprintable():
        return plain
    return sha256(f"{len(issuer)}:{issuer}{value}".encode("utf-8", "surrogatepass")).hexdigest()


def place_in_orthanc(patient_id: str, study_uid: str, series_uid: str, sop_instance_uid: str) -> str:
    """The id that Orthanc gives an object: the SHA-1 of its four names, in five groups (Orthanc book, "Orthanc
    identifiers")."""
    names = "|".join((patient_id, study_uid, series_uid, sop_instance_uid))
    digest = sha1(names.encode("utf-8"), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))
