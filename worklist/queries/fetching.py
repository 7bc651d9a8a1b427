"""What a device may find and fetch at the DIMSE door (DICOM PS3.4 annex C), and as whom it is shown the patient.

A device sees the linked studies of the institutions that it may speak for. Of other institutions it sees those of a
patient for whom its own has an open order, and nothing once that order is done (docs/decisions/0009).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from worklist.errors import Conflict, TryLater
from worklist.facts import KnownDevice
from worklist.people import Actor, device_actor
from worklist.queries import image_matching, scope
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_search import series_hits, study_hits
from worklist.queries.image_views import InstanceHit, SeriesHit, StudyHit
from worklist.queries.imaging import NO_NUMBER, HeldInstance, ShownIdentity, held_instances
from worklist.queries.scope import wildcard
from worklist.tables import Institution, Order, Patient, PatientIdentifier, Series, Study

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]

LIMIT: Final = 1000
"""Patients, studies or series that one query answers; then it says that there are more."""
SCANNED: Final = 20_000
"""Studies that one query looks at; a patient with more than `LIMIT` is rarer than a key that names nobody."""
BATCH: Final = 200

LINKED: Final = ("matched", "matched by a person", "moved")
OPENS: Final = ("scheduled", "in progress", "performed")
"""States of an order that open other institutions' studies of its patient: accepted, and not yet reported."""
OPENS_FOR: Final = timedelta(days=30)
"""An order that was forgotten opens nothing after this time from when it was placed."""


@dataclass(frozen=True)
class Keys:
    """A query or the keys of a retrieve. In the patient root a patient is named by `patient_id` and `issuer`."""

    level: Level
    patient_root: bool
    query: ImageQuery


@dataclass(frozen=True)
class PatientHit:
    """A patient as the device is shown them, with what it may see of them."""

    identity: ShownIdentity
    studies: int
    series: int
    instances: int


@dataclass(frozen=True)
class Fetched:
    """A study that leaves, the objects of it that were asked for, and the identity that they leave under."""

    study_id: str
    study_instance_uid: str
    institution_id: str
    patient_id: str  # ours
    identity: ShownIdentity
    instances: tuple[HeldInstance, ...]


Hit = PatientHit | StudyHit | SeriesHit | InstanceHit


def visible(device: KnownDevice, now: datetime) -> ColumnElement[bool]:
    """Studies that the device may see."""
    open_orders = select(Order.patient_id).where(
        Order.institution_id.in_(device.institutions), Order.state.in_(OPENS), Order.placed_at > now - OPENS_FOR
    )
    return and_(
        Study.link.in_(LINKED),
        or_(Study.institution_id.in_(device.institutions), scope.of_person(Study.patient_id, open_orders)),
    )


def find(session: Session, device: KnownDevice, keys: Keys, now: datetime) -> tuple[list[Hit], bool]:
    """What matches, newest study first, and whether there is more than is answered.

    Raises
    ------
    Conflict
        ``patient_id_ambiguous``, ``study_uid_ambiguous``: the keys above the level name more than one.
    """
    query = keys.query
    if keys.level in ("PATIENT", "STUDY"):
        studies = _studies(session, device, query, now)
        if keys.level == "PATIENT":
            return _cut(_patients(studies))
        return _cut(_of_one_patient(studies) if keys.patient_root else studies)
    study = _one_study(session, device, keys, now)
    if study is None:
        return [], False
    rows = session.scalars(
        select(Series).where(Series.study_id == study.id, *image_matching.of_series(query)).order_by(Series.id)
    ).all()
    found = [hit for hit in series_hits(session, _actor(device), list(rows)) if hit.instances]
    found = [replace(hit, study=study) for hit in found]
    found.sort(key=lambda hit: (NO_NUMBER if hit.number is None else hit.number, hit.id))
    if keys.level == "SERIES":
        return _cut(found)
    return list(_instances(session, study, found, query)), False


def fetch(session: Session, device: KnownDevice, keys: Keys, now: datetime) -> list[Fetched]:
    """The objects that the unique keys of a retrieve name, study by study. Unknown ones are left out.

    Raises
    ------
    Conflict
        as `find`.
    """
    query = keys.query
    if keys.level == "PATIENT":
        studies = list(_of_one_patient(_studies(session, device, query, now)))
    elif keys.level == "STUDY":
        one_by_one = (replace(keys, query=replace(query, study_uids=(uid,))) for uid in dict.fromkeys(query.study_uids))
        studies = [s for one in one_by_one if (s := _one_study(session, device, one, now)) is not None]
    else:
        study = _one_study(session, device, keys, now)
        studies = [study] if study is not None else []
    found = []
    for hit in studies:
        held = held_instances(session, hit.id)
        chosen = tuple(
            one
            for one in held
            if (not query.series_uids or one.series_instance_uid in query.series_uids)
            and (not query.instance_uids or one.sop_instance_uid in query.instance_uids)
        )
        if chosen:
            uid, institution = hit.study_instance_uid, hit.institution_id
            found.append(Fetched(hit.id, uid, institution, hit.patient_id, hit.identity, chosen))
    return found


def _studies(session: Session, device: KnownDevice, query: ImageQuery, now: datetime) -> Iterator[StudyHit]:
    """Studies that match, with the identity that the device is shown.

    The number that is shown depends on who asks, so the tables only narrow it down.

    Raises
    ------
    TryLater
        ``too_many_matches``: more studies would have to be looked at than one query may.
    """
    conditions = image_matching.of_study(_actor(device), replace(query, patient_id="", issuer=""))
    if query.patient_id:
        known = select(PatientIdentifier.patient_id).where(wildcard(PatientIdentifier.value, query.patient_id))
        sent = wildcard(Study.sent_patient_id, query.patient_id)
        conditions.append(or_(sent, scope.of_person(Study.patient_id, known)))
    ids = session.scalars(
        select(Study.id)
        .where(visible(device, now), *conditions)
        .order_by(Study.study_date.desc(), Study.id.desc())
        .limit(SCANNED + 1)
    ).all()
    is_number = _matcher(query.patient_id)
    for at in range(0, min(len(ids), SCANNED), BATCH):
        hits = study_hits(session, _actor(device), list(ids[at : at + BATCH]))
        for hit in _as_known(session, device, hits):
            if is_number(hit.identity.patient_id) and query.issuer in ("", hit.identity.issuer):
                yield hit
    if len(ids) > SCANNED:
        raise TryLater("too_many_matches")


def _one_study(session: Session, device: KnownDevice, keys: Keys, now: datetime) -> StudyHit | None:
    """The study that the keys name. Where another institution uses its UID too, the device's own is meant."""
    named = ImageQuery(study_uids=keys.query.study_uids, patient_id=keys.query.patient_id, issuer=keys.query.issuer)
    found = list(_studies(session, device, named, now))
    own = [hit for hit in found if hit.institution_id in device.institutions]
    chosen = found if len(found) == 1 else own
    if len(found) > 1 and len(chosen) != 1:
        raise Conflict("study_uid_ambiguous")
    return chosen[0] if chosen else None


def _of_one_patient(studies: Iterable[StudyHit]) -> Iterator[StudyHit]:
    """The studies, as long as they are one patient's: without its issuer a number may be two people's."""
    first: tuple[str, str] | None = None
    for hit in studies:
        this = (hit.identity.patient_id, hit.identity.issuer)
        first = first or this
        if this != first:
            raise Conflict("patient_id_ambiguous")
        yield hit


def _patients(studies: Iterable[StudyHit]) -> Iterator[PatientHit]:
    """Each patient of the studies, as the newest of them names him or her."""
    found: dict[tuple[str, str], PatientHit] = {}
    for hit in studies:
        key = (hit.identity.patient_id, hit.identity.issuer)
        if key not in found and len(found) > LIMIT:
            break
        before = found.get(key, PatientHit(hit.identity, 0, 0, 0))
        found[key] = PatientHit(
            before.identity, before.studies + 1, before.series + hit.series, before.instances + hit.instances
        )
    yield from found.values()


def _instances(session: Session, study: StudyHit, found: list[SeriesHit], query: ImageQuery) -> Iterator[InstanceHit]:
    by_id = {hit.id: hit for hit in found}
    for held in held_instances(session, study.id):
        if (
            held.series_id in by_id
            and (not query.instance_uids or held.sop_instance_uid in query.instance_uids)
            and (not query.sop_class_uids or held.sop_class_uid in query.sop_class_uids)
            and query.instance_number in (None, held.number)
        ):
            yield InstanceHit(
                series=by_id[held.series_id],
                sop_class_uid=held.sop_class_uid,
                sop_instance_uid=held.sop_instance_uid,
                transfer_syntax_uid=held.transfer_syntax_uid,
                number=held.number,
                rows=held.rows,
                columns=held.columns,
                frames=held.frames,
            )


def _cut(found: Iterable[Hit]) -> tuple[list[Hit], bool]:
    rows: list[Hit] = []
    for hit in found:
        if len(rows) == LIMIT:
            return rows, True
        rows.append(hit)
    return rows, False


def _actor(device: KnownDevice) -> Actor:
    return device_actor(device.id, device.name, device.institutions)


def _as_known(session: Session, device: KnownDevice, hits: list[StudyHit]) -> list[StudyHit]:
    """The studies with the number that the device's institution knows the patient by, where it knows one."""
    mine = select(Institution.id, Institution.code).where(Institution.id.in_(device.institutions))
    codes = {row.id: row.code for row in session.execute(mine)}
    ids = {hit.patient_id for hit in hits}
    linked = session.execute(select(Patient.id, Patient.person_id).where(Patient.id.in_(ids)))
    persons = {row.id: row.person_id for row in linked}
    rows = session.execute(
        select(Patient.person_id, PatientIdentifier.value, PatientIdentifier.issuer)
        .join(PatientIdentifier, PatientIdentifier.patient_id == Patient.id)
        .where(Patient.person_id.in_(set(persons.values())), PatientIdentifier.issuer.in_(codes.values()))
        .order_by(PatientIdentifier.id)
    )
    numbers: dict[str, list[tuple[str, str]]] = {}
    for person_id, value, issuer in rows:
        numbers.setdefault(person_id, []).append((value, issuer))
    return [replace(hit, identity=_known_as(hit, numbers.get(persons[hit.patient_id], []), codes)) for hit in hits]


def _known_as(hit: StudyHit, numbers: list[tuple[str, str]], codes: dict[str, str]) -> ShownIdentity:
    """`numbers` are those of the person, of the institutions that the device speaks for."""
    # Of several institutions the one that the study is from speaks first.
    issuers = [codes[i] for i in sorted(codes, key=lambda i: (i != hit.institution_id, i))]
    own = [pair for issuer in issuers for pair in numbers if pair[1] == issuer]
    said = (hit.identity.patient_id, hit.identity.issuer)
    if not own or said in own:
        return hit.identity
    number, issuer = own[0]
    return replace(hit.identity, patient_id=number, issuer=issuer)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Wild card matching as `scope.wildcard` does it in the tables; an empty pattern matches all."""
    signs = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern or "*")
    wanted = re.compile("".join(signs), re.DOTALL)
    return lambda text: wanted.fullmatch(text) is not None
