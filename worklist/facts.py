"""What crosses the floors: small frozen statements of what a message, an object or a report says.

Translators in `interfaces/` turn bytes into these and these into bytes; actions take and return them.
Missing stays missing: an empty string or ``None`` means "not said", never a made-up value.

Long, since it holds every statement that crosses: there is nothing in it but declarations.

Dates that come from the wire stay as written: DA is ``"YYYYMMDD"`` (a shorter HL7 date stays shorter), TM is
``"HHMMSS"`` with an optional fraction. Birth dates never convert. Our own times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

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
    specimens: tuple[SpecimenSaid, ...] = ()  # SPM, or OBR-15 in old versions
    steps: tuple[StepSaid, ...] = ()  # IPC of an OMI


@dataclass(frozen=True)
class StepSaid:
    """What an imaging order says of a scheduled step (IPC, HL7 v2.5 chapter 4.5.6). As written."""

    requested_procedure_id: str = ""  # IPC-2
    scheduled_step_id: str = ""  # IPC-4
    modality: str = ""  # IPC-5
    protocol: str = ""  # IPC-6, its text, else its code
    station_name: str = ""  # IPC-7
    location: str = ""  # IPC-8


@dataclass(frozen=True)
class SpecimenSaid:
    """What a laboratory order says of a specimen (SPM, HL7 v2 chapter 7.4.3). Times as written."""

    number: str = ""  # SPM-2, the placer's; else the filler's
    kind: str = ""  # SPM-4, HL7 table 0487 or local
    kind_text: str = ""
    collected_at: str = ""  # SPM-17
    received_at: str = ""  # SPM-18
    container: str = ""  # SPM-27


@dataclass(frozen=True)
class OrderMessage:
    """ORM^O01, OMG^O19, OMI^O23 or OML^O21: one patient, one or more orders."""

    header: MessageHeader
    patient: PatientFacts
    orders: tuple[OrderRequest, ...]
    facility_fields: dict[str, str] = field(default_factory=dict)  # {"MSH-4": …, "PV1-3.4": …}


@dataclass(frozen=True)
class VisitSaid:
    """What PV1 says of a visit (HL7 v2 chapter 3.4.3). Times as written."""

    number: str = ""  # PV1-19
    patient_class: str = ""  # PV1-2, HL7 table 0004
    location: str = ""  # PV1-3 as written
    doctor: str = ""  # PV1-7, as shown
    admitted_at: str = ""  # PV1-44
    discharged_at: str = ""  # PV1-45


@dataclass(frozen=True)
class PatientMessage:
    """ADT (HL7 v2 chapter 3.3): A01 A02 A03 A04 A08 A11 A28 A31 A40 A47, one PID group of it.

    `retired` is what MRG-1 names: with A40 the numbers of the patient who becomes one with this one, with A47 the
    numbers that this patient has no more. A message with several PID groups is several of these.
    """

    header: MessageHeader
    event: str  # A01 …
    event_at: str  # EVN-2, else MSH-7, as written
    patient: PatientFacts
    visit: VisitSaid = VisitSaid()
    retired: tuple[Identifier, ...] = ()
    facility_fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutsideLine:
    """One OBX of a result that another system made (HL7 v2 chapter 7.4.2), as written."""

    set_id: str
    kind: str  # OBX-2
    code: str
    name: str
    value: str
    unit: str = ""
    reference: str = ""  # OBX-7
    flags: str = ""  # OBX-8
    status: str = ""  # OBX-11, HL7 table 0085


@dataclass(frozen=True)
class OutsideSource:
    """Who made a result of another region, as the message says, and the marks of recognition that it bears.

    `grade` is one of `worklist.rules.recognition.GRADES` or empty, `region` six digits of GB/T 2260 or empty.
    """

    name: str
    code: str = ""  # its unified social credit code, or another number
    grade: str = ""
    region: str = ""
    marks: tuple[str, ...] = ()
    laterality: str = ""  # L, R, B or empty


@dataclass(frozen=True)
class OutsideResult:
    """One OBR with its OBX of an ORU^R01 that came in, or one DiagnosticReport. Times as written.

    With a `source` it is a result of another region; `taken_at` is aware, None where nobody says when.
    """

    placer_number: str
    filler_number: str
    code: str = ""
    name: str = ""
    status: str = ""  # OBR-25, HL7 table 0123
    observed_at: str = ""  # OBR-7
    reported_at: str = ""  # OBR-22
    author: str = ""  # OBR-32
    lines: tuple[OutsideLine, ...] = ()
    source: OutsideSource | None = None
    taken_at: datetime | None = None


@dataclass(frozen=True)
class ResultMessage:
    """ORU^R01 of another system, or what a Bundle says of one patient: one or more results."""

    header: MessageHeader
    patient: PatientFacts
    results: tuple[OutsideResult, ...]
    visit: VisitSaid = VisitSaid()
    facility_fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What is not after the standard in a message: a code, and where ("PID-5"). Never a value of the message."""

    code: str
    place: str = ""
    is_error: bool = True  # else only a value that no table lists, or that is too long


@dataclass(frozen=True)
class Serving:
    """An existing result that serves instead of an order. Times are local to where it was examined."""

    institution: str
    procedure: str
    taken_at: datetime
    until: datetime


@dataclass(frozen=True)
class OrderAnswer:
    """What became of one OrderRequest; `answer` is an order control code of HL7 table 0119."""

    request: OrderRequest
    answer: str  # OK UA XR UX CR UC DR UD; "waiting" is OK with waiting=True
    accession_number: str = ""
    study_instance_uid: str = ""
    reason: str = ""  # error code of worklist.errors, empty when accepted
    waiting: bool = False  # kept, but a person has to map its code before it is on the worklist
    serving: tuple[Serving, ...] = ()  # results that serve instead, where the sender is told of them
    held: bool = False  # it waits for somebody to say whether one of them is taken

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


@dataclass(frozen=True)
class PictureFiling:
    """Under whose name and number a picture or a PDF of a device without DICOM is kept.

    Where images of the order are held already, their identity is repeated, so that all of it is one study.
    """

    order_id: str
    upload_id: str
    study_instance_uid: str
    accession_number: str
    placer_number: str
    patient_id: str
    issuer: str
    name: PersonName
    sex: str
    birth_date: str
    description: str
    modality: str  # of the procedure; "" where the catalogue does not say
    body_part: str
    ordering_doctor: str
    institution_name: str
    study_date: str  # DA, local; "" where nobody said
    study_time: str  # TM, local


@dataclass(frozen=True)
class Fault:
    """Why a recording must be repeated; `code` and `params` as an error's."""

    code: str
    params: Mapping[str, object] = field(default_factory=dict)


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
    marks: tuple[str, ...] = ()  # of mutual recognition, as its item bore them when it was examined: 全国HR, 鄂HR


Tier = Literal["critical", "major"]
TIERS: tuple[Tier, ...] = ("critical", "major")
"""Of findings that must reach a person: critical results (危急值), and major positive ones (重大阳性值)."""

MeasurementSource = Literal["device", "reader"]


@dataclass(frozen=True)
class Measurement:
    """A number in the structured part of a report, which its reader answers for (`worklist.rules.measurements`).

    `value` is whole, as reports state it, in `unit` (UCUM). `source` says whose number it is: the device's, as it
    stands in the recording, or the reader's own. `method` is the formula of a corrected QT, empty where nobody says.
    """

    name: str
    value: int
    unit: str
    source: MeasurementSource
    method: str = ""


@dataclass(frozen=True)
class Written:
    """What a reader wrote at one time: the words and, of an ECG, the numbers. None: they were not kept then."""

    findings: str = ""
    impression: str = ""
    critical: str = ""
    measurements: tuple[Measurement, ...] | None = ()


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
    is_filed: bool = True  # else no DICOM documents are made: the images are of another order (docs/decisions/0046)


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
    measurements: tuple[Measurement, ...] = ()
    tier: Tier = "critical"  # of what `text.critical` says
    images_of: str = ""  # existing images were read anew: the institution that made them, at `observed_at`

    @property
    def images_said(self) -> str:
        """What everybody who gets the report is told of images that were read anew; empty where they were not."""
        if not self.images_of:
            return ""
        at = f"{self.observed_at.astimezone(ZoneInfo(self.timezone)):%Y-%m-%d %H:%M}" if self.observed_at else ""
        return f"以既有影像重新阅片，未做新检查：{at}{self.images_of}检查的影像。"


@dataclass(frozen=True)
class RecognisedFor:
    """An order that an existing report serves instead of a new examination, as the order's HIS knows it and whom."""

    order: CoveredOrder
    patient: PatientFacts
    patient_id: str
    patient_issuer: str
    report_adopted: bool  # else its images and data serve, and the conclusion stays that of whoever wrote it


EndpointKind = Literal["mllp", "fhir", "wst500"]
"""How an endpoint is spoken to: HL7 v2 over MLLP; or a regional platform: a FHIR transaction, or a document shaped
after WS/T 500, each posted over HTTP."""
ENDPOINT_KINDS: Final[tuple[EndpointKind, ...]] = get_args(EndpointKind)


@dataclass(frozen=True)
class Addressee:
    """How one endpoint wants its messages."""

    endpoint_id: str
    host: str
    port: int
    receiving_application: str
    receiving_facility: str
    character_set: str  # "UTF-8" or "GB18030"
    version: str = "2.4"
    answer_seconds: float = 10.0
    pdf: Literal["none", "embedded", "link"] = "none"  # how the report's PDF goes along
    tls: bool = False
    trusted: str = ""  # PEM certificates that it may show; empty: whom the system trusts
    kind: EndpointKind = "mllp"
    path: str = ""  # of a platform, beginning with a slash
    secret: str = ""  # of a platform: its bearer token, sealed; empty: none


@dataclass(frozen=True)
class Publisher:
    """Where a published result was examined, as a receiver far away judges it. `region` as in `OutsideSource`."""

    code: str
    name: str
    uscc: str = ""
    grade: str = ""
    region: str = ""


@dataclass(frozen=True)
class Publication:
    """What a regional platform is told beside the signed document: the version's record, the patient's documents, and
    who examined."""

    record: ReportRecord
    documents: tuple[Identifier, ...]
    publisher: Publisher


@dataclass(frozen=True)
class Channel:
    """A way out for notices, as a sender needs it. `address` is a URL, or a mail server's host; `secret` is sealed."""

    id: str
    way: Literal["webhook", "e-mail"]
    address: str
    port: int = 0
    security: Literal["", "starttls", "tls", "none"] = ""
    login: str = ""
    sender: str = ""
    secret: str = field(default="", repr=False)
    trusted: str = ""  # PEM certificates that it may show; empty: whom the system trusts


@dataclass(frozen=True)
class NoticeLetter:
    """A notice that leaves the house: never a patient, a number of theirs, a finding or a colleague.

    `id` is the same at every try; `page` is a path of ours; `at` is aware UTC.
    """

    id: str
    kind: str
    page: str
    at: datetime
    user_id: str
    language: str
    institution: str  # the person's, by name
    to: str = ""  # e-mail
    is_drill: bool = False


@dataclass(frozen=True)
class OrderNews:
    """What became of an order, for the HIS that sent it. `at` is aware UTC."""

    order: CoveredOrder
    patient: PatientFacts
    patient_id: str
    patient_issuer: str
    state: str  # of the order's machine
    at: datetime
    why: str = ""
    timezone: str = "Asia/Shanghai"
    remarks: tuple[str, ...] = ()  # of the existing result that serves it


@dataclass(frozen=True)
class Caller:
    """Who stands at a door: what the network shows and what the caller says of itself."""

    door: Literal["dimse", "mllp", "folder", "fhir"]
    address: str
    claimed: str = ""  # calling AE title, MSH-3|MSH-4, the folder's name, or the login of the token
    called: str = ""  # called AE title


Operation = Literal["store", "worklist", "mpps", "commitment", "retrieve", "orders", "patients", "results"]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
"""What a device may be allowed: DICOM services (retrieve: query and retrieve), and kinds of HL7 messages."""
USUAL_OPERATIONS: Final = tuple(name for name in OPERATIONS if name != "retrieve")


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
    operations: tuple[str, ...] = USUAL_OPERATIONS  # of OPERATIONS
    transfer_syntaxes: tuple[str, ...] = ()  # UIDs, the preferred first; empty: as we prefer
    receive_only_hours: tuple[tuple[str, str], ...] = ()  # local spans in which it may send and not fetch
    timezone: str = "Asia/Shanghai"  # of its institution, for those hours
    worklist_extras: tuple[str, ...] = ()  # tags ("00400100.00400007") that its answers carry, asked for or not
    checks: Literal["off", "report", "refuse"] = "off"  # what becomes of HL7 structure that is not after the standard
    recognition: Literal["off", "notice", "hold"] = "off"  # what is done where a result serves its new order
    field_overrides: tuple[FieldOverride, ...] = ()


@dataclass(frozen=True)
class FieldOverride:
    """What a sender's field is taken to say: a constant, or what another of its fields says.

    Fields are named as ``"PV1-3.4"``: segment, field, component. Only what is empty is filled where `only_empty`.
    """

    field: str
    value: str = ""
    source: str = ""  # another field, whose text is taken
    only_empty: bool = False


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
class Reached:
    """What came of calling a device or an endpoint at one of its ports."""

    code: str  # "reached", or why not: an error code
    address: str
    port: int
    claimed: str = ""  # the AE title that it was called by
    milliseconds: int = 0  # until it had answered, or was given up
    tls: bool = False


@dataclass(frozen=True)
class Destination:
    """Where a device takes C-STORE and N-EVENT-REPORT; its calling AE title is the one it is called by."""

    device: KnownDevice
    address: str  # an IP address
    port: int
    tls: bool = False
    certificates: str = ""  # PEM; over TLS, it must show one of these


# --- Exchange ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PatientRecord:
    """A patient as one institution knows them. `documents` are those of a country; their issuer is that country."""

    id: str
    said: PatientFacts
    documents: tuple[Identifier, ...] = ()
    merged_into_id: str = ""  # this row's numbers are that one's now


@dataclass(frozen=True)
class OrderRecord:
    """An order as it stands. Scheduled date and time are DA and TM, local to `timezone`; times of ours aware UTC."""

    id: str
    state: str
    patient_id: str
    accession_number: str
    placer_issuer: str
    placer_number: str
    institution_code: str
    institution_name: str
    timezone: str
    procedure_code: str  # of the catalogue; "" while a person still has to map what the sender wrote
    procedure_name: str
    sent_code: str
    sent_text: str
    body_part: str
    laterality: str
    priority: Priority
    clinical_information: str
    reason: str
    ordering_doctor: str
    visit_number: str
    scheduled_date: str
    scheduled_time: str
    placed_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class SeriesRecord:
    """A series of a study; `instances` are those that are shown."""

    series_instance_uid: str
    modality: str
    number: int | None
    description: str
    body_part: str
    instances: int


@dataclass(frozen=True)
class StudyRecord:
    """A study that is linked to a patient. Date and time are DA and TM as written; `acquired_at` is aware UTC."""

    id: str
    study_instance_uid: str
    patient_id: str
    order_ids: tuple[str, ...]
    accession_numbers: tuple[str, ...]
    study_date: str
    acquired_at: datetime | None
    description: str
    series: tuple[SeriesRecord, ...]
    changed_at: datetime


@dataclass(frozen=True)
class ReportRecord:
    """An issued version and where it stands; its words are in its canonical document. Sizes are bytes."""

    report_id: str
    version_id: str
    number: int
    state: str  # as its status, or "superseded"
    discipline: str
    patient_id: str
    order_ids: tuple[str, ...]
    study_ids: tuple[str, ...]
    document_key: str
    signed_at: datetime
    withdrawn: bool  # its report is, whatever this version is
    former_id: str = ""  # the issued version before this one
    pdf_key: str = ""
    pdf_size: int = 0


@dataclass(frozen=True)
class SealedBy:
    """The certificate with which a document was sealed."""

    subject: str
    sha256: str  # of its DER form, in hexadecimal


@dataclass(frozen=True)
class Number:
    """A number that something is sought by: what kind of number, whose, and which.

    `kind` is one of "patient", "document", "placer", "accession", "study", "report", or "" for any; `issuer` None is
    anybody's.
    """

    kind: str
    issuer: str | None
    value: str


@dataclass(frozen=True)
class Span:
    """A stretch of time, aware UTC, from `start` to just before `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class DaySpan:
    """Days as DA, both included; "" is open."""

    first: str = ""
    last: str = ""


Sought = str | Number | Span | DaySpan
"""One value of a criterion."""


@dataclass(frozen=True)
class Criterion:
    """What is sought must meet one of `values` under this name, as `worklist.queries.records` names them."""

    name: str
    values: tuple[Sought, ...]


DEAREST: Final = 100_000_000
"""Fen of a price; more is a mistake in typing."""


@dataclass(frozen=True)
class Price:
    """What a catalogue entry costs from `valid_from` (DA) on where the code of the region (GB/T 2260) begins with
    `region`; in fen (0.01 yuan)."""

    procedure: str
    region: str
    valid_from: str
    examination: int
    reading: int
