"""The documents of an issued version: their rows, and the DICOM ones as objects of the study that they report on.

Our own objects are no evidence: they count in no study, reopen no arrival, make nobody look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import archiving
from worklist.errors import Broken, Conflict
from worklist.facts import DOCUMENT_SERIES, Filing, PersonName, ReportDocument, ReportStatus, SeenInstance
from worklist.rules.documents import documents_of
from worklist.rules.kinds import ANEW
from worklist.rules.objects import is_structured_report
from worklist.tables import Instance, Order, Patient, Reading, ReportVersion, Series, Study
from worklist.tables import ReportDocument as ReportDocumentRow

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def filing_of(session: Session, reading: Reading, orders: Sequence[Order], studies: Sequence[Study]) -> Filing:
    """Where the documents of a version of this reading go, and what they refer to.

    Raises
    ------
    Conflict
        ``study_not_linked`` where the case has no study.
    """
    if not studies or not orders:
        raise Conflict("study_not_linked")
    study = studies[0]
    order = next((o for o in orders if o.study_instance_uid == study.study_instance_uid), orders[0])
    numbers = {o.accession_number for o in orders}
    own = study.sent_patient_id == order.patient_value and study.sent_issuer in ("", order.patient_issuer)
    patient = session.get_one(Patient, reading.patient_id)
    if own:
        name = PersonName(study.sent_name, study.sent_name_alphabetic)
        sex, birth_date = study.sent_sex, study.sent_birth_date
    else:
        name = PersonName(patient.name, patient.name_alphabetic)
        sex, birth_date = patient.sex, patient.birth_date
    return Filing(
        study_id=study.id,
        study_instance_uid=study.study_instance_uid,
        study_date=study.study_date,
        study_time=study.study_time,
        description=study.description,
        accession_number=(
            study.sent_accession_number if study.sent_accession_number in numbers else order.accession_number
        ),
        patient_id=order.patient_value,
        issuer=order.patient_issuer,  # not that of the images: this is the order's number
        name=name,
        sex=sex,
        birth_date=birth_date,
        seen=_seen(session, studies),
        predecessor=_predecessor(session, reading),
        is_filed=reading.kind != ANEW,
    )


def keep(
    session: Session, reading_studies: Sequence[Study], version: ReportVersion, documents: Sequence[ReportDocument]
) -> None:
    """Write the rows of an issued version's documents, and file its DICOM objects in their study.

    Raises
    ------
    Broken
        ``documents_missing`` if the version would stand without one of its documents.
    Conflict
        ``somebody_was_faster`` if the study they were made for is not of the case any more.
    """
    assert version.signed_at is not None  # noqa: S101 - it was just signed
    for document in documents:
        if document.kind == "json":
            continue  # stands on the version itself
        session.add(
            ReportDocumentRow(
                version_id=version.id,
                kind=document.kind,
                store_key=document.stored.key,
                size=document.stored.size,
                sha256=document.stored.sha256,
                sop_instance_uid=document.sop_instance_uid,
            )
        )
        if document.sop_instance_uid:
            study = next((s for s in reading_studies if s.study_instance_uid == document.study_instance_uid), None)
            if study is None:
                raise Conflict("somebody_was_faster", machine="reading", state="", verb="sign")
            _file(session, study, version, document, version.signed_at)
            archiving.owe(session, [study.id], version.signed_at)
    session.flush()


def canonical(status: ReportStatus, documents: Sequence[ReportDocument], *, is_filed: bool = True) -> ReportDocument:
    """The canonical document among those of a version.

    Raises
    ------
    Broken
        ``documents_missing`` unless exactly the documents that belong to a version of this status are there.
    """
    kinds = [document.kind for document in documents]
    if len(kinds) != len(set(kinds)) or set(kinds) != documents_of(status, is_filed=is_filed):
        raise Broken("documents_missing", status=status)
    return next(document for document in documents if document.kind == "json")


def _file(session: Session, study: Study, version: ReportVersion, document: ReportDocument, now: datetime) -> None:
    modality, number, description = DOCUMENT_SERIES[document.kind]
    series = Series(
        study_id=study.id,
        series_instance_uid=document.series_instance_uid,
        modality=modality,
        number=number,
        description=description,
        instances=1,
    )
    session.add(series)
    session.flush()
    session.add(
        Instance(
            study_id=study.id,
            series_id=series.id,
            sop_instance_uid=document.sop_instance_uid,
            sop_class_uid=document.sop_class_uid,
            transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
            number=version.number,
            store_key=document.stored.key,
            size=document.stored.size,
            sha256=document.stored.sha256,
            dataset_sha256=document.stored.dataset_sha256,
            received_at=now,
            version_id=version.id,
        )
    )


def _seen(session: Session, studies: Sequence[Study]) -> tuple[SeenInstance, ...]:
    """The objects of the studies, in the order of looking; not our own documents."""
    rows = session.execute(
        select(Study.study_instance_uid, Series.series_instance_uid, Instance)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Instance.study_id)
        .where(Instance.study_id.in_([s.id for s in studies]), Instance.version_id.is_(None))
        .order_by(Study.id, Series.number, Series.id, Instance.number, Instance.id)
    )
    return tuple(
        SeenInstance(study, series, i.sop_class_uid, i.sop_instance_uid, i.frames, i.store_key)
        for study, series, i in rows
    )


def _predecessor(session: Session, reading: Reading) -> SeenInstance | None:
    rows = session.execute(
        select(Study.study_instance_uid, Series.series_instance_uid, Instance)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Instance.study_id)
        .join(ReportVersion, ReportVersion.id == Instance.version_id)
        .where(ReportVersion.reading_id == reading.id)
        .order_by(ReportVersion.number.desc())
    )
    found = ((s, e, i) for s, e, i in rows if is_structured_report(i.sop_class_uid))
    return next((SeenInstance(s, e, i.sop_class_uid, i.sop_instance_uid) for s, e, i in found), None)
