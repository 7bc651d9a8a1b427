"""Query: C-FIND of the patient root and the study root (DICOM PS3.4 C.4.1), for devices that may retrieve."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import structlog
from pydicom.dataset import Dataset

from gateway.dimse.statuses import (
    AMBIGUOUS,
    BAD_IDENTIFIER,
    CANCELLED,
    NOT_IN_LEVEL,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    PENDING,
    TOO_MANY_MATCHES,
    Status,
)
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.query_keys import Value
from interfaces.dicom.query_retrieve import (
    INSTANCE,
    ISSUER,
    LEVEL,
    PATIENT_ID,
    SERIES,
    STUDY,
    ImageKeys,
    read_image_keys,
    write_image_match,
)
from worklist.actions.fetching import note_query
from worklist.audit import LOOK_AGAIN
from worklist.database import Database
from worklist.errors import BadInput, Conflict, HurenError
from worklist.facts import KnownDevice
from worklist.queries.fetching import Hit, Keys, PatientHit, find
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_views import InstanceHit, SeriesHit, StudyHit
from worklist.queries.imaging import ShownIdentity

log = structlog.get_logger(__name__)

_REFUSALS: Final[dict[str, Status]] = {
    "bad_query_level": NOT_IN_LEVEL,
    "missing_unique_key": NOT_IN_LEVEL,
    "bad_date": BAD_IDENTIFIER,
    "bad_time": BAD_IDENTIFIER,
    "bad_number": BAD_IDENTIFIER,
    "invalid_uid": BAD_IDENTIFIER,
    "patient_id_ambiguous": AMBIGUOUS,
    "study_uid_ambiguous": AMBIGUOUS,
    "too_many_matches": TOO_MANY_MATCHES,
}


class ImageFinder:
    """Answers queries for images. Safe to use from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime], ae_title: str) -> None:
        """Images can be retrieved from `ae_title`, which every answer says."""
        self._database = database
        self._clock = clock
        self._ae_title = ae_title
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}  # when a device's queries were last written down

    def answers(
        self,
        device: KnownDevice,
        identifier: bytes,
        transfer_syntax: str,
        is_cancelled: Callable[[], bool],
        *,
        patient_root: bool,
    ) -> Iterator[tuple[Status, Dataset | None]]:
        """One pending answer for each match, then nothing; or, perhaps after some, one failure or a cancel."""
        now = self._clock()
        try:
            requested = read_dataset(identifier, transfer_syntax)
            keys = read_image_keys(
                requested,
                patient_root=patient_root,
                retrieving=False,
                assumed_character_set=device.character_set_in,
            )
            self._note(device, now)
            hits: list[Hit] = []
            more = False
            if not keys.matches_nothing:
                asked = asked_for(keys, patient_root=patient_root)
                hits, more = self._database.read(lambda session: find(session, device, asked, now))
        except HurenError as error:
            log.warning("image_query_refused", device=device.id, error=error.code)
            yield refusal(error), None
            return
        for hit in hits:
            if is_cancelled():
                yield CANCELLED, None
                return
            values = {LEVEL: keys.level, 0x00080054: self._ae_title, 0x00080056: "ONLINE", **_values(hit)}
            try:
                answer = write_image_match(values, requested, character_set=device.character_set_out)
            except BadInput as error:
                # Better no line than one that names another patient; the study is still in our pages.
                log.warning("image_match_not_writable", device=device.id, error=error.code)
                continue
            yield PENDING, answer
        log.info("image_query_answered", device=device.id, level=keys.level, items=len(hits))
        if more:
            yield TOO_MANY_MATCHES, None

    def _note(self, device: KnownDevice, now: datetime) -> None:
        """Write down that the device looks, once in ten minutes."""
        with self._lock:
            last = self._noted.get(device.id)
            if last is not None and now - LOOK_AGAIN < last <= now:
                return
            self._noted[device.id] = now
        try:
            self._database.write(lambda session: note_query(session, device, now))
        except HurenError:
            self._noted.pop(device.id, None)  # not on record: the next look must be
            raise


def asked_for(keys: ImageKeys, *, patient_root: bool) -> Keys:
    """Keys from the wire as the database is asked."""
    query = ImageQuery(
        study_uids=keys.study_uids,
        date_from=keys.dates[0],
        date_to=keys.dates[1],
        time_from=keys.times[0],
        time_to=keys.times[1],
        accession_number=keys.accession_number,
        modalities=keys.modalities,
        description=keys.description,
        patient_id=keys.patient_id,
        issuer=keys.issuer,
        patient_name=keys.patient_name,
        sex=keys.sex,
        birth_from=keys.birth[0],
        birth_to=keys.birth[1],
        series_uids=keys.series_uids,
        modality=keys.modality,
        series_number=keys.series_number,
        series_description=keys.series_description,
        instance_uids=keys.instance_uids,
        sop_class_uids=keys.sop_class_uids,
        instance_number=keys.instance_number,
    )
    return Keys(keys.level, patient_root, query)


def refusal(error: HurenError) -> Status:
    """The status of a query or retrieve that was not done."""
    status = _REFUSALS.get(error.code)
    if status is not None:
        return status
    return NOT_UNDERSTOOD if isinstance(error, BadInput | Conflict) else OUT_OF_RESOURCES


def _values(hit: Hit) -> dict[int, Value]:
    """What is known of a match, with the levels above it (PS3.4 tables C.6-1 to C.6-5)."""
    if isinstance(hit, PatientHit):
        return {
            **_of_patient(hit.identity),
            0x00201200: hit.studies,
            0x00201202: hit.series,
            0x00201204: hit.instances,
        }
    if isinstance(hit, StudyHit):
        return _of_study(hit)
    if isinstance(hit, SeriesHit):
        return _of_series(hit)
    return {**_of_series(hit.series), **_of_instance(hit)}


def _of_patient(identity: ShownIdentity) -> dict[int, Value]:
    return {
        PATIENT_ID: identity.patient_id,
        ISSUER: identity.issuer,
        0x00100010: identity.name,
        0x00100030: identity.birth_date,
        0x00100040: identity.sex,
    }


def _of_study(hit: StudyHit) -> dict[int, Value]:
    return {
        **_of_patient(hit.identity),
        STUDY: hit.study_instance_uid,
        0x00080020: hit.study_date,
        0x00080030: hit.study_time,
        0x00080050: hit.accession_number,
        0x00080061: hit.modalities,
        0x00081030: hit.description,
        0x00080080: hit.institution,
        0x00201206: hit.series,
        0x00201208: hit.instances,
    }


def _of_series(hit: SeriesHit) -> dict[int, Value]:
    return {
        **_of_study(hit.study),
        SERIES: hit.series_instance_uid,
        0x00080060: hit.modality,
        0x00200011: "" if hit.number is None else hit.number,
        0x0008103E: hit.description,
        0x00180015: hit.body_part,
        0x00201209: hit.instances,
    }


def _of_instance(hit: InstanceHit) -> dict[int, Value]:
    found: dict[int, Value] = {
        INSTANCE: hit.sop_instance_uid,
        0x00080016: hit.sop_class_uid,
        0x00083002: (hit.transfer_syntax_uid,),  # Available Transfer Syntax UID
        0x00200013: "" if hit.number is None else hit.number,
        0x00280008: hit.frames,
    }
    if hit.rows is not None and hit.columns is not None:
        found |= {0x00280010: hit.rows, 0x00280011: hit.columns}
    return found
