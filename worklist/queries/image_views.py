"""What a search for images answers: frozen rows, and the place where the next page begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from worklist.queries.imaging import ShownIdentity

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a page ended: behind a whole study, or inside it behind `inner`.

    `inner` is (series number, our series id), for objects followed by (instance number, our id).
    """

    study_date: str
    study_id: str
    inner: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Found(Generic[T]):
    """Some rows, and where the next page begins (None: there is none). A page may be short and have a next one."""

    rows: tuple[T, ...]
    next: Place | None = None


@dataclass(frozen=True)
class StudyHit:
    """A study. Dates and times are DA and TM as written; the counts are of what is offered."""

    id: str
    study_instance_uid: str
    institution_id: str
    patient_id: str  # ours; "" while it is linked to nobody
    identity: ShownIdentity
    institution: str
    accession_number: str  # of its first order, else as the objects say
    study_date: str
    study_time: str
    description: str
    modalities: tuple[str, ...]
    series: int
    instances: int


@dataclass(frozen=True)
class SeriesHit:
    """A series of a study."""

    study: StudyHit
    id: str
    series_instance_uid: str
    modality: str
    number: int | None
    description: str
    body_part: str
    instances: int


@dataclass(frozen=True)
class InstanceHit:
    """One object of a series. `frames` counts from one."""

    series: SeriesHit
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    number: int | None
    rows: int | None
    columns: int | None
    frames: int
