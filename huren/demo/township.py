"""What a township does, at Huren's doors: orders by MLLP, worklist queries, procedure steps and images by DIMSE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    TwelveLeadECGWaveformStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at import
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
)

from gateway.dimse.answers import keep_answers
from gateway.mllp.sender import send
from huren.demo.county import HisSystem, Scanner
from huren.demo.images import ZONE, Images, Picked
from interfaces.dicom.uids import new_uid
from interfaces.hl7v2 import charset
from interfaces.hl7v2.message import parse
from interfaces.hl7v2.writing import composite, header, segment
from worklist.errors import HurenError
from worklist.facts import Priority
from worklist.numbers import new_control_id

# Answers are copied byte for byte into images. Writing them to a log would convert them, and names do not belong there.
_config.LOG_RESPONSE_IDENTIFIERS = False

ANSWER_SECONDS: Final = 30.0
_PRIORITIES: Final[dict[Priority, str]] = {"STAT": "S", "URGENT": "A", "ROUTINE": "R"}  # HL7 table 0027
_NATIVE: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
# Each modality proposes what it makes, one transfer syntax to a context where images are compressed already.
_CONTEXTS: Final[dict[str, tuple[tuple[str, Sequence[str]], ...]]] = {
    "CT": ((CTImageStorage, _NATIVE),),
    "DX": ((DigitalXRayImageStorageForPresentation, _NATIVE),),
    "MR": ((MRImageStorage, _NATIVE),),
    "ECG": ((TwelveLeadECGWaveformStorage, _NATIVE),),
    "US": (
        (UltrasoundImageStorage, _NATIVE),
        (UltrasoundImageStorage, (JPEG2000Lossless,)),
        (UltrasoundMultiFrameImageStorage, (JPEGBaseline8Bit,)),
    ),
}


class CannotPlay(Exception):
    """Something that the demo needs is not there; `str()` is a sentence for the person who started it."""


@dataclass(frozen=True)
class Doors:
    """Where the server's doors are."""

    api_url: str
    dimse_host: str
    dimse_port: int
    ae_title: str
    mllp_host: str
    mllp_port: int


@dataclass(frozen=True)
class Visitor:
    """An invented patient as a township's HIS knows them."""

    number: str
    name: str
    sex: str
    birth_date: str


@dataclass(frozen=True)
class Request:
    """What a doctor asks for, under the HIS's own order number."""

    place: str  # the institution's code
    number: str
    visitor: Visitor
    procedure: str
    procedure_name: str
    priority: Priority
    clinical: str
    doctor: tuple[str, str]  # login, name


def order(doors: Doors, his: HisSystem, request: Request, control: str, now: datetime) -> tuple[str, str]:
    """Send one ORM^O01 (`control` is ORC-1: NW or CA) and return MSA-1 and, if the answer has it, ORC-3.

    Raises
    ------
    CannotPlay
        the MLLP door is away or answers nothing that can be read.
    """
    raw = charset.encode(order_message(his, request, control, now), his.character_set)
    try:
        answer = parse(send(doors.mllp_host, doors.mllp_port, raw, answer_seconds=ANSWER_SECONDS), his.character_set)
        orc = answer.first("ORC")
        return answer.only("MSA").get(1), orc.get(3) if orc else ""
    except HurenError as error:
        raise CannotPlay(
            f"The HL7 door at {doors.mllp_host}:{doors.mllp_port} gives no answer ({error.code})."
        ) from error


def worklist(doors: Doors, scanner: Scanner, patient_number: str, now: datetime) -> list[Dataset]:
    """Ask for today's steps of one patient on this station (C-FIND, PS3.4 annex K)."""
    keys = Dataset()
    for keyword in (
        "AccessionNumber ReferringPhysicianName PatientName IssuerOfPatientID PatientBirthDate PatientSex "
        "StudyInstanceUID RequestedProcedureDescription RequestedProcedureID"
    ).split():
        setattr(keys, keyword, "")
    keys.PatientID = patient_number
    step = Dataset()
    step.Modality = scanner.modality
    step.ScheduledStationAETitle = scanner.ae_title
    step.ScheduledProcedureStepStartDate = f"{now.astimezone(ZONE):%Y%m%d}"
    for keyword in ("ScheduledProcedureStepStartTime", "ScheduledProcedureStepDescription", "ScheduledProcedureStepID"):
        setattr(step, keyword, "")
    keys.ScheduledProcedureStepSequence = [step]
    with _association(doors, scanner, [(ModalityWorklistInformationFind, _NATIVE)]) as association:
        found = []
        for status, answer in association.send_c_find(keys, ModalityWorklistInformationFind):
            if status and status.Status in (0xFF00, 0xFF01) and answer is not None:
                found.append(answer)
            elif not status or status.Status != 0x0000:
                raise CannotPlay(f"The worklist query failed ({_shown(status)}).")
        return found


def begin_step(doors: Doors, scanner: Scanner, picked: Picked) -> str:
    """Report that the examination has begun (MPPS N-CREATE, PS3.4 F.7.2.1); return the step's UID."""
    ds = Dataset()
    for element in picked.common:
        if element.tag.group == 0x0010 or element.tag == 0x00080005:  # the patient, and how the name is encoded
            ds.add(element)
    scheduled = Dataset()
    if picked.request is not None:
        scheduled.update(picked.request)
    scheduled.StudyInstanceUID = picked.study_instance_uid
    for keyword in ("ReferencedStudySequence", "ScheduledProtocolCodeSequence"):
        setattr(scheduled, keyword, [])
    ds.ScheduledStepAttributesSequence = [scheduled]
    local = picked.at.astimezone(ZONE)
    ds.PerformedProcedureStepID = picked.step_id or picked.study_instance_uid[-16:]
    ds.PerformedStationAETitle = scanner.ae_title
    ds.PerformedStationName = ds.PerformedLocation = ""
    ds.PerformedProcedureStepStartDate = f"{local:%Y%m%d}"
    ds.PerformedProcedureStepStartTime = f"{local:%H%M%S}"
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.PerformedProcedureStepDescription = ds.PerformedProcedureTypeDescription = ""
    ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
    ds.Modality = scanner.modality
    ds.StudyID = picked.accession_number
    for keyword in (
        "ReferencedPatientSequence ProcedureCodeSequence PerformedProtocolCodeSequence PerformedSeriesSequence"
    ).split():
        setattr(ds, keyword, [])
    uid = new_uid()
    with _association(doors, scanner, [(ModalityPerformedProcedureStep, _NATIVE)]) as association:
        status, _ = association.send_n_create(ds, ModalityPerformedProcedureStep, uid)
    _must_be_done("N-CREATE", status)
    return uid


def send_images(doors: Doors, scanner: Scanner, picked: Picked, images: Images) -> Iterator[Dataset]:
    """Make and send all images on one association; each is given back, without pixels, once it is acknowledged."""
    with _association(doors, scanner, _CONTEXTS[scanner.modality]) as association:
        for image in images(picked):
            status = association.send_c_store(image)
            _must_be_done("C-STORE", status)
            for bulk in ("PixelData", "WaveformSequence"):
                if bulk in image:
                    del image[bulk]
            yield image


def end_step(doors: Doors, scanner: Scanner, uid: str, sent: Iterable[Dataset], now: datetime) -> None:
    """Report the end with the list of all instances, by series (MPPS N-SET, PS3.4 F.7.2.2)."""
    local = now.astimezone(ZONE)
    ds = Dataset()
    ds.PerformedProcedureStepStatus = "COMPLETED"
    ds.PerformedProcedureStepEndDate = f"{local:%Y%m%d}"
    ds.PerformedProcedureStepEndTime = f"{local:%H%M%S}"
    series: dict[str, Dataset] = {}
    for image in sent:
        item = series.get(image.SeriesInstanceUID)
        if item is None:
            item = series[image.SeriesInstanceUID] = Dataset()
            item.SeriesInstanceUID = image.SeriesInstanceUID
            item.SeriesDescription = image.get("SeriesDescription", "")
            item.ProtocolName = image.get("SeriesDescription", "") or scanner.modality
            item.PerformingPhysicianName = item.OperatorsName = item.RetrieveAETitle = ""
            item.ReferencedImageSequence = []
            item.ReferencedNonImageCompositeSOPInstanceSequence = []
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        item.ReferencedImageSequence.append(reference)
    ds.PerformedSeriesSequence = list(series.values())
    with _association(doors, scanner, [(ModalityPerformedProcedureStep, _NATIVE)]) as association:
        status, _ = association.send_n_set(ds, ModalityPerformedProcedureStep, uid)
    _must_be_done("N-SET", status)


def order_message(his: HisSystem, request: Request, control: str, now: datetime) -> str:
    """ORM^O01 (HL7 v2.4 chapter 4.4.1)."""
    stamp = f"{now.astimezone(ZONE):%Y%m%d%H%M%S%z}"
    visitor, doctor = request.visitor, composite(*request.doctor)
    emergency = request.priority == "STAT"
    return "".join(
        [
            header({
                3: "HIS",
                4: request.place,
                5: "HUREN",
                6: "COUNTY",
                7: stamp,
                9: "ORM^O01",
                10: new_control_id(),
                11: "P",
                12: "2.4",
                18: charset.find(his.character_set).label,
            }),
            segment("PID", {
                1: "1",
                3: composite(visitor.number, "", "", request.place, "MR"),
                5: composite(visitor.name),
                7: visitor.birth_date,
                8: visitor.sex,
            }),
            segment("PV1", {1: "1", 2: "E" if emergency else "O"}),
            segment("ORC", {1: control, 2: composite(request.number), 9: stamp, 12: doctor}),
            segment("OBR", {
                1: "1",
                2: composite(request.number),
                4: composite(request.procedure, request.procedure_name, "L"),
                13: composite(request.clinical),
                16: doctor,
                27: f"^^^^^{_PRIORITIES[request.priority]}",
            }),
        ]
    )  # fmt: skip


@contextmanager
def _association(
    doors: Doors, scanner: Scanner, contexts: Iterable[tuple[str, Sequence[str]]]
) -> Iterator[Association]:
    ae = AE(ae_title=scanner.ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ANSWER_SECONDS
    for abstract, syntaxes in contexts:
        ae.add_requested_context(abstract, list(syntaxes))
    association = ae.associate(doors.dimse_host, doors.dimse_port, ae_title=doors.ae_title)
    where = f"{doors.ae_title} at {doors.dimse_host}:{doors.dimse_port}"
    if not association.is_established:
        why = "refuses" if association.is_rejected else "does not answer"
        raise CannotPlay(f"The DICOM door {where} {why} {scanner.ae_title}.")
    keep_answers(association)
    try:
        yield association
    except (RuntimeError, ValueError) as error:  # pynetdicom: it was cut, or no presentation context was accepted
        raise CannotPlay(f"The DICOM door {where} broke off: {error}") from error
    finally:
        association.release()


def _must_be_done(what: str, status: Dataset) -> None:
    if not status or status.Status != 0x0000:
        raise CannotPlay(f"{what} was answered {_shown(status)}.")


def _shown(status: Dataset) -> str:
    return f"{status.Status:04X}H" if status else "with silence"
