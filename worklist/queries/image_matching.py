"""What the keys of a search for images match (DICOM PS3.4 C.2.2.2, PS3.18 8.3.4), in terms of the tables.

Who is matched is who is shown: the names in the bytes, or our patient's where a person said whose images they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, union_all
from sqlalchemy.orm import InstrumentedAttribute

from worklist.people import Actor
from worklist.queries.imaging import ISSUER, UNLINKED
from worklist.queries.scope import wildcard
from worklist.tables import (
    Instance,
    Institution,
    Order,
    Patient,
    PatientIdentifier,
    Series,
    Study,
    StudyOrder,
)

LAST: Final = "\U0010ffff"  # sorts behind every other character


@dataclass(frozen=True)
class ImageQuery:
    """Matching keys; empty matches all. In the texts ``*`` and ``?`` are wild cards, all else is literal.

    Dates are DA, times TM as written, ranges with both ends included, an open end is empty. Several UIDs or
    modalities: any of them.
    """

    study_uids: tuple[str, ...] = ()
    date_from: str = ""
    date_to: str = ""
    time_from: str = ""
    time_to: str = ""
    accession_number: str = ""
    modalities: tuple[str, ...] = ()  # in the study
    description: str = ""
    patient_id: str = ""  # as it is shown to whoever asks: `imaging.ShownIdentity`
    issuer: str = ""
    patient_name: str = ""
    sex: str = ""
    birth_from: str = ""
    birth_to: str = ""
    series_uids: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()  # of the series
    series_number: int | None = None
    series_description: str = ""
    instance_uids: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    instance_number: int | None = None


def of_study(by: Actor, query: ImageQuery) -> list[ColumnElement[bool]]:
    """Conditions on `Study`."""
    found: list[ColumnElement[bool]] = []
    if query.study_uids:
        found.append(Study.study_instance_uid.in_(query.study_uids))
    found += _range(Study.study_date, query.date_from, query.date_to)
    found += _range(Study.study_time, query.time_from, _end_of(query.time_to))
    if query.accession_number:
        orders = select(StudyOrder.study_id).where(StudyOrder.study_id == Study.id).correlate(Study)
        ordered = orders.join(Order, Order.id == StudyOrder.order_id)
        found.append(
            or_(
                ordered.where(wildcard(Order.accession_number, query.accession_number)).exists(),
                and_(wildcard(Study.sent_accession_number, query.accession_number), ~orders.exists()),
            )
        )
    for modalities in (query.modalities, query.modality):
        if modalities:
            its_series = select(Series.id).where(Series.study_id == Study.id).correlate(Study)
            found.append(its_series.where(_any_of(Series.modality, modalities)).exists())
    if query.description:
        found.append(wildcard(Study.description, query.description, fold=True))
    return [*found, *_of_patient(by, query)]


def of_series(query: ImageQuery) -> list[ColumnElement[bool]]:
    """Conditions on `Series`."""
    found: list[ColumnElement[bool]] = []
    if query.series_uids:
        found.append(Series.series_instance_uid.in_(query.series_uids))
    if query.modality:
        found.append(_any_of(Series.modality, query.modality))
    if query.series_number is not None:
        found.append(Series.number == query.series_number)
    if query.series_description:
        found.append(wildcard(Series.description, query.series_description, fold=True))
    return found


def of_instance(query: ImageQuery) -> list[ColumnElement[bool]]:
    """Conditions on `Instance`."""
    found: list[ColumnElement[bool]] = []
    if query.instance_uids:
        found.append(Instance.sop_instance_uid.in_(query.instance_uids))
    if query.sop_class_uids:
        found.append(Instance.sop_class_uid.in_(query.sop_class_uids))
    if query.instance_number is not None:
        found.append(Instance.number == query.instance_number)
    return found


def naming(by: Actor, query: ImageQuery) -> list[Select[Any]]:
    """Ids of all studies that a key alone could match, each found by an index; what usually names fewest first."""
    found: list[Any] = []
    if query.study_uids:
        found.append(select(Study.id).where(Study.study_instance_uid.in_(query.study_uids)))
    if query.instance_uids:
        found.append(select(Instance.study_id).where(Instance.sop_instance_uid.in_(query.instance_uids)))
    if query.series_uids:
        found.append(select(Series.study_id).where(Series.series_instance_uid.in_(query.series_uids)))
    if query.accession_number and not _is_wild(query.accession_number):
        found.append(_accession(query.accession_number))
    if query.patient_id and not _is_wild(query.patient_id):
        found.append(_patient_id(by, query.patient_id))
    if query.patient_name and (names := _beginning(query.patient_name)) is not None:
        found.append(names)
    for modalities in (query.modality, query.modalities):
        if modalities and not any(_is_wild(m) for m in modalities):
            found.append(select(Series.study_id).where(Series.modality.in_(modalities)))
    return [f if isinstance(f, Select) else select(f.subquery()) for f in found]


def fold(name: str) -> str:
    """A name as `Study.name_folded` has it: separators do not count, and letters are small."""
    return name.replace("^", "").replace(" ", "").lower()


def _of_patient(by: Actor, query: ImageQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.patient_id:
        found.append(_shown_number(by, query.patient_id))
    if query.issuer:
        found.append(_shown_issuer(by, query.issuer))
    if query.patient_name.strip("*^= "):
        found.append(or_(*(_name(group) for group in query.patient_name.split("=") if group.strip("*^ "))))
    if query.sex:
        found.append(_said_or_ours(Study.sent_sex, Patient.sex, lambda column: column == query.sex))
    for condition in _birth(query):
        found.append(_said_or_ours(Study.sent_birth_date, Patient.birth_date, condition))
    return found


def _said_or_ours(said: Any, ours: Any, condition: Callable[[Any], ColumnElement[bool]]) -> ColumnElement[bool]:
    """The condition holds for what is shown: what the bytes said, or our patient's (`imaging.identities`)."""
    patient = select(Patient.id).where(Patient.id == Study.patient_id, condition(ours)).correlate(Study)
    return or_(
        and_(Study.coerced.is_(False), condition(said)),
        and_(Study.coerced, patient.exists()),
    )


def _shown_number(by: Actor, number: str) -> ColumnElement[bool]:
    if by.session_id:
        if _is_wild(number):
            person = select(Patient.person_id).where(Patient.id == Study.patient_id).correlate(Study)
            return wildcard(func.coalesce(person.scalar_subquery(), UNLINKED + Study.id), number)
        if number.startswith(UNLINKED):
            return and_(Study.id == number.removeprefix(UNLINKED), Study.patient_id.is_(None))
        return Study.patient_id.in_(select(Patient.id).where(Patient.person_id == number))
    return _sent_or_ordered(wildcard(Study.sent_patient_id, number), wildcard(Order.patient_value, number))


def _shown_issuer(by: Actor, issuer: str) -> ColumnElement[bool]:
    if by.session_id:
        return Study.id != "" if issuer == ISSUER else false()
    code = select(Institution.id).where(Institution.id == Study.institution_id, Institution.code == issuer)
    sent = or_(Study.sent_issuer == issuer, and_(Study.sent_issuer == "", code.correlate(Study).exists()))
    return _sent_or_ordered(and_(Study.sent_patient_id != "", sent), Order.patient_issuer == issuer)


def _sent_or_ordered(sent: ColumnElement[bool], ordered: ColumnElement[bool]) -> ColumnElement[bool]:
    orders = select(StudyOrder.study_id).join(Order, Order.id == StudyOrder.order_id)
    named = orders.where(StudyOrder.study_id == Study.id, ordered).correlate(Study).exists()
    return or_(and_(Study.coerced.is_(False), sent), and_(Study.coerced, named))


def _name(pattern: str) -> ColumnElement[bool]:
    """Either writing of the name may match; in the Chinese one separators do not count.

    The columns are wrapped, so that nobody joins indexes for a beginning that thousands have: what names few is found
    by `naming` before.
    """
    whole = pattern.rstrip("^").lower()  # trailing empty components do not count (PS3.4 C.2.2.2.1.1)
    ours = func.lower(func.replace(func.replace(Patient.name, "^", ""), " ", ""))
    return or_(
        _said_or_ours(func.coalesce(Study.name_folded, ""), ours, lambda column: wildcard(column, fold(whole))),
        _said_or_ours(
            func.coalesce(Study.alphabetic_folded, ""),
            func.lower(Patient.name_alphabetic),
            lambda column: wildcard(column, whole),
        ),
    )


def _beginning(patient_name: str) -> Any | None:
    """Studies whose shown name begins as the pattern does; None where it begins with a wild card."""
    found: list[Select[Any]] = []
    for group in patient_name.split("="):
        if not group.strip("*^ "):
            continue
        whole = group.rstrip("^").lower()
        begins = whole.split("*")[0].split("?")[0]
        if not fold(begins):
            return None
        for column, text in ((Study.name_folded, fold(begins)), (Study.alphabetic_folded, begins)):
            found.append(select(Study.id).where(column >= text, column <= text + LAST))
        found.append(
            select(Study.id)
            .join(Patient, Patient.id == Study.patient_id)
            .where(
                Study.coerced,
                or_(
                    wildcard(
                        func.lower(func.replace(func.replace(Patient.name, "^", ""), " ", "")), fold(begins) + "*"
                    ),
                    wildcard(func.lower(Patient.name_alphabetic), begins + "*"),
                ),
            )
        )
    return union_all(*found) if found else None


def _patient_id(by: Actor, number: str) -> Any:
    if by.session_id:
        return select(Study.id).where(_shown_number(by, number))
    return union_all(
        select(Study.id).where(Study.sent_patient_id == number),
        select(Study.id)
        .join(PatientIdentifier, PatientIdentifier.patient_id == Study.patient_id)
        .where(PatientIdentifier.value == number, Study.coerced),
    )


def _accession(number: str) -> Any:
    return union_all(
        select(Study.id).where(Study.sent_accession_number == number),
        select(StudyOrder.study_id)
        .join(Order, Order.id == StudyOrder.order_id)
        .where(Order.accession_number == number),
    )


def _birth(query: ImageQuery) -> list[Callable[[Any], ColumnElement[bool]]]:
    found: list[Callable[[Any], ColumnElement[bool]]] = []
    if query.birth_from:
        found.append(lambda column: column >= query.birth_from)
    if query.birth_to:
        found.append(lambda column: and_(column != "", column <= query.birth_to))
    return found


def _range(column: InstrumentedAttribute[str], first: str, last: str) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if first:
        found.append(column >= first)
    if last:
        found += [column <= last, column != ""]
    return found


def _end_of(time: str) -> str:
    """The last TM that a range ending in `time` includes: "0930" goes to the end of that minute."""
    return time if not time or "." in time else f"{time.ljust(6, '9')}.999999"


def _any_of(column: InstrumentedAttribute[str], patterns: tuple[str, ...]) -> ColumnElement[bool]:
    return or_(*(wildcard(column, pattern) for pattern in patterns))


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern
