"""Numbers that Huren issues: accession numbers, study UIDs, control ids."""

from __future__ import annotations

import secrets
import uuid
from datetime import date
from typing import Final

from sqlalchemy import bindparam, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist.errors import TryLater
from worklist.prepared import Prepared
from worklist.tables import Counter
from worklist.tables.base import ALPHABET, table_of

DIGITS: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O: read aloud, typed from paper

_COUNTER = table_of(Counter)
_UP: Final = Prepared(
    update(_COUNTER)
    .where(_COUNTER.c.name == bindparam("counter"))
    .values(value=_COUNTER.c.value + 1)
    .returning(_COUNTER.c.value)
)


def split_study_uid(institution_id: str, study_instance_uid: str, patient_id: str, issuer: str) -> str:
    """The UID of the study that one patient's objects become which came under another patient's Study Instance UID.

    Always the same for the same patient, so that later ones join them. Derived from a UUID (PS3.5 B.2).
    """
    name = "\x1f".join((institution_id, study_instance_uid, issuer, patient_id))
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def _base34(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, len(DIGITS))
        digits = DIGITS[rest] + digits
    return digits.rjust(width, DIGITS[0])


def next_value(session: Session, name: str) -> int:
    """Count a named counter up by one; each value is given once, whoever asks."""
    found = _UP.first(session, {"counter": name})
    if found is None:
        try:
            with session.begin_nested():
                session.execute(insert(Counter).values(name=name, value=0))
        except IntegrityError:
            session.expire_all()  # another transaction made it first; the UPDATE counts on from there
        found = _UP.first(session, {"counter": name})
    if found is None:
        raise TryLater("counter_busy", name=name)
    value: int = found.value
    return value


def new_accession_number(session: Session, today: date) -> str:
    """A new accession number: H, year and month, day, six characters counted; 13 of A–Z 0–9.

    DICOM SH allows 16 (PS3.5 6.2). The date is for people; uniqueness comes from the counter.
    """
    return f"H{today:%y%m%d}{_base34(next_value(session, 'accession'), 6)}"


def new_study_uid() -> str:
    """A new Study Instance UID under 2.25 (PS3.5 B.2), at most 44 characters."""
    return f"2.25.{uuid.uuid4().int}"


def new_verification_code() -> str:
    """What `/verify` takes of one issued version: 16 characters, 80 random bits, so that nobody guesses one."""
    return "".join(secrets.choice(ALPHABET) for _ in range(16)).upper()


def new_control_id() -> str:
    """A new HL7 control id (MSH-10): 20 characters, unique."""
    return uuid.uuid4().hex[:20].upper()
