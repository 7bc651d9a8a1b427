"""Searching images (QIDO-RS, DICOM PS3.18 10.6): studies, series and objects, newest study first, page by page.

The order is (Study Date, our study id) backwards, then series number, then instance number. A page goes on from the
place where the one before it ended, so that a deep page costs what the first one costs, and what arrives meanwhile
neither doubles nor hides anything.

A planner that guesses wrongly walks a hundred thousand studies for three rows. So where a key names few studies
(`_narrowed`), those are fetched first and sorted here; only what names many is walked along an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, func, or_, select, tuple_, union
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import image_matching, scope, shares
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_views import Found, InstanceHit, Place, SeriesHit, StudyHit
from worklist.queries.imaging import NO_NUMBER, Root, identities, of_case, visible
from worklist.queries.parts import shown_objects
from worklist.tables import Instance, Order, Reading, ReadingStudy, Series, Study, StudyOrder

FEW: Final = 1000  # studies that are fetched and sorted here
BATCH: Final = 200  # studies that are walked at a time
BUDGET: Final = 1000  # studies that one request looks into for series or objects; then it answers what it has

T = TypeVar("T")
Key = tuple[str, str]  # Study Date, our study id
Number: Final = func.coalesce(Series.number, NO_NUMBER)
Index: Final = func.coalesce(Instance.number, NO_NUMBER)


@dataclass(frozen=True)
class Wanted:
    """What is searched, by whom, from where, and which page."""

    by: Actor
    root: Root
    query: ImageQuery
    now: datetime
    limit: int
    after: Place | None = None
    offset: int = 0  # rows to pass over first: dear where it is large, so `after` is better


def studies(session: Session, wanted: Wanted) -> Found[StudyHit]:
    """Studies that match.

    Raises
    ------
    NotFound
        ``no_such_study``, ``no_such_reading``: the root is not there, or not theirs.
    """
    keys = []
    for place, key in enumerate(_walk(session, wanted, wanted.limit + 1)):
        if place >= wanted.offset:
            keys.append(key)
        if len(keys) > wanted.limit:
            break
    shown = keys[: wanted.limit]
    hits = study_hits(session, wanted.by, [study_id for _date, study_id in shown])
    return Found(tuple(hits), Place(*shown[-1]) if len(keys) > wanted.limit else None)


def series(session: Session, wanted: Wanted) -> Found[SeriesHit]:
    """Series that match; raises as `studies`."""

    def within(study_id: str, inner: tuple[Any, ...], most: int) -> list[Any]:
        query = (
            select(Series)
            .where(Series.study_id == study_id, *image_matching.of_series(wanted.query), _is_shown())
            .order_by(Number, Series.id)
            .limit(most)
        )
        if inner:
            query = query.where(tuple_(Number, Series.id) > tuple_(*inner))
        return list(session.scalars(query))

    rows, next_place = _collect(session, wanted, within, lambda s: (_number(s.number), s.id))
    return Found(tuple(series_hits(session, wanted.by, rows)), next_place)


def instances(session: Session, wanted: Wanted) -> Found[InstanceHit]:
    """Objects that match; raises as `studies`."""

    def within(study_id: str, inner: tuple[Any, ...], most: int) -> list[Any]:
        query = (
            select(Instance, Series)
            .join(Series, Series.id == Instance.series_id)
            .where(Instance.study_id == study_id, shown_objects())
            .where(*image_matching.of_series(wanted.query), *image_matching.of_instance(wanted.query))
            .order_by(Number, Series.id, Index, Instance.id)
            .limit(most)
        )
        if inner:
            query = query.where(tuple_(Number, Series.id, Index, Instance.id) > tuple_(*inner))
        return [(instance, of_series) for instance, of_series in session.execute(query)]

    def place(row: tuple[Instance, Series]) -> tuple[Any, ...]:
        instance, of_series = row
        return (_number(of_series.number), of_series.id, _number(instance.number), instance.id)

    rows, next_place = _collect(session, wanted, within, place)
    by_series: dict[str, Series] = {of_series.id: of_series for _instance, of_series in rows}
    hits = {hit.id: hit for hit in series_hits(session, wanted.by, list(by_series.values()))}
    return Found(
        tuple(
            InstanceHit(
                series=hits[of_series.id],
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                number=instance.number,
                rows=instance.rows,
                columns=instance.columns,
                frames=instance.frames,
            )
            for instance, of_series in rows
        ),
        next_place,
    )


def _number(number: int | None) -> int:
    return NO_NUMBER if number is None else number


def _is_shown() -> ColumnElement[bool]:
    """The series has an object that is offered: not only documents of superseded versions."""
    return select(Instance.id).where(Instance.series_id == Series.id, shown_objects()).correlate(Series).exists()


def _collect(
    session: Session,
    wanted: Wanted,
    within: Callable[[str, tuple[Any, ...], int], list[T]],
    place: Callable[[T], tuple[Any, ...]],
) -> tuple[list[T], Place | None]:
    """Rows of one study after the other, until the page is full or enough studies were looked into."""
    rows: list[tuple[Key, T]] = []
    offset = wanted.offset
    key: Key = ("", "")
    for looked_into, key in enumerate(_walk(session, wanted, BATCH)):
        if looked_into == BUDGET:
            break
        before = wanted.after
        inner = before.inner if before is not None and key == (before.study_date, before.study_id) else ()
        found = within(key[1], inner, wanted.limit + 1 - len(rows) + offset)
        passed = min(offset, len(found))
        offset -= passed
        rows += [(key, row) for row in found[passed:]]
        last = key
        if len(rows) > wanted.limit:
            shown = rows[: wanted.limit]
            return [row for _key, row in shown], Place(*shown[-1][0], place(shown[-1][1]))
    else:
        return [row for _key, row in rows], None
    return [row for _key, row in rows], Place(*last)


def _walk(session: Session, wanted: Wanted, batch: int) -> Iterator[Key]:
    """Matching studies in the actor's scope, in order, from `wanted.after` on (with its study if it ends inside)."""
    by, now, after = wanted.by, wanted.now, wanted.after
    _require_root(session, wanted)
    conditions = image_matching.of_study(by, wanted.query)
    start = (after.study_date, after.study_id) if after is not None else None
    inclusive = after is not None and bool(after.inner)
    ids = _narrowed(session, wanted)
    if ids is not None:
        if not ids:
            return
        seen = visible(by, wanted.root, now)
        found = session.execute(select(Study.study_date, Study.id).where(Study.id.in_(ids), seen, *conditions))
        for key in sorted(((row.study_date, row.id) for row in found), reverse=True):
            if start is None or key < start or (inclusive and key == start):
                yield key
        return
    branches = _branches(session, by, now)
    while branches:
        queries = [_stretch(branch, conditions, start, inclusive, batch) for branch in branches]
        query: Any = queries[0]
        if len(queries) > 1:
            both = union(*(select(q.subquery()) for q in queries)).subquery()
            query = select(both).order_by(both.c.study_date.desc(), both.c.id.desc()).limit(batch)
        keys = [(row.study_date, row.id) for row in session.execute(query)]
        yield from keys
        if len(keys) < batch:
            return
        start, inclusive = keys[-1], False


def _stretch(
    branch: ColumnElement[bool], conditions: list[ColumnElement[bool]], start: Key | None, inclusive: bool, batch: int
) -> Any:
    query: Any = select(Study.study_date, Study.id).where(branch, *conditions)
    if start is not None:
        date, study_id = start
        beyond = Study.id <= study_id if inclusive else Study.id < study_id
        # Said twice, since an index is not walked from an OR.
        query = query.where(Study.study_date <= date, or_(Study.study_date < date, beyond))
    return query.order_by(Study.study_date.desc(), Study.id.desc()).limit(batch)


def _branches(session: Session, by: Actor, now: datetime) -> list[ColumnElement[bool]]:
    """The actor's scope in parts that each walk an index of their own; together they are `imaging.visible`."""
    if by.has("PACS admin"):
        return [Study.id != ""]
    parts: list[ColumnElement[bool]] = []
    if by.has("technician") or by.has("doctor"):
        parts.append(Study.institution_id == by.institution_id)
    centers = by.centers()
    if centers:
        some = select(Reading.id).where(Reading.center_id.in_(centers)).offset(FEW).limit(1)
        if session.scalar(some) is not None:
            parts.append(scope.covered(by))
        else:
            read = select(ReadingStudy.study_id).join(Reading, Reading.id == ReadingStudy.reading_id)
            ids = session.scalars(read.where(Reading.center_id.in_(centers)).distinct()).all()
            parts.append(Study.id.in_(ids))
    held = session.scalars(
        select(Reading.patient_id).where(
            Reading.holder_id == by.id, Reading.held_until > now, Reading.patient_id.is_not(None)
        )
    ).all()
    if by.opened:
        parts.append(Study.id.in_(session.scalars(select(Study.id).where(scope.opened(by, Study.patient_id))).all()))
    if held:
        parts.append(Study.id.in_(session.scalars(select(Study.id).where(Study.patient_id.in_(held))).all()))
    return parts


def _narrowed(session: Session, wanted: Wanted) -> list[str] | None:
    """Ids of the studies that some key of the query names, where they are few: a superset of what matches."""
    if wanted.root.kind == "held":
        return [wanted.root.id]
    if wanted.root.kind == "reading":
        return list(session.scalars(select(Study.id).where(of_case(wanted.by, wanted.root.id))))
    if wanted.root.kind == "share":
        return list(session.scalars(select(Study.id).where(shares.studies(wanted.by, wanted.root.id))))
    for naming in image_matching.naming(wanted.by, wanted.query):
        ids = session.scalars(naming.limit(FEW + 1)).all()
        if len(ids) <= FEW:
            return list(dict.fromkeys(ids))
    return None


def _require_root(session: Session, wanted: Wanted) -> None:
    root = wanted.root
    if root.kind == "held":
        if session.scalar(select(Study.id).where(visible(wanted.by, root, wanted.now))) is None:
            raise NotFound("no_such_study")
    elif root.kind == "reading":
        found = select(Reading.id).where(Reading.id == root.id, scope.readings(wanted.by))
        if session.scalar(found) is None:
            raise NotFound("no_such_reading")


# --- what is told of them ----------------------------------------------------------------------------------------


def study_hits(session: Session, by: Actor, ids: list[str]) -> list[StudyHit]:
    """Studies in the order of `ids`."""
    if not ids:
        return []
    found = {study.id: study for study in session.scalars(select(Study).where(Study.id.in_(ids)))}
    shown = identities(session, by, list(found.values()))
    documents = _documents(session, ids)
    accessions: dict[str, str] = {}
    for study_id, number in session.execute(
        select(StudyOrder.study_id, Order.accession_number)
        .join(Order, Order.id == StudyOrder.order_id)
        .where(StudyOrder.study_id.in_(ids))
        .order_by(Order.id)
    ):
        accessions.setdefault(study_id, number)
    modalities: dict[str, dict[str, str]] = {study_id: {} for study_id in ids}  # by series
    for study_id, series_id, modality in session.execute(
        select(Series.study_id, Series.id, Series.modality).where(Series.study_id.in_(ids)).order_by(Series.modality)
    ):
        if documents.get(study_id, {}).get(series_id, 1):
            modalities[study_id][series_id] = modality
    return [
        StudyHit(
            id=study.id,
            study_instance_uid=study.study_instance_uid,
            institution_id=study.institution_id,
            patient_id=study.patient_id or "",
            identity=shown[study.id],
            institution=study.institution.name,
            accession_number=accessions.get(study.id, study.sent_accession_number),
            study_date=study.study_date,
            study_time=study.study_time,
            description=study.description,
            modalities=tuple(dict.fromkeys(m for m in modalities[study.id].values() if m)),
            series=len(modalities[study.id]),
            instances=study.instances + sum(documents.get(study.id, {}).values()),
        )
        for study in (found[study_id] for study_id in ids)
    ]


def series_hits(session: Session, by: Actor, rows: list[Series]) -> list[SeriesHit]:
    ids = list(dict.fromkeys(row.study_id for row in rows))
    hits = {hit.id: hit for hit in study_hits(session, by, ids)}
    documents = _documents(session, ids)
    return [
        SeriesHit(
            study=hits[row.study_id],
            id=row.id,
            series_instance_uid=row.series_instance_uid,
            modality=row.modality,
            number=row.number,
            description=row.description,
            body_part=row.body_part,
            instances=documents.get(row.study_id, {}).get(row.id, row.instances),
        )
        for row in rows
    ]


def _documents(session: Session, ids: list[str]) -> dict[str, dict[str, int]]:
    """How many of our own documents are offered, by study and by series; a series of none but superseded ones has 0."""
    if not ids:
        return {}
    found: dict[str, dict[str, int]] = {}
    for study_id, series_id, is_shown in session.execute(
        select(Instance.study_id, Instance.series_id, shown_objects()).where(
            Instance.study_id.in_(ids), Instance.version_id.is_not(None)
        )
    ):
        counts = found.setdefault(study_id, {})
        counts[series_id] = counts.get(series_id, 0) + bool(is_shown)
    return found
