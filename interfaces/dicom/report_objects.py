"""A signed report as DICOM objects: an Enhanced SR, and its PDF in an Encapsulated PDF.

Both become part of the study that they report on: its identity is repeated as its images say it, the UIDs of series
and instance are new. Text is UTF-8 (ISO_IR 192, PS3.3 C.12.1.1.2). A value that its representation cannot carry is
left out where the standard lets it be empty; the words of the report are carried whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    EnhancedSR,
    ImageContentItem,
    PnameContentItem,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from interfaces.dicom import ecg_reports
from interfaces.dicom.objects import part10
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, new_uid
from worklist.facts import DOCUMENT_SERIES, CoveredOrder, Filing, PersonName, SeenInstance, SignedReport

ENHANCED_SR: Final = "1.2.840.10008.5.1.4.1.1.88.22"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
MANUFACTURER: Final = "Huren"

_CONTAINS, _CONTEXT = RelationshipTypeValues.CONTAINS, RelationshipTypeValues.HAS_OBS_CONTEXT
_MODIFIER = RelationshipTypeValues.HAS_CONCEPT_MOD
_TITLE: Final = ("18748-4", "LN", "Diagnostic imaging report")  # of CID 7000
_ECG_TITLE: Final = ("28010-7", "LN", "ECG Report")
_OUR_CODES: Final = "99HUREN"
_HEADINGS: Final = (
    (("121070", "DCM", "Findings"), ("121071", "DCM", "Finding")),
    (("121072", "DCM", "Impressions"), ("121073", "DCM", "Impression")),
)
_CRITICAL: Final = (("CRITICAL", _OUR_CODES, "Critical result"),) * 2
_MAJOR: Final = (("MAJOR", _OUR_CODES, "Major positive result"),) * 2
_DATE: Final = re.compile(r"[0-9]{8}")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class ReportObject:
    """An object to be kept: `head` is preamble and file meta information, `dataset` follows it (PS3.10 7.1)."""

    head: bytes
    dataset: bytes
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


class _Report(EnhancedSR):
    """highdicom's Enhanced SR, whose patient and study are written by `_identity` and not copied from an image."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Nothing: see the class."""


def write_structured_report(report: SignedReport, filing: Filing) -> ReportObject:
    """An issued version as an Enhanced SR (PS3.3 A.35.2): COMPLETE, VERIFIED by the signer, written by the writer.

    The tree has the headings of TID 2000 (PS3.16), of an ECG those of TID 3700; the evidence lists every object that
    the version rests on. Content date and time are the institution's local ones.
    """
    series_uid, instance_uid = new_uid(), new_uid()
    _modality, series_number, description = DOCUMENT_SERIES["sr"]
    at = report.signed_at.astimezone(ZoneInfo(report.timezone))
    sr = _Report(
        evidence=_stubs(filing),
        content=_tree(report, filing),
        series_instance_uid=series_uid,
        series_number=series_number,
        sop_instance_uid=instance_uid,
        instance_number=report.version,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=True,
        series_description=description,
        content_date=at.date(),
        content_time=at.time().replace(microsecond=0),
        specific_character_set="ISO_IR 192",
    )
    if report.modality == "ECG" and (recorded := ecg_reports.recordings(report, filing)) is not None:
        # Afterwards: the library copies the tree that it is given, and its copying knows no WAVEFORM.
        context = sum(item.RelationshipType != "CONTAINS" for item in sr.ContentSequence)
        sr.ContentSequence.insert(context, recorded)
    del sr.ContributingEquipmentSequence  # the library names itself as equipment
    _identity(sr, report, filing, at)
    sr.VerificationFlag = "VERIFIED"
    sr.VerifyingObserverSequence = [_verifier(report, at)]
    sr.AuthorObserverSequence = [_author(report)]
    sr.CurrentRequestedProcedureEvidenceSequence = _references(filing.seen)
    if "PertinentOtherEvidenceSequence" in sr:
        del sr.PertinentOtherEvidenceSequence  # further studies of the case are its evidence too
    sr.ReferencedRequestSequence = [_request(order) for order in report.orders]
    if filing.predecessor is not None:
        sr.PredecessorDocumentsSequence = _references([filing.predecessor])
    return _object(sr, ENHANCED_SR, series_uid, instance_uid)


def write_encapsulated_pdf(report: SignedReport, filing: Filing, pdf: bytes) -> ReportObject:
    """The sealed PDF of an issued version as an Encapsulated PDF (PS3.3 A.45.1); its bytes are not touched."""
    series_uid, instance_uid = new_uid(), new_uid()
    modality, series_number, description = DOCUMENT_SERIES["encapsulated pdf"]
    at = report.signed_at.astimezone(ZoneInfo(report.timezone))
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = ENCAPSULATED_PDF, instance_uid
    ds.Modality, ds.SeriesInstanceUID = modality, series_uid
    ds.SeriesNumber, ds.SeriesDescription = series_number, description
    ds.Manufacturer, ds.ConversionType = MANUFACTURER, "WSD"
    ds.InstanceNumber = report.version
    ds.ContentDate, ds.ContentTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    ds.AcquisitionDateTime = _moment(report.observed_at.astimezone(at.tzinfo)) if report.observed_at else ""
    ds.BurnedInAnnotation = "YES"
    names = "、".join(dict.fromkeys(order.procedure_name for order in report.orders))
    withdrawn = "已撤回 " if report.status == "withdrawal" else ""
    ds.DocumentTitle = carried(withdrawn + names, 1024, paragraphs=True)
    ds.ConceptNameCodeSequence = [CodedConcept(*_TITLE)]
    ds.VerificationFlag = "VERIFIED"
    ds.SourceInstanceSequence = [_instance(seen) for seen in filing.seen]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(pdf)  # without the byte that makes the value even
    ds.EncapsulatedDocument = pdf
    _identity(ds, report, filing, at)
    return _object(ds, ENCAPSULATED_PDF, series_uid, instance_uid)


def _object(ds: Dataset, sop_class: str, series_uid: str, instance_uid: str) -> ReportObject:
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds, parent_encoding="utf-8")
    head = part10(sop_class=sop_class, sop_instance=instance_uid, transfer_syntax=EXPLICIT_LITTLE_ENDIAN)
    return ReportObject(head, out.getvalue(), sop_class, instance_uid, series_uid)


def _identity(ds: Dataset, report: SignedReport, filing: Filing, at: datetime) -> None:
    """Patient, General Study, equipment and SOP Common modules (PS3.3 C.7.1.1, C.7.2.1, C.7.5.1, C.12.1)."""
    ds.PatientName = as_name(filing.name)
    ds.PatientID = carried(filing.patient_id, 64)
    if issuer := carried(filing.issuer, 64):
        ds.IssuerOfPatientID = issuer
    ds.PatientBirthDate = as_day(filing.birth_date)
    ds.PatientSex = filing.sex if filing.sex in ("M", "F", "O") else ""
    ds.StudyInstanceUID = filing.study_instance_uid
    ds.StudyDate = as_day(filing.study_date)
    ds.StudyTime = as_time(filing.study_time)
    ds.StudyID = ""
    ds.AccessionNumber = carried(filing.accession_number, 16)
    if description := carried(filing.description, 64):
        ds.StudyDescription = description
    doctor = next((order.ordering_doctor for order in report.orders if order.ordering_doctor), "")
    ds.ReferringPhysicianName = as_person(doctor)
    ds.InstitutionName = carried(report.head.institution_name, 64)
    ds.InstitutionalDepartmentName = carried(report.center_name, 64)
    ds.ManufacturerModelName = MANUFACTURER
    ds.TimezoneOffsetFromUTC = at.strftime("%z")
    ds.InstanceCreationDate, ds.InstanceCreationTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S")


def _verifier(report: SignedReport, at: datetime) -> Dataset:
    """Verifying Observer Sequence (PS3.3 C.17.2)."""
    item = Dataset()
    item.VerifyingObserverName = as_person(report.signer_name) or report.signer
    item.VerifyingObserverIdentificationCodeSequence = []
    item.VerifyingOrganization = _organization(report)
    item.VerificationDateTime = _moment(at)
    return item


def _author(report: SignedReport) -> Dataset:
    """Author Observer Sequence with the Identified Person or Device macro (PS3.3 C.17.2, table C.17-3b)."""
    item = Dataset()
    item.ObserverType = "PSN"
    item.PersonName = as_person(report.writer_name) or report.writer
    item.PersonIdentificationCodeSequence = []
    item.InstitutionName = _organization(report)
    item.InstitutionCodeSequence = []
    return item


def _organization(report: SignedReport) -> str:
    return carried(report.head.institution_name or report.center_name, 64)


def _request(order: CoveredOrder) -> Dataset:
    """Referenced Request Sequence (PS3.3 C.17.2): which order this answers."""
    item = Dataset()
    item.AccessionNumber = carried(order.accession_number, 16)
    item.ReferencedStudySequence = []
    item.StudyInstanceUID = order.study_instance_uid
    item.RequestedProcedureDescription = carried(order.procedure_name, 64)
    item.RequestedProcedureCodeSequence = []
    if (code := carried(order.procedure_code, 16)) and item.RequestedProcedureDescription:
        item.RequestedProcedureCodeSequence = [CodedConcept(code, _OUR_CODES, item.RequestedProcedureDescription)]
    item.RequestedProcedureID = carried(order.accession_number, 16)
    item.PlacerOrderNumberImagingServiceRequest = carried(order.placer_number, 64)
    item.FillerOrderNumberImagingServiceRequest = carried(order.accession_number, 64)
    return item


def _references(seen: Iterable[SeenInstance]) -> list[Dataset]:
    """Hierarchical SOP Instance Reference macro (PS3.3 table C.17-3): study, series, instances."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for one in seen:
        studies.setdefault(one.study_instance_uid, {}).setdefault(one.series_instance_uid, []).append(_instance(one))
    found = []
    for study_uid, in_study in studies.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = []
        for series_uid, instances in in_study.items():
            series = Dataset()
            series.SeriesInstanceUID = series_uid
            series.ReferencedSOPSequence = instances
            study.ReferencedSeriesSequence.append(series)
        found.append(study)
    return found


def _instance(seen: SeenInstance) -> Dataset:
    """SOP Instance Reference macro (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = seen.sop_class_uid, seen.sop_instance_uid
    return item


def _stubs(filing: Filing) -> list[Dataset]:
    """What highdicom must know of the evidence: the UIDs. Patient and study come from `_identity`."""
    stubs = []
    for seen in filing.seen:
        stub = Dataset()
        stub.StudyInstanceUID, stub.SeriesInstanceUID = seen.study_instance_uid, seen.series_instance_uid
        stub.SOPClassUID, stub.SOPInstanceUID = seen.sop_class_uid, seen.sop_instance_uid
        stubs.append(stub)
    first = stubs[0]
    first.PatientID = first.PatientName = first.PatientBirthDate = first.PatientSex = ""
    first.AccessionNumber = first.StudyID = ""
    first.StudyDate = first.StudyTime = None
    return stubs


def _tree(report: SignedReport, filing: Filing) -> ContainerContentItem:
    """The content tree: language, the writer, and a container for each part (PS3.16 TID 2000, 1204, 1002; of an ECG
    TID 3700)."""
    is_ecg = report.modality == "ECG"
    root = ContainerContentItem(name=CodedConcept(*(_ECG_TITLE if is_ecg else _TITLE)), is_content_continuous=False)
    language = CodedConcept("zh-CN", "RFC5646", "Chinese (China)")
    items: list[ContentItem] = [
        CodeContentItem(
            name=CodedConcept("121049", "DCM", "Language of Content Item and Descendants"),
            value=language,
            relationship_type=_MODIFIER,
        ),
        CodeContentItem(
            name=CodedConcept("121005", "DCM", "Observer Type"),
            value=CodedConcept("121006", "DCM", "Person"),
            relationship_type=_CONTEXT,
        ),
    ]
    if writer := as_person(report.writer_name) or report.writer:
        named = PnameContentItem(
            name=CodedConcept("121008", "DCM", "Person Observer Name"), value="", relationship_type=_CONTEXT
        )
        named["PersonName"].value = writer  # the library would warn of every name without a given part
        items.append(named)
    if report.reason:
        items.append(_text(("REASON", _OUR_CODES, "Reason for this version"), report.reason))
    for mark in dict.fromkeys(mark for order in report.orders for mark in order.marks):
        items.append(_text(("HR", _OUR_CODES, "Mutual recognition mark"), mark))
    if is_ecg:
        items.extend(ecg_reports.numbers(report))
    headings = ecg_reports.HEADINGS if is_ecg else _HEADINGS
    spoken = (report.text.findings, report.text.impression, report.text.critical)
    for (heading, name), words in zip(
        (*headings, _MAJOR if report.tier == "major" else _CRITICAL), spoken, strict=True
    ):
        if _paragraphs(words):
            items.append(_container(heading, [_text(name, words)]))
    held = {seen.sop_instance_uid: seen for seen in filing.seen}
    pictures: list[ContentItem] = [
        ImageContentItem(
            name=CodedConcept("121080", "DCM", "Best illustration of finding"),
            referenced_sop_class_uid=held[uid].sop_class_uid,
            referenced_sop_instance_uid=uid,
            referenced_frame_numbers=frame if held[uid].frames > 1 else None,
            relationship_type=_CONTAINS,
        )
        for uid, frame in report.key_images
    ]
    if pictures:
        items.append(_container(("121180", "DCM", "Key Images"), pictures))
    root.ContentSequence = ContentSequence(items)
    return root


def _container(name: tuple[str, str, str], items: Sequence[ContentItem]) -> ContainerContentItem:
    made = ContainerContentItem(name=CodedConcept(*name), is_content_continuous=False, relationship_type=_CONTAINS)
    made.ContentSequence = ContentSequence(items)
    return made


def _text(name: tuple[str, str, str], words: str) -> TextContentItem:
    return TextContentItem(name=CodedConcept(*name), value=_paragraphs(words), relationship_type=_CONTAINS)


def _paragraphs(words: str) -> str:
    """Words as UT carries them: lines parted by CR LF, no other control characters (PS3.5 6.1.3)."""
    return "\r\n".join(_CONTROL.sub("", line).rstrip() for line in words.splitlines()).strip("\r\n")


def carried(text: str, longest: int, *, paragraphs: bool = False) -> str:
    """A text as LO or SH (PS3.5 6.2) carries it, or nothing: a backslash would begin another value.

    Names of places and things are cut to `longest` characters. ST (`paragraphs`) may hold a backslash.
    """
    text = " ".join(_CONTROL.sub(" ", text).split())
    return "" if "\\" in text and not paragraphs else text[:longest].rstrip()


def as_person(name: str) -> str:
    """A person of ours, whose name is one text, as PN."""
    return as_name(PersonName(alphabetic=name) if name.isascii() else PersonName(ideographic=name))


def as_name(name: PersonName) -> str:
    """PN (PS3.5 6.2.1.2): alphabetic and ideographic group. A name with a delimiter in it is left out."""
    groups = [" ".join(_CONTROL.sub(" ", group).split())[:64].rstrip() for group in (name.alphabetic, name.ideographic)]
    if any(mark in group for group in groups for mark in "\\=") or any(group.count("^") > 4 for group in groups):
        return ""
    return "=".join(groups) if groups[1] else groups[0]


def as_day(text: str) -> str:
    """DA, or nothing where it is none."""
    if not _DATE.fullmatch(text):
        return ""
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return ""
    return text


def as_time(text: str) -> str:
    """TM, or nothing where it is none."""
    return text if _TIME.fullmatch(text) else ""


def _moment(at: datetime) -> str:
    """DT with its offset (PS3.5 6.2)."""
    return at.strftime("%Y%m%d%H%M%S%z")
