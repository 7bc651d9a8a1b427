"""What crosses the floors: small frozen statements of what a message, an object or a report says.

Translators in `interfaces/` turn bytes into these and these into bytes; actions take and return them.
Missing stays missing: an empty string or ``None`` means "not said", never a made-up value.

Long, since it holds every statement that crosses: there is nothing in it but declarations.

Dates that come from the wire stay as written: DA is ``"YYYYMMDD"`` (a shorter HL7 date stays shorter), TM is
``"HHMMSS"`` with an optional fraction. Birth dates never convert. Our own times are aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

Priority = Literal["STAT", "URGENT", "ROUTINE"]
PRIORITIES: tuple[Priority, ...] = ("STAT", "URGENT", "ROUTINE")
Sex = Literal["M", "F", "O", ""]


@dataclass(frozen=True)
class Identifier:
    """A number of a patient and who gave it. Without its issuer it identifies nobody."""

    issuer: str
    value: str
    kind: str = ""  # HL7 table 0203: MR, PI, NI (national), PPN (passport), TEMP for an alias


@dataclass(frozen=True)
class PersonName:
    """A person's name in two writings (DICOM PS3.5 6.2.1.2, HL7 XPN).

    `ideographic` is what Chinese people read ("王小东", or "王^小东" where the sender split it);
    `alphabetic` is the romanised form ("Wang^XiaoDong"). Either may be empty.
    """

    ideographic: str = ""
    alphabetic: str = ""

    @property
    def shown(self) -> str:
        """The name as people read it, without component separators."""
        chosen = self.ideographic or self.alphabetic
        joint = "" if self.ideographic else " "
        return joint.join(part for part in chosen.split("^") if part)

    @property
    def plain(self) -> str:
        """For comparing: ideographic without separators and spaces, else alphabetic letters in lower case."""
        if self.ideographic:
            return "".join(self.ideographic.replace("^", "").split())
        return "".join(c for c in self.alphabetic.casefold() if c.isalnum())


@dataclass(frozen=True)
class PatientFacts:
    """What a message or an object says of a patient."""

    identifiers: tuple[Identifier, ...] = ()
    name: PersonName = field(default_factory=PersonName)
    sex: Sex = ""
    birth_date: str = ""
    phone: str = ""
    address: str = ""
    is_alias: bool = False  # an unknown emergency patient (无名氏 + serial)

    def identifier_of(self, issuer: str) -> str:
        """The value that `issuer` gave, or ``""``."""
        return next((i.value for i in self.identifiers if i.issuer == issuer), "")


# --- HL7 v2 --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MessageHeader:
    """MSH (HL7 v2 chapter 2.15.9), decoded."""

    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    sent_at: str = ""  # MSH-7 as written
    message_code: str = ""  # MSH-9.1, e.g. ORM
    trigger_event: str = ""  # MSH-9.2, e.g. O01
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    accept_acknowledgement: str = ""  # MSH-15
    application_acknowledgement: str = ""  # MSH-16
    character_set: str = ""  # MSH-18 as written, first repetition that names one


@dataclass(frozen=True)
class OrderRequest:
    """One ORC/OBR pair, one procedure of an API order: what an order says."""

    control: str  # ORC-1: NW, XO, CA, DC; others are refused by the action
    placer_number: str
    placer_namespace: str = ""  # ORC-2.2: which of the sender's systems gave the number
    filler_number: str = ""  # ORC-3 / OBR-3: ours, when the sender repeats it
    procedure_code: str = ""
    procedure_text: str = ""
    procedure_coding: str = ""  # OBR-4.3
    priority: Priority = "ROUTINE"
    clinical_information: str = ""
    reason: str = ""
    ordering_doctor: str = ""
    ordering_doctor_id: str = ""
    requested_at: str = ""  # as written, HL7 TS
    scheduled_at: str = ""  # as written, HL7 TS; local time of the institution
    accession_number: str = ""  # the sender's own, used only where the device is configured so
    study_instance_uid: str = ""  # ZDS-1 or IPC-3
    station_ae: str = ""
    patient_class: str = ""  # PV1-2
    visit_number: str = ""  # PV1-19
    location: str = ""  # PV1-3 as written
    location_facility: str = ""  # PV1-3.4
    laterality: str = ""


@dataclass(frozen=True)
class OrderMessage:
    """ORM^O01 or OMG^O19: one patient, one or more orders."""

    header: MessageHeader
    patient: PatientFacts
    orders: tuple[OrderRequest, ...]
    facility_fields: dict[str, str] = field(default_factory=dict)  # {"MSH-4": …, "PV1-3.4": …}


@dataclass(frozen=True)
class PatientMessage:
    """ADT^A01, A04 or A08."""

    header: MessageHeader
    event: str
    event_at: str  # EVN-2, else MSH-7, as written
    patient: PatientFacts
    visit_number: str = ""
    facility_fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OrderAnswer:
    """What became of one OrderRequest; `answer` is an order control code of HL7 table 0119."""

    request: OrderRequest
    answer: str  # OK UA XR UX CR UC DR UD; "waiting" is OK with waiting=True
    accession_number: str = ""
    reason: str = ""  # error code of worklist.errors, empty when accepted
    waiting: bool = False  # kept, but a person has to map or look before it is on the worklist

    @property
    def accepted(self) -> bool:
        """Whether the sender got what was asked for."""
        return self.answer in ("OK", "XR", "CR", "DR")


# --- DICOM ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestReference:
    """One item of Request Attributes or Scheduled Step Attributes: which order the device worked for."""

    accession_number: str = ""
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    scheduled_step_id: str = ""


@dataclass(frozen=True)
class ObjectFacts:
    """What the header of a composite object says. UIDs are syntactically valid when this exists.

    `issuer` is (0010,0021) as written, usually empty; the door's device says whose number it is.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str = ""
    issuer: str = ""
    patient_name: PersonName = field(default_factory=PersonName)
    sex: str = ""
    birth_date: str = ""
    accession_number: str = ""
    requests: tuple[RequestReference, ...] = ()
    modality: str = ""
    body_part: str = ""
    study_date: str = ""
    study_time: str = ""
    timezone_offset: str = ""  # (0008,0201)
    study_description: str = ""
    series_description: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int = 1
    institution_name: str = ""
    station_name: str = ""
    character_set: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredBytes:
    """Where the object store holds an object, and its fingerprints."""

    key: str  # our own name; nothing of it comes from the wire
    size: int  # bytes of the Part 10 file
    sha256: str  # of the Part 10 file as kept
    dataset_sha256: str  # of the data set as received, without preamble and file meta


@dataclass(frozen=True)
class WorklistQuery:
    """Matching keys of a Modality Worklist C-FIND (DICOM PS3.4 K.6.1.2.2); empty matches all.

    `*` and `?` are wildcards in the text keys; every other character is literal. Dates and times are ranges of
    strings as written, both ends included; an open end is empty.
    """

    patient_name: str = ""
    patient_id: str = ""
    issuer: str = ""
    accession_number: str = ""
    requested_procedure_id: str = ""
    scheduled_step_id: str = ""
    study_instance_uid: str = ""
    modality: str = ""
    station_ae: str = ""
    performing_physician: str = ""
    date_from: str = ""
    date_to: str = ""
    time_from: str = ""
    time_to: str = ""


@dataclass(frozen=True)
class WorklistItem:
    """One scheduled procedure step as a device sees it. Times are local to the institution, as DA and TM."""

    order_id: str
    accession_number: str
    requested_procedure_id: str
    scheduled_step_id: str
    study_instance_uid: str
    patient: PatientFacts
    patient_id: str
    issuer: str
    modality: str
    station_ae: str
    scheduled_date: str
    scheduled_time: str
    procedure_code: str
    procedure_name: str
    priority: Priority
    body_part: str = ""
    laterality: str = ""
    ordering_doctor: str = ""
    clinical_information: str = ""
    reason: str = ""
    institution_name: str = ""
    visit_number: str = ""
    placer_number: str = ""


@dataclass(frozen=True)
class ProcedureStepFacts:
    """An MPPS N-CREATE or N-SET (DICOM PS3.4 F.7). `instances` is what the device says it made."""

    sop_instance_uid: str
    status: Literal["IN PROGRESS", "COMPLETED", "DISCONTINUED", ""]
    references: tuple[RequestReference, ...] = ()
    patient_id: str = ""
    issuer: str = ""
    patient_name: PersonName = field(default_factory=PersonName)
    modality: str = ""
    step_id: str = ""
    started_date: str = ""
    started_time: str = ""
    ended_date: str = ""
    ended_time: str = ""
    discontinuation_reason: str = ""
    instances: tuple[str, ...] | None = None  # SOP Instance UIDs; None where the message does not say


UploadOrigin = Literal["own equipment", "other hospital"]
"""Whose patient numbers uploaded objects carry: a CD of another hospital names its own, not the uploader's."""


# --- Reports and deliveries ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportText:
    """The words of a report. Plain text, paragraphs parted by newlines."""

    findings: str = ""
    impression: str = ""
    critical: str = ""  # a critical result in words, empty when there is none


@dataclass(frozen=True)
class CoveredOrder:
    """One order that a report answers; one OBR of the ORU."""

    order_id: str
    accession_number: str
    placer_number: str
    placer_namespace: str
    procedure_code: str
    procedure_name: str
    ordering_doctor: str = ""
    ordering_doctor_id: str = ""
    requested_at: str = ""
    study_instance_uid: str = ""
    patient_class: str = ""  # HL7 table 0004, as the order said
    visit_number: str = ""
    location: str = ""  # PV1-3 as written
    clinical_information: str = ""


ReportStatus = Literal["preliminary", "final", "corrected", "addendum", "withdrawal"]

DocumentKind = Literal["json", "pdf", "encapsulated pdf", "sr"]
Paper = Literal["A4", "A5"]


@dataclass(frozen=True)
class Letterhead:
    """Under whose name a report is issued: the institution that the center belongs to."""

    institution_id: str = ""
    institution_name: str = ""
    institution_name_en: str = ""
    uscc: str = ""
    address: str = ""
    phone: str = ""
    paper: Paper = "A4"  # of the institution that ordered: it prints


@dataclass(frozen=True)
class ReportDocument:
    """One document of an issued version, durable in the object store. The UIDs are those of the DICOM kinds."""

    kind: DocumentKind
    stored: StoredBytes
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""


DOCUMENT_SERIES: Final[dict[str, tuple[str, int, str]]] = {
    "sr": ("SR", 9001, "Report"),
    "encapsulated pdf": ("DOC", 9002, "Report (PDF)"),
}
"""Modality, series number and description of the series that a report's DICOM documents make."""


@dataclass(frozen=True)
class SeenInstance:
    """One object that a version rests on, as other objects refer to it (DICOM PS3.3 table C.17-3, 10-11)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    frames: int = 1
    store_key: str = ""


@dataclass(frozen=True)
class Filing:
    """Where the DICOM documents of a version go and what they refer to.

    The study is the first that the report covers. Patient and study attributes are what its images say, so that the
    documents stand beside them under one patient; where a person linked images of another identity to the order, they
    are what the order says.
    """

    study_id: str  # ours
    study_instance_uid: str
    study_date: str  # DA as written
    study_time: str  # TM as written
    description: str
    accession_number: str
    patient_id: str
    issuer: str
    name: PersonName
    sex: str
    birth_date: str
    seen: tuple[SeenInstance, ...]
    predecessor: SeenInstance | None = None  # the structured report of the version before this one


@dataclass(frozen=True)
class SignedReport:
    """One issued version, complete: the canonical document from which every delivery is made.

    `observed_at` and `signed_at` are aware UTC. `instances` lists (SOP Instance UID, SHA-256) as seen at signing.
    """

    report_id: str
    version: int
    status: ReportStatus
    center_name: str
    institution_code: str
    institution_name: str
    patient: PatientFacts
    patient_id: str
    patient_issuer: str
    orders: tuple[CoveredOrder, ...]
    text: ReportText
    writer: str
    writer_name: str
    signer: str
    signer_name: str
    signed_at: datetime
    observed_at: datetime | None
    reason: str = ""  # why it was corrected or withdrawn
    modality: str = ""
    timezone: str = "Asia/Shanghai"
    instances: tuple[tuple[str, str], ...] = ()
    body_part: str = ""
    key_images: tuple[tuple[str, int], ...] = ()  # (SOP Instance UID, frame from 1), in the order of printing
    verification_code: str = ""  # what /verify takes; unguessable, unique to this version
    head: Letterhead = Letterhead()


@dataclass(frozen=True)
class Addressee:
    """How one endpoint wants its HL7 messages."""

    endpoint_id: str
    host: str
    port: int
    receiving_application: str
    receiving_facility: str
    character_set: str  # "UTF-8" or "GB18030"
    version: str = "2.4"
    answer_seconds: float = 10.0
    pdf: Literal["none", "embedded", "link"] = "none"  # how the report's PDF goes along


@dataclass(frozen=True)
class Caller:
    """Who stands at a door: what the network shows and what the caller says of itself."""

    door: Literal["dimse", "mllp"]
    address: str
    claimed: str = ""  # calling AE title, or MSH-3|MSH-4
    called: str = ""  # called AE title


@dataclass(frozen=True)
class KnownDevice:
    """A device record as a door needs it, found by address *and* claimed name."""

    id: str
    name: str
    institutions: tuple[str, ...]  # institution ids it may speak for
    ae_title: str = ""
    institution_field: str = ""  # "MSH-4", "PV1-3.4" or "calling AE"; decides where there are several
    character_set_in: str = ""  # assumed where the message names none (or names it wrongly)
    character_set_out: str = ""  # what the device is answered in: "UTF-8", "GB18030", …
    answers_with: Literal["ACK", "order response"] = "ACK"
    trusts_sender_accession: bool = False
    strict: bool = False
    modality_equivalents: tuple[tuple[str, ...], ...] = ()
    may_retrieve: bool = False  # query and retrieve


@dataclass(frozen=True, slots=True)
class SopReference:
    """An object as another message names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """A device asks us to answer for these objects."""

    transaction_uid: str
    references: tuple[SopReference, ...]  # each instance once


@dataclass(frozen=True)
class Destination:
    """Where a device takes C-STORE and N-EVENT-REPORT; its calling AE title is the one it is called by."""

    device: KnownDevice
    address: str  # an IP address
    port: int
