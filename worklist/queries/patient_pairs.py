"""Two patients: who may be one person, what agrees and differs, and what was merged or linked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from worklist.actions import merging, persons
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import parts, patients
from worklist.queries.patient_views import Comparison, MergeLine, SuggestionLine
from worklist.queries.views import Page
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import MatchSuggestion, Patient, PatientMerge


def suggestions(session: Session, by: Actor, *, after: str = "", limit: int = patients.SHOWN) -> Page[SuggestionLine]:
    """Pairs that wait for a person who may decide about both, the newest first."""
    condition = _both_visible(session, by)
    if after:
        condition = and_(condition, MatchSuggestion.id < after)
    found = _suggestions(session, condition, limit + 1)
    shown = found[:limit]
    return Page(tuple(shown), shown[-1].id if len(found) > limit else "")


def suggestions_of(session: Session, by: Actor, patient_id: str) -> list[SuggestionLine]:
    """Pairs of this patient that wait for a person, the newest first."""
    of_patient = or_(MatchSuggestion.first_id == patient_id, MatchSuggestion.second_id == patient_id)
    return _suggestions(session, and_(of_patient, _both_visible(session, by)), patients.SHOWN)


def _both_visible(session: Session, by: Actor) -> ColumnElement[bool]:
    """Asked of each pair: of all patients whom the actor may see there are many, of pairs that wait few."""
    ours = patients.visible(session, by)
    return and_(
        exists().where(Patient.id == MatchSuggestion.first_id, ours),
        exists().where(Patient.id == MatchSuggestion.second_id, ours),
    )


def suggestion(session: Session, by: Actor, suggestion_id: str) -> SuggestionLine:
    """One pair, settled or not.

    Raises
    ------
    NotFound
        ``no_such_suggestion``.
    """
    row = session.get(MatchSuggestion, suggestion_id)
    if row is None:
        raise NotFound("no_such_suggestion")
    patients.one(session, by, row.first_id)
    patients.one(session, by, row.second_id)
    return _suggestion_lines(session, [row])[0]


def merge(session: Session, by: Actor, merge_id: str) -> MergeLine:
    """One merge.

    Raises
    ------
    NotFound
        ``no_such_merge``.
    """
    row = session.get(PatientMerge, merge_id)
    if row is None or row.kind != "merge":
        raise NotFound("no_such_merge")
    patients.one(session, by, row.survivor_id)
    return _merge_line(session, row)


def compare(session: Session, by: Actor, first_id: str, second_id: str, now: datetime) -> Comparison:
    """Two patients side by side, for deciding whether they are one.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    first, second = patients.one(session, by, first_id), patients.one(session, by, second_id)
    one, other = persons.known(session, [first, second])
    likeness = identity.compare(one, other, now.date())
    marks = dict.fromkeys(likeness.agree, "agrees") | dict.fromkeys(likeness.differ, "differs")
    names = patients.institution_names(session)
    lines = [
        ("name", one.name.shown, other.name.shown, _mark(one.name.plain, other.name.plain)),
        (
            "name_alphabetic",
            one.name.alphabetic,
            other.name.alphabetic,
            _mark(one.name.alphabetic, other.name.alphabetic),
        ),
        ("sex", one.sex, other.sex, _mark(one.sex, other.sex)),
        ("birth_date", one.birth_date, other.birth_date, _mark(one.birth_date, other.birth_date)),
        ("phone", one.phone, other.phone, _mark(one.phone, other.phone)),
        ("address", first.address, second.address, _mark(first.address, second.address)),
        ("identifiers", _numbers(first), _numbers(second), ""),
    ]
    for kind in dict.fromkeys(d.kind for d in (*one.documents, *other.documents)):
        mark = marks.get(f"document_{kind}") or marks.get(f"flawed_{kind}", "")
        lines.append((f"document_{kind}", _of_kind(one.documents, kind), _of_kind(other.documents, kind), mark))
    lines.append(("institution", _known_at(one.institutions, names), _known_at(other.institutions, names), ""))
    if first.is_alias or second.is_alias:  # a made-up name differs from every real one, and that says nothing
        lines = [(what, a, b, "" if what.startswith("name") else mark) for what, a, b, mark in lines]
    may = persons.may_decide(session, by, first, second)
    return Comparison(
        first=patients.rows(session, [first])[0],
        second=patients.rows(session, [second])[0],
        lines=tuple(line for line in lines if line[1] or line[2]),
        same_institution=bool(one.institutions & other.institutions),
        doubtful=merging.is_doubtful(first, second),
        holdings={p.id: merging.holdings(session, by, p.id) for p in (first, second)} if may else {},
    )


def merges_of(session: Session, by: Actor, patient_id: str) -> list[MergeLine]:
    """Merges and links of a patient; a link names a patient of another institution, who must be the asker's too."""
    found = merging.newest_of(session, [patient_id])
    linked = {end for row in found if row.kind == "link" for end in (row.survivor_id, row.retired_id)}
    seen = set(session.scalars(select(Patient.id).where(Patient.id.in_(linked), patients.visible(session, by))))
    return [
        _merge_line(session, row) for row in found if row.kind != "link" or {row.survivor_id, row.retired_id} <= seen
    ]


def _merge_line(session: Session, row: PatientMerge) -> MergeLine:
    both = session.scalars(select(Patient).where(Patient.id.in_((row.survivor_id, row.retired_id)))).unique()
    by_id = {p.id: p for p in both}
    survivor, retired = patients.rows(session, [by_id[row.survivor_id], by_id[row.retired_id]])
    people = parts.people_called(session, (row.by, row.undone_by))
    return MergeLine(
        id=row.id,
        kind=row.kind,
        state=row.state,
        survivor=survivor,
        retired=retired,
        moved={name: len(ids) for name, ids in row.moved.items() if name in merging.TABLES and ids},
        by=row.by,
        at=row.at,
        why=row.why,
        undone_by=row.undone_by,
        undone_at=row.undone_at,
        undone_why=row.undone_why,
        by_name=people.get(row.by, ""),
        undone_by_name=people.get(row.undone_by, ""),
    )


def _suggestions(session: Session, condition: ColumnElement[bool], limit: int) -> list[SuggestionLine]:
    found = session.scalars(
        select(MatchSuggestion)
        .where(MatchSuggestion.state == "waiting", condition)
        .order_by(MatchSuggestion.id.desc())
        .limit(limit)
    ).all()
    return _suggestion_lines(session, found)


def _suggestion_lines(session: Session, found: Sequence[MatchSuggestion]) -> list[SuggestionLine]:
    ids = {id for row in found for id in (row.first_id, row.second_id)}
    both = session.scalars(select(Patient).where(Patient.id.in_(ids))).unique().all() if ids else []
    lines = {line.id: line for line in patients.rows(session, both)}
    return [
        SuggestionLine(
            id=row.id,
            state=row.state,
            first=lines[row.first_id],
            second=lines[row.second_id],
            agree=tuple(code for mark, code in row.reasons if mark == "agrees"),
            differ=tuple(code for mark, code in row.reasons if mark == "differs"),
            at=row.at,
        )
        for row in found
    ]


def _mark(one: str, other: str) -> str:
    return "" if not one or not other else "agrees" if one == other else "differs"


def _numbers(patient: Patient) -> str:
    return ", ".join(f"{i.value} ({i.issuer})" for i in patient.identifiers)


def _of_kind(documents: Sequence[Document], kind: str) -> str:
    return ", ".join(d.number for d in documents if d.kind == kind)


def _known_at(codes: Iterable[str], names: dict[str, str]) -> str:
    return ", ".join(names.get(code, code) for code in sorted(codes))
