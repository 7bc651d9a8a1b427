"""Who is the same person in two institutions: linked by rule where all agrees, else a person says so.

A link changes nothing of either patient: both rows carry the same `person_id` and are opened together. Every link
is a row of its own (`PatientMerge`, kind link), and undoing it leaves the other links as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.likely import likely
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import PersonName
from worklist.moves import begin, move
from worklist.people import HUREN, Actor
from worklist.rules import identity
from worklist.rules.identity import Document, Likeness, PersonKnown
from worklist.tables import Institution, MatchSuggestion, Patient, PatientDocument, PatientMerge


def known(session: Session, patients: Sequence[Patient]) -> list[PersonKnown]:
    """What is known of some patients, for comparing them."""
    documents: dict[str, list[Document]] = {}
    for row in session.scalars(select(PatientDocument).where(PatientDocument.patient_id.in_([p.id for p in patients]))):
        documents.setdefault(row.patient_id, []).append(Document(row.kind, row.country, row.number))
    return [
        PersonKnown(
            id=patient.id,
            name=PersonName(patient.name, patient.name_alphabetic),
            sex=patient.sex,
            birth_date=patient.birth_date,
            phone=patient.phone,
            is_alias=patient.is_alias,
            documents=tuple(documents.get(patient.id, ())),
            institutions=towns(patient),
        )
        for patient in patients
    ]


def towns(patient: Patient) -> frozenset[str]:
    """Codes of the institutions that know the patient by a number of theirs."""
    return frozenset(identifier.issuer.partition("/")[0] for identifier in patient.identifiers)


def look(session: Session, patient: Patient, now: datetime, *, fresh: bool = False) -> None:
    """A patient was made or changed: link by rule, suggest to a person, and take back what does not hold any more.

    What a person decided stands: a link that was undone and a suggestion that was declined are not made again. Of a
    patient made just now (`fresh`) nothing was decided yet.
    """
    session.flush()
    if patient.merged_into_id is not None:
        return
    today = now.date()
    others = [p for p in likely(session, patient) if p.merged_into_id is None]
    if fresh and not others:
        return
    me, *them = known(session, [patient, *others])
    found = {other.id: identity.compare(me, other, today) for other in them}
    by_id = {other.id: other for other in them}
    if not fresh:
        _take_back(session, patient, me, found, today, now)
    settled = set() if fresh else _settled(session, patient)
    for other in others:
        likeness = found[other.id]
        if likeness.verdict == "no" or other.person_id == patient.person_id or other.id in settled:
            continue
        # Two numbers of one institution are its own affair (A40): a person looks.
        certain = likeness.verdict == "same" and not (me.institutions & by_id[other.id].institutions)
        if certain and not _are_parted(session, patient, other):
            _link_rows(session, HUREN, patient, other, "all_agree", now)
            continue
        _suggest(session, patient, other, likeness, now)


def link(session: Session, by: Actor, first_id: str, second_id: str, why: str, now: datetime) -> PatientMerge:
    """A person says that two patients are one person.

    Raises
    ------
    Conflict
        ``already_one_person``, or one of them is an alias that nobody has identified yet.
    BadInput
        ``reason_missing``, ``same_patient``.
    """
    if not why.strip():
        raise BadInput("reason_missing")
    first, second = _both(session, by, first_id, second_id)
    if first.person_id == second.person_id:
        raise Conflict("already_one_person")
    if first.is_alias or second.is_alias:
        raise Conflict("patient_is_not_identified")
    return _link_rows(session, by, first, second, why, now)


def unlink(session: Session, by: Actor, merge_id: str, why: str, now: datetime) -> PatientMerge:
    """Undo a link. The two are not linked by rule again; what was read while it stood stays as it is."""
    if not why.strip():
        raise BadInput("reason_missing")
    row = session.get(PatientMerge, merge_id)
    if row is None or row.kind != "link":
        raise NotFound("no_such_link")
    _both(session, by, row.survivor_id, row.retired_id)
    _undo(session, by, row, why, now)
    return row


def confirm(session: Session, by: Actor, suggestion_id: str, why: str, now: datetime) -> PatientMerge:
    """A person confirms a suggestion: the two are one person from now on."""
    row = _suggestion(session, by, suggestion_id)
    return link(session, by, row.first_id, row.second_id, why or "suggestion confirmed", now)


def decline(session: Session, by: Actor, suggestion_id: str, why: str, now: datetime) -> MatchSuggestion:
    """A person says that the two are different people; it is not suggested again."""
    if not why.strip():
        raise BadInput("reason_missing")
    row = _suggestion(session, by, suggestion_id)
    move(session, "match suggestion", row, "decline", by, now, why)
    row.settled_at, row.settled_by, row.why = now, by.name, why
    note(session, by, "likeness declined", row.first_id, row.second_id, why, now)
    return row


def settle_suggestion(session: Session, by: Actor, first: Patient, second: Patient, now: datetime) -> None:
    """The two became one: whoever had to look at them need not any more."""
    row = _suggested(session, first.id, second.id)
    if row is not None and row.state == "waiting":
        move(session, "match suggestion", row, "confirm", by, now)
        row.settled_at, row.settled_by = now, by.name


def drop_suggestions(session: Session, retired: Patient, now: datetime) -> None:
    """Nobody can decide about a row that was merged away: what waits is suggested anew of its survivor."""
    pair = or_(MatchSuggestion.first_id == retired.id, MatchSuggestion.second_id == retired.id)
    for row in session.scalars(select(MatchSuggestion).where(pair, MatchSuggestion.state == "waiting")).all():
        move(session, "match suggestion", row, "withdraw", HUREN, now)
        row.settled_at, row.settled_by = now, HUREN.name


def may_decide(session: Session, by: Actor, *patients: Patient) -> bool:
    """A PACS admin decides for the county; a technician or doctor for patients whom only their own institution knows.

    Who knows a patient by a number of theirs has a say in who it is; nobody decides about another's patient.
    """
    if by.has("PACS admin"):
        return True
    if not (by.has("technician") or by.has("doctor")):
        return False
    code = by.institution_code or session.get_one(Institution, by.institution_id).code
    return all(towns(patient) == {code} for patient in patients)


def recompute(session: Session, patient_ids: Iterable[str]) -> None:
    """Give all who hang together with these patients one `person_id`, and those who do not hang together another."""
    session.flush()
    open_ids = set(patient_ids)
    while open_ids:
        group = _hanging_together(session, open_ids.pop())
        open_ids -= group
        rows = session.scalars(select(Patient).where(Patient.id.in_(group)).order_by(Patient.id)).all()
        taken = next((p.person_id for p in rows if p.person_id in group), rows[0].id)
        for row in rows:
            row.person_id = taken
    session.flush()


def _hanging_together(session: Session, patient_id: str) -> set[str]:
    group: set[str] = set()
    edge = {patient_id}
    while edge:
        group |= edge
        rows = session.execute(
            select(PatientMerge.survivor_id, PatientMerge.retired_id).where(
                PatientMerge.state == "merged",
                or_(PatientMerge.survivor_id.in_(edge), PatientMerge.retired_id.in_(edge)),
            )
        )
        edge = {patient for row in rows for patient in row} - group
    return group


def _both(session: Session, by: Actor, first_id: str, second_id: str) -> tuple[Patient, Patient]:
    """The two patients, locked in one order so that nobody merges them meanwhile."""
    by.require_scope("order")
    if first_id == second_id:
        raise BadInput("same_patient")
    query = select(Patient).where(Patient.id.in_((first_id, second_id))).order_by(Patient.id).with_for_update()
    rows = {row.id: row for row in session.scalars(query)}
    if len(rows) != 2:
        raise NotFound("no_such_patient")
    if not may_decide(session, by, *rows.values()):
        if any(may_decide(session, by, row) for row in rows.values()):
            raise Forbidden("role_needed", roles="PACS admin")
        raise NotFound("no_such_patient")
    if any(row.merged_into_id is not None for row in rows.values()):
        raise Conflict("patient_was_merged")
    return rows[first_id], rows[second_id]


def _link_rows(session: Session, by: Actor, first: Patient, second: Patient, why: str, now: datetime) -> PatientMerge:
    older, newer = sorted((first, second), key=lambda p: p.id)
    row = PatientMerge(
        kind="link",
        survivor_id=older.id,
        retired_id=newer.id,
        moved={"persons": [[older.id, older.person_id], [newer.id, newer.person_id]]},
        by=by.name,
        by_id=by.id,
        why=why,
        at=now,
    )
    begin(session, "patient merge", row, "merge", by, now, why)
    recompute(session, (older.id, newer.id))
    settle_suggestion(session, by, older, newer, now)
    note(session, by, "patients linked", older.id, newer.id, why, now)
    return row


def _undo(session: Session, by: Actor, row: PatientMerge, why: str, now: datetime) -> None:
    move(session, "patient merge", row, "undo", by, now, why)
    row.undone_at, row.undone_by, row.undone_why = now, by.name, why
    recompute(session, (row.survivor_id, row.retired_id))
    note(session, by, "patients unlinked", row.survivor_id, row.retired_id, why, now)


def _take_back(
    session: Session, patient: Patient, me: PersonKnown, found: dict[str, Likeness], today: date, now: datetime
) -> None:
    """Links that a rule made and suggestions that wait hold only while the evidence does."""
    standing = _standing(session, {patient.id})
    # What was merged into this patient brought its links along, and its evidence is this patient's now.
    mine = {patient.id} | {r.retired_id for r in standing if r.kind == "merge" and r.survivor_id == patient.id}
    if len(mine) > 1:
        standing = _standing(session, mine)
    for row in standing:
        if row.kind != "link" or row.by_id:
            continue
        other = session.get_one(Patient, row.retired_id if row.survivor_id in mine else row.survivor_id)
        while other.merged_into_id is not None:
            other = session.get_one(Patient, other.merged_into_id)
        if other.id not in mine and _verdict(session, me, found, other.id, today) != "same":
            _undo(session, HUREN, row, "evidence_gone", now)
    pair = or_(MatchSuggestion.first_id == patient.id, MatchSuggestion.second_id == patient.id)
    for waiting in session.scalars(select(MatchSuggestion).where(pair, MatchSuggestion.state == "waiting")).all():
        other_id = waiting.second_id if waiting.first_id == patient.id else waiting.first_id
        if _verdict(session, me, found, other_id, today) == "no":
            move(session, "match suggestion", waiting, "withdraw", HUREN, now)
            waiting.settled_at, waiting.settled_by = now, HUREN.name


def _standing(session: Session, patient_ids: set[str]) -> list[PatientMerge]:
    either = or_(PatientMerge.survivor_id.in_(patient_ids), PatientMerge.retired_id.in_(patient_ids))
    return list(session.scalars(select(PatientMerge).where(either, PatientMerge.state == "merged")))


def _verdict(session: Session, me: PersonKnown, found: dict[str, Likeness], other_id: str, today: date) -> str:
    if other_id in found:
        return found[other_id].verdict
    (other,) = known(session, [session.get_one(Patient, other_id)])
    return identity.compare(me, other, today).verdict


def _settled(session: Session, patient: Patient) -> set[str]:
    """Whom a person has parted from this patient."""
    pair = or_(MatchSuggestion.first_id == patient.id, MatchSuggestion.second_id == patient.id)
    said = session.scalars(select(MatchSuggestion).where(pair, MatchSuggestion.state == "declined"))
    parted = session.scalars(
        select(PatientMerge).where(
            PatientMerge.state == "undone",
            PatientMerge.undone_by != HUREN.name,
            or_(PatientMerge.survivor_id == patient.id, PatientMerge.retired_id == patient.id),
        )
    )
    ids = {row_id for s in said for row_id in (s.first_id, s.second_id)}
    return (ids | {row_id for m in parted for row_id in (m.survivor_id, m.retired_id)}) - {patient.id}


def _are_parted(session: Session, patient: Patient, other: Patient) -> bool:
    """Whether a person said that somebody who hangs together with one of the two is not somebody of the other's.

    Else a third patient who is like both would make one of those whom a person has parted.
    """
    mine = select(Patient.id).where(Patient.person_id == patient.person_id)
    theirs = select(Patient.id).where(Patient.person_id == other.person_id)

    def across(one: Any, two: Any) -> ColumnElement[bool]:
        return or_(and_(one.in_(mine), two.in_(theirs)), and_(one.in_(theirs), two.in_(mine)))

    declined = select(MatchSuggestion.id).where(
        MatchSuggestion.state == "declined", across(MatchSuggestion.first_id, MatchSuggestion.second_id)
    )
    undone = select(PatientMerge.id).where(
        PatientMerge.state == "undone",
        PatientMerge.undone_by != HUREN.name,
        across(PatientMerge.survivor_id, PatientMerge.retired_id),
    )
    return any(session.scalar(query.limit(1)) is not None for query in (declined, undone))


def _suggest(session: Session, patient: Patient, other: Patient, likeness: Likeness, now: datetime) -> None:
    first_id, second_id = sorted((patient.id, other.id))
    row = _suggested(session, first_id, second_id)
    if row is None:
        row = MatchSuggestion(first_id=first_id, second_id=second_id, reasons=likeness.reasons, at=now)
        with suppress(IntegrityError), session.begin_nested():  # who looks at the other one just now suggests it too
            begin(session, "match suggestion", row, "suggest", HUREN, now)
        return
    if row.state != "waiting":
        move(session, "match suggestion", row, "suggest again", HUREN, now)
        row.at, row.settled_at, row.settled_by = now, None, ""
    if row.reasons != likeness.reasons:
        row.reasons = likeness.reasons
    session.flush()


def _suggested(session: Session, first_id: str, second_id: str) -> MatchSuggestion | None:
    first_id, second_id = sorted((first_id, second_id))
    return session.scalar(
        select(MatchSuggestion).where(MatchSuggestion.first_id == first_id, MatchSuggestion.second_id == second_id)
    )


def _suggestion(session: Session, by: Actor, suggestion_id: str) -> MatchSuggestion:
    row = session.get(MatchSuggestion, suggestion_id)
    if row is None:
        raise NotFound("no_such_suggestion")
    _both(session, by, row.first_id, row.second_id)
    if row.state != "waiting":
        raise Conflict("somebody_was_faster", machine="match suggestion", state=row.state, verb="confirm")
    return row


def note(
    session: Session,
    by: Actor,
    action: str,
    first_id: str,
    second_id: str,
    why: str,
    now: datetime,
    detail: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Audit what was said of two patients, beside each of them."""
    for patient_id, other_id in ((first_id, second_id), (second_id, first_id)):
        audit.note(
            session,
            by,
            action,
            now,
            thing="patient",
            thing_id=patient_id,
            patient_id=patient_id,
            why=why,
            detail={"other": other_id, **detail},
        )
