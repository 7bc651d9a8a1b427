"""Uploads: a person hands in files from a browser, and every file's fate is on record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, NotFound
from worklist.facts import KnownDevice, UploadOrigin
from worklist.people import Actor
from worklist.tables import Upload, UploadFile

FileOutcome = Literal["stored", "duplicate", "conflict", "refused", "ignored"]
LONGEST_NAME: Final = 400  # characters of a file's name that are kept
ORIGINS: Final[tuple[UploadOrigin, ...]] = ("own equipment", "other hospital")


@dataclass(frozen=True)
class FileFate:
    """What became of one file. `name` is what the person's disk calls it; `reason` is an error code."""

    name: str
    size: int  # bytes
    outcome: FileOutcome
    reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    study_id: str = ""
    sop_instance_uid: str = ""

    @property
    def mark(self) -> tuple[str, int, str, str]:
        """A file that is sent again has the same mark. Two discs may use one name for two images."""
        return self.name, self.size, self.sop_instance_uid, "" if self.sop_instance_uid else self.reason


def sender(by: Actor) -> KnownDevice:
    """The actor as a sender of objects: for the own institution only.

    Raises
    ------
    Forbidden
        ``token_lacks_scope``, ``role_needed``.
    """
    by.require_scope("store")
    by.require("technician", "PACS admin")
    return KnownDevice(id="", name=by.name, institutions=(by.institution_id,))


def begin_upload(session: Session, by: Actor, origin: str, note: str, announced: int, now: datetime) -> str:
    """Begin to upload `announced` files; return the upload's id.

    Raises
    ------
    BadInput
        ``field_invalid`` for an `origin` that is not a `worklist.facts.UploadOrigin`.
    Forbidden
        as `sender`.
    """
    institution_id = sender(by).institutions[0]
    if origin not in ORIGINS:
        raise BadInput("field_invalid", field="origin")
    upload = Upload(by_id=by.id, institution_id=institution_id, origin=origin, note=note, at=now, announced=announced)
    session.add(upload)
    session.flush()
    audit.note(
        session,
        by,
        "upload begun",
        now,
        thing="upload",
        thing_id=upload.id,
        institution_id=institution_id,
        detail={"origin": origin, "files": announced},
    )
    return upload.id


def origin_of(session: Session, by: Actor, upload_id: str) -> UploadOrigin:
    """Whose numbers the files of an upload carry, if the actor may add files to it."""
    upload = _own(session, by, upload_id)
    return "other hospital" if upload.origin == "other hospital" else "own equipment"


def announce_more(session: Session, by: Actor, upload_id: str, more: int) -> None:
    """An archive turned out to hold further files."""
    upload = _own(session, by, upload_id, lock=True)
    upload.announced = min(upload.announced + more, 2**31 - 1)


def record(session: Session, by: Actor, upload_id: str, fates: Sequence[FileFate], now: datetime) -> None:
    """Note what became of some files. A file that comes again (the answer was lost, say) stays one line."""
    _own(session, by, upload_id, lock=True)  # places are given out one after the other
    known = {
        (row.name, row.size, row.sop_instance_uid, "" if row.sop_instance_uid else row.reason)
        for row in session.scalars(
            select(UploadFile).where(UploadFile.upload_id == upload_id, UploadFile.name.in_({f.name for f in fates}))
        )
    }
    place = session.scalar(select(func.max(UploadFile.place)).where(UploadFile.upload_id == upload_id)) or 0
    rows: list[dict[str, Any]] = []
    for fate in fates:
        if fate.mark in known:
            continue
        known.add(fate.mark)
        rows.append(
            {
                "upload_id": upload_id,
                "place": place + len(rows) + 1,
                "name": fate.name,
                "size": fate.size,
                "outcome": fate.outcome,
                "reason": fate.reason,
                "params": {name: str(value) for name, value in fate.params.items()},
                "study_id": fate.study_id or None,
                "sop_instance_uid": fate.sop_instance_uid,
                "at": now,
            }
        )
    if rows:
        session.execute(insert(UploadFile), rows)


def finish_upload(session: Session, by: Actor, upload_id: str, unsent: int, now: datetime) -> None:
    """The browser has done what it could; `unsent` files were given up or could not be sent."""
    upload = _own(session, by, upload_id, lock=True)
    came = session.scalar(select(func.count()).where(UploadFile.upload_id == upload_id)) or 0
    upload.announced = min(came + unsent, 2**31 - 1)
    upload.finished_at = now


def note_stored(session: Session, by: Actor, study_ids: Collection[str], objects: int, now: datetime) -> None:
    """Record that a program or person handed in objects over DICOMweb: once for each study of one request."""
    for study_id in study_ids:
        audit.note(
            session,
            by,
            "objects stored",
            now,
            thing="study",
            thing_id=study_id,
            institution_id=by.institution_id,
            detail={"objects": objects},
        )


def _own(session: Session, by: Actor, upload_id: str, *, lock: bool = False) -> Upload:
    """An upload of the actor's institution. Raises NotFound (``no_such_upload``)."""
    institution_id = sender(by).institutions[0]
    upload = session.get(Upload, upload_id, with_for_update=lock or None)
    if upload is None or upload.institution_id != institution_id:
        raise NotFound("no_such_upload")
    return upload
