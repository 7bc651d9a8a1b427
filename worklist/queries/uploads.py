"""Receipts of uploads: what the county holds of what a person handed in. The database is asked, not the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import parts
from worklist.queries.views import Page, StudyRow
from worklist.rules.uploads import KEPT
from worklist.tables import Instance, Institution, Order, PartialFile, Study, StudyOrder, Upload, UploadFile, User

MOST_LINES: Final = 2000  # files that a receipt names
HELD: Final = ("stored", "duplicate")
NOT_HELD: Final = ("conflict", "refused")
MOST_UNFINISHED: Final = 20  # uploads that a browser asks about


@dataclass(frozen=True)
class UploadRow:
    """One upload and its sums. `sent` counts images (or what should have been one), `held` those of them held now."""

    id: str
    by: str
    institution: str
    origin: str
    note: str
    order_id: str  # whose pictures and papers these are, or ""
    accession_number: str
    at: datetime
    finished_at: datetime | None
    announced: int  # files
    files: int  # that came
    sent: int
    held: int
    before: int  # held images that were held before this upload
    not_held: int  # files
    ignored: int  # files

    @property
    def unsent(self) -> int:
        """Files that were announced and did not come."""
        return max(0, self.announced - self.files)


@dataclass(frozen=True)
class UploadedStudy:
    """What an upload brought to one study. `orders`: (id, accession number) of those that it serves."""

    study: StudyRow
    sent: int
    held: int
    orders: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class UploadedFile:
    """A file that is not held, and why."""

    name: str
    size: int
    outcome: str
    reason: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldFile:
    """An object that an upload has brought: whoever goes on with the upload need not send it again."""

    name: str
    size: int
    sop_instance_uid: str


@dataclass(frozen=True)
class PartialRow:
    """A file that is there in part. `fingerprint` is what its sender made of it."""

    id: str
    name: str
    size: int
    received: int
    fingerprint: str


@dataclass(frozen=True)
class Unfinished:
    """An upload that was broken off."""

    id: str
    origin: str
    order_id: str
    at: datetime
    partial_files: tuple[PartialRow, ...]


@dataclass(frozen=True)
class Receipt:
    """An upload, whole. At most `MOST_LINES` files are named in each list; the sums count all."""

    upload: UploadRow
    studies: tuple[UploadedStudy, ...]
    not_held: tuple[UploadedFile, ...]
    ignored: tuple[UploadedFile, ...]
    ignored_reasons: tuple[tuple[str, int], ...]


def listed(session: Session, by: Actor, *, after: str = "", limit: int = 50) -> Page[UploadRow]:
    """Uploads of the actor's institution (all for a PACS admin), the newest first.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    query = select(Upload).where(_scope(by)).order_by(Upload.id.desc()).limit(limit + 1)
    if after:
        query = query.where(Upload.id < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    return Page(tuple(_rows(session, shown)), shown[-1].id if len(found) > limit else "")


def receipt(session: Session, by: Actor, upload_id: str) -> Receipt:
    """One upload.

    Raises
    ------
    NotFound
        ``no_such_upload``: not there, or another institution's.
    Forbidden
        ``role_needed``.
    """
    upload = session.scalar(select(Upload).where(Upload.id == upload_id, _scope(by)))
    if upload is None:
        raise NotFound("no_such_upload")
    reasons = session.execute(
        select(UploadFile.reason, func.count())
        .where(UploadFile.upload_id == upload_id, UploadFile.outcome == "ignored")
        .group_by(UploadFile.reason)
        .order_by(func.count().desc(), UploadFile.reason)
    ).all()
    return Receipt(
        upload=_rows(session, [upload])[0],
        studies=_studies(session, upload_id),
        not_held=_files(session, upload_id, NOT_HELD),
        ignored=_files(session, upload_id, ("ignored",)),
        ignored_reasons=tuple((reason, count) for reason, count in reasons),
    )


def unfinished(session: Session, by: Actor, now: datetime) -> list[Unfinished]:
    """The actor's own uploads that were not finished, the newest first, as long as pieces of files are kept."""
    by.require("technician", "PACS admin")
    found = session.scalars(
        select(Upload)
        .where(
            Upload.institution_id == by.institution_id,
            Upload.by_id == by.id,
            Upload.finished_at.is_(None),
            Upload.at > now - KEPT,
        )
        .order_by(Upload.id.desc())
        .limit(MOST_UNFINISHED)
    ).all()
    partial: dict[str, list[PartialRow]] = {}
    for row in session.scalars(
        select(PartialFile).where(
            PartialFile.upload_id.in_([u.id for u in found]),
            PartialFile.fate == {},
            PartialFile.touched_at > now - KEPT,
        )
    ):
        shown = PartialRow(row.id, row.name, row.size, row.received, row.fingerprint)
        partial.setdefault(row.upload_id, []).append(shown)
    return [Unfinished(u.id, u.origin, u.order_id or "", u.at, tuple(partial.get(u.id, ()))) for u in found]


def held_files(session: Session, by: Actor, upload_id: str) -> list[HeldFile]:
    """The objects of an upload that are held now. Raises as `receipt`."""
    if session.scalar(select(Upload.id).where(Upload.id == upload_id, _scope(by))) is None:
        raise NotFound("no_such_upload")
    rows = session.execute(
        select(UploadFile.name, UploadFile.size, UploadFile.sop_instance_uid)
        .join(Instance, _IS_HELD)
        .where(UploadFile.upload_id == upload_id, UploadFile.outcome.in_(HELD))
        .order_by(UploadFile.place)
    )
    return [HeldFile(*row) for row in rows]


def _scope(by: Actor) -> ColumnElement[bool]:
    by.require("technician", "PACS admin")
    return true() if by.has("PACS admin") else Upload.institution_id == by.institution_id


def _rows(session: Session, found: Sequence[Upload]) -> list[UploadRow]:
    ids = [upload.id for upload in found]
    people = _pairs(session, select(User.id, User.name).where(User.id.in_({u.by_id for u in found})))
    places = _pairs(
        session, select(Institution.id, Institution.name).where(Institution.id.in_({u.institution_id for u in found}))
    )
    numbers = _pairs(
        session,
        select(Order.id, Order.accession_number).where(Order.id.in_({u.order_id for u in found if u.order_id})),
    )
    counts: dict[tuple[str, str], int] = {
        (upload_id, outcome): count
        for upload_id, outcome, count in session.execute(
            select(UploadFile.upload_id, UploadFile.outcome, func.count())
            .where(UploadFile.upload_id.in_(ids))
            .group_by(UploadFile.upload_id, UploadFile.outcome)
        )
    }
    distinct = func.count(UploadFile.sop_instance_uid.distinct())
    per_upload = select(UploadFile.upload_id, distinct).where(UploadFile.upload_id.in_(ids))
    per_upload = per_upload.where(UploadFile.outcome.in_(HELD)).group_by(UploadFile.upload_id)
    taken = _pairs(session, per_upload)
    held = _pairs(session, per_upload.join(Instance, _IS_HELD))
    new = _pairs(session, per_upload.join(Instance, _IS_HELD).where(UploadFile.outcome == "stored"))

    def count(upload: Upload, *outcomes: str) -> int:
        return sum(counts.get((upload.id, outcome), 0) for outcome in outcomes)

    return [
        UploadRow(
            id=u.id,
            by=people.get(u.by_id, ""),
            institution=places.get(u.institution_id, ""),
            origin=u.origin,
            note=u.note,
            order_id=u.order_id or "",
            accession_number=numbers.get(u.order_id or "", ""),
            at=u.at,
            finished_at=u.finished_at,
            announced=u.announced,
            files=count(u, *HELD, *NOT_HELD, "ignored"),
            sent=taken.get(u.id, 0) + count(u, *NOT_HELD),
            held=held.get(u.id, 0),
            before=held.get(u.id, 0) - new.get(u.id, 0),
            not_held=count(u, *NOT_HELD),
            ignored=count(u, "ignored"),
        )
        for u in found
    ]


_IS_HELD: Final = and_(
    Instance.study_id == UploadFile.study_id, Instance.sop_instance_uid == UploadFile.sop_instance_uid
)


def _studies(session: Session, upload_id: str) -> tuple[UploadedStudy, ...]:
    of_upload = and_(UploadFile.upload_id == upload_id, UploadFile.study_id.is_not(None))
    distinct = func.count(UploadFile.sop_instance_uid.distinct())
    per_study = select(UploadFile.study_id, distinct).where(of_upload, UploadFile.outcome.in_(HELD))
    per_study = per_study.group_by(UploadFile.study_id)
    taken, held = _pairs(session, per_study), _pairs(session, per_study.join(Instance, _IS_HELD))
    differing = _pairs(
        session,
        select(UploadFile.study_id, func.count())
        .where(of_upload, UploadFile.outcome.in_(NOT_HELD))
        .group_by(UploadFile.study_id),
    )
    ids = sorted({*taken, *differing})
    orders: dict[str, list[tuple[str, str]]] = {}
    for study_id, order_id, accession_number in session.execute(
        select(StudyOrder.study_id, Order.id, Order.accession_number)
        .join(Order, Order.id == StudyOrder.order_id)
        .where(StudyOrder.study_id.in_(ids))
        .order_by(Order.id)
    ):
        orders.setdefault(study_id, []).append((order_id, accession_number))
    found = session.scalars(select(Study).where(Study.id.in_(ids)).order_by(Study.id)).unique().all()
    return tuple(
        UploadedStudy(
            row,
            taken.get(row.id, 0) + differing.get(row.id, 0),
            held.get(row.id, 0),
            tuple(orders.get(row.id, ())),
        )
        for row in parts.studies(session, found)
    )


def _files(session: Session, upload_id: str, outcomes: Sequence[str]) -> tuple[UploadedFile, ...]:
    rows = session.scalars(
        select(UploadFile)
        .where(UploadFile.upload_id == upload_id, UploadFile.outcome.in_(outcomes))
        .order_by(UploadFile.place)
        .limit(MOST_LINES)
    )
    return tuple(UploadedFile(r.name, r.size, r.outcome, r.reason, r.params) for r in rows)


def _pairs(session: Session, query: Any) -> dict[str, Any]:
    return dict(session.execute(query).all())
