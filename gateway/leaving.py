"""Under which identity a study leaves, by whichever door."""

from __future__ import annotations

from interfaces.dicom.coercion import Identity
from worklist.queries.exporting import StudyOut
from worklist.queries.fetching import Fetched
from worklist.queries.imaging import OpenStudy


def identity_of(study: OpenStudy | Fetched | StudyOut) -> Identity:
    """What the objects of a study say about their patient when they leave."""
    shown = study.identity
    return Identity(
        shown.patient_id,
        shown.issuer,
        shown.name,
        shown.sex,
        shown.birth_date,
        shown.corrected,
        study.study_instance_uid,
    )
