"""Uploads: a person hands in files from a browser, and every file's fate is on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import KnownDevice, PersonName, PictureFiling, UploadOrigin
from worklist.people import Actor
from worklist.tables import Instance, Order, Study, StudyOrder, Upload, UploadFile

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
    original_key: str = ""  # of a picture or PDF as it came, in the object store

    @property
    def mark(self) -> tuple[str, int, str, str]:
        """A file that is sent again has the same mark. Two discs may use one name for two images."""
        return self.name, self.size, self.sop_instance_uid, "" if self.sop_instance_uid else self.reason


@dataclass(frozen=True)
class UploadTarget:
    """What the files of an upload are: `origin` says whose numbers they carry, `order_id` (or ``""``) for which order
    pictures and papers in it were made."""

    id: str
    origin: UploadOrigin
    order_id: str


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


def begin_upload(
    session: Session,
    by: Actor,
    origin: str,
    note: str,
    announced: int,
    now: datetime,
    *,
    order_id: str = "",
    examined_at: datetime | None = None,
) -> str:
    """Begin to upload `announced` files; return the upload's id.

    `order_id`: pictures and PDFs among them are of this order, which was performed at `examined_at` (aware, or None
    where nobody says).

    Raises
    ------
    BadInput
        ``field_invalid`` for an `origin` that is not a `worklist.facts.UploadOrigin`.
    NotFound
        ``no_such_order``.
    Conflict
        ``order_cancelled``, ``order_recognised``, ``order_rereading``.
    Forbidden
        as `sender`.
    """
    institution_id = sender(by).institutions[0]
    if origin not in ORIGINS or (order_id and origin != "own equipment"):
        raise BadInput("field_invalid", field="origin")
    if examined_at is not None and (examined_at.tzinfo is None or examined_at > now):
        raise BadInput("field_invalid", field="examined_at")
    order = _own_order(session, institution_id, order_id) if order_id else None
    upload = Upload(
        by_id=by.id,
        institution_id=institution_id,
        origin=origin,
        note=note,
        at=now,
        order_id=order.id if order else None,
        examined_at=examined_at if order else None,
        announced=announced,
    )
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
        patient_id=order.patient_id if order else "",
        detail={"origin": origin, "files": announced} | ({"order": order.accession_number} if order else {}),
    )
    return upload.id


def target_of(session: Session, by: Actor, upload_id: str) -> UploadTarget:
    """What the files of an upload are, if the actor may add files to it.

    Raises
    ------
    NotFound
        ``no_such_upload``: not there, or another institution's.
    Forbidden
        as `sender`.
    """
    upload = own(session, by, upload_id)
    origin: UploadOrigin = "other hospital" if upload.origin == "other hospital" else "own equipment"
    return UploadTarget(upload.id, origin, upload.order_id or "")


def filing_of(session: Session, by: Actor, upload_id: str) -> PictureFiling:
    """Under which identity the pictures and papers of an upload for an order are kept. Raises as `begin_upload`."""
    upload = own(session, by, upload_id)
    order = _own_order(session, upload.institution_id, upload.order_id or "")
    study = session.scalar(
        select(Study).where(
            Study.study_instance_uid == order.study_instance_uid, Study.institution_id == order.institution_id
        )
    )
    links = select(StudyOrder.study_id).where(StudyOrder.order_id == order.id)
    if study is not None and study.id not in session.scalars(links).all():
        # Images came under the order's UID and belong to somebody else, or wait for a person to say whose they are.
        raise Conflict("study_needs_a_person")
    local = upload.examined_at.astimezone(ZoneInfo(order.institution.timezone)) if upload.examined_at else None
    procedure = order.procedure
    return PictureFiling(
        order_id=order.id,
        upload_id=upload.id,
        study_instance_uid=order.study_instance_uid,
        accession_number=order.accession_number,
        placer_number=order.placer_number,
        patient_id=study.sent_patient_id if study else order.patient_value,
        issuer=study.sent_issuer if study else order.patient_issuer,
        name=(
            PersonName(study.sent_name, study.sent_name_alphabetic)
            if study
            else PersonName(order.patient.name, order.patient.name_alphabetic)
        ),
        sex=study.sent_sex if study else order.patient.sex,
        birth_date=study.sent_birth_date if study else order.patient.birth_date,
        description=(study.description if study else "") or (procedure.name if procedure else order.procedure_text),
        modality=procedure.modality if procedure else "",
        body_part=procedure.body_part if procedure else "",
        ordering_doctor=order.ordering_doctor,
        institution_name=order.institution.name,
        study_date=study.study_date if study else f"{local:%Y%m%d}" if local else "",
        study_time=study.study_time if study else f"{local:%H%M%S}" if local else "",
    )


def is_held(session: Session, by: Actor, sop_instance_uid: str) -> str:
    """The id of the study of the actor's institution in which this image is held, or ``""``."""
    institution_id = sender(by).institutions[0]
    found = session.scalar(
        select(Study.id)
        .join(Instance, Instance.study_id == Study.id)
        .where(Instance.sop_instance_uid == sop_instance_uid, Study.institution_id == institution_id)
    )
    return found or ""


def announce_more(session: Session, by: Actor, upload_id: str, more: int) -> None:
    """An archive turned out to hold further files."""
    upload = own(session, by, upload_id, lock=True)
    upload.announced = min(upload.announced + more, 2**31 - 1)


def record(session: Session, by: Actor, upload_id: str, fates: Sequence[FileFate], now: datetime) -> None:
    """Note what became of some files. A file that comes again (the answer was lost, say) stays one line."""
    own(session, by, upload_id, lock=True)  # places are given out one after the other
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
                "original_key": fate.original_key,
                "at": now,
            }
        )
    if rows:
        session.execute(insert(UploadFile), rows)


def finish_upload(session: Session, by: Actor, upload_id: str, unsent: int, now: datetime) -> None:
    """The browser has done what it could; `unsent` files were given up or could not be sent."""
    upload = own(session, by, upload_id, lock=True)
    came = session.scalar(select(func.count()).where(UploadFile.upload_id == upload_id)) or 0
    upload.announced = min(came + unsent, 2**31 - 1)
    upload.finished_at = now


def note_stored(
    session: Session, by: Actor, studies: Mapping[str, int], now: datetime, *, broken_off: bool = False
) -> None:
    """Record that a program or person handed in objects over DICOMweb: once for each study of one request, with how
    many there were. `broken_off`: the request did not come to its end, and nobody was told what was kept."""
    for study_id, objects in studies.items():
        audit.note(
            session,
            by,
            "objects stored",
            now,
            thing="study",
            thing_id=study_id,
            institution_id=by.institution_id,
            detail={"objects": objects} | ({"broken_off": True} if broken_off else {}),
        )


def own(session: Session, by: Actor, upload_id: str, *, lock: bool = False) -> Upload:
    """An upload of the actor's institution. Raises NotFound (``no_such_upload``)."""
    institution_id = sender(by).institutions[0]
    upload = session.get(Upload, upload_id, with_for_update=lock or None)
    if upload is None or upload.institution_id != institution_id:
        raise NotFound("no_such_upload")
    return upload


def _own_order(session: Session, institution_id: str, order_id: str) -> Order:
    order = session.get(Order, order_id)
    if order is None or order.institution_id != institution_id:
        raise NotFound("no_such_order")
    if order.state in ("cancelled", "recognised", "rereading"):
        raise Conflict(f"order_{order.state}", accession_number=order.accession_number)
    return order
