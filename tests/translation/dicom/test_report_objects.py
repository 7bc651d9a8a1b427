"""A signed report as Enhanced SR and Encapsulated PDF: what stands in them, and what dciodvfy says of it."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from interfaces.dicom.report_objects import ReportObject, write_encapsulated_pdf, write_structured_report
from worklist.facts import (
    CoveredOrder,
    Filing,
    Letterhead,
    Measurement,
    PatientFacts,
    PersonName,
    ReportText,
    SeenInstance,
    SignedReport,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
US = "1.2.840.10008.5.1.4.1.1.3.1"  # multi-frame
SIGNED = datetime(2026, 3, 2, 2, 30, 15, tzinfo=UTC)
PDF = b"%PDF-1.7 \xe4\xb8\xad odd"
TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
RARE = "䶮㛃镕堃"


def seen(study: str, series: str, number: int, sop_class: str = CT) -> SeenInstance:
    return SeenInstance(f"1.2.{study}", f"1.2.{study}.{series}", sop_class, f"1.2.{study}.{series}.{number}")


FILING = Filing(
    study_id="s1",
    study_instance_uid="1.2.5",
    study_date="20260302",
    study_time="093000",
    description="HEAD CT",
    accession_number="H260302000001",
    patient_id="10001",
    issuer="TS01",
    name=PersonName("王^小东", "Wang^XiaoDong"),
    sex="M",
    birth_date="19600102",
    seen=(seen("5", "1", 1), seen("5", "1", 2), replace(seen("5", "2", 1, US), frames=9), seen("6", "1", 1)),
)
REPORT = SignedReport(
    report_id="r1",
    version=1,
    status="final",
    center_name="县影像诊断中心",
    institution_code="TS01",
    institution_name="河西乡卫生院",
    patient=PatientFacts(name=PersonName("王小东")),
    patient_id="10001",
    patient_issuer="TS01",
    orders=(
        CoveredOrder("o1", "H260302000001", "P1", "HIS", "CT-HEAD", "头颅CT平扫", "李医生", study_instance_uid="1.2.5"),
        CoveredOrder("o2", "H260302000002", "P2", "HIS", "CT-CHEST", "胸部CT平扫", study_instance_uid="1.2.6"),
    ),
    text=ReportText(f"第一行 {RARE}\n第二行 <b>x</b>", "未见明显异常。", "脑出血"),
    writer="reader1",
    writer_name="陈医师",
    signer="senior1",
    signer_name="杨主任",
    signed_at=SIGNED,
    observed_at=datetime(2026, 3, 2, 1, 30, tzinfo=UTC),
    modality="CT",
    key_images=(("1.2.5.1.2", 1), ("1.2.5.2.1", 3)),
    verification_code="0123456789ABCDEF",
    head=Letterhead("ch01", "县人民医院", "County Hospital"),
)


ECG_FILING = replace(FILING, seen=(seen("5", "1", 1, TWELVE_LEAD), seen("5", "2", 1)))
ECG = replace(
    REPORT,
    modality="ECG",
    key_images=(),
    measurements=(
        Measurement("heart rate", 75, "/min", "device"),
        Measurement("QTc interval", 421, "ms", "reader", "Fridericia"),
        Measurement("T axis", -12, "deg", "device"),
    ),
)


def opened(made: ReportObject) -> Dataset:
    """Read back from Part 10 bytes, as any peer reads it."""
    ds = dcmread(io.BytesIO(made.head + made.dataset))
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == made.sop_instance_uid
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == made.sop_class_uid
    assert ds.SeriesInstanceUID == made.series_instance_uid
    return ds


def words(ds: Dataset) -> list[str]:
    """All TEXT values of the tree, in order."""
    found = [str(ds.TextValue)] if ds.get("ValueType") == "TEXT" else []
    return found + [text for item in ds.get("ContentSequence", []) for text in words(item)]


def complaints(made: ReportObject, folder: Path) -> list[str]:
    """What dciodvfy calls an error."""
    program = shutil.which("dciodvfy")
    assert program is not None, "dciodvfy (Debian package dicom3tools) is missing"
    path = folder / "object.dcm"
    path.write_bytes(made.head + made.dataset)
    ran = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (ran.stdout + ran.stderr).splitlines()
    assert any(line in ("EnhancedSR", "EncapsulatedPDF") for line in lines), lines
    return [line for line in lines if line.startswith("Error")]


def test_the_structured_report_says_who_verified_what_of_whom() -> None:
    ds = opened(write_structured_report(REPORT, FILING))
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert (ds.Modality, ds.SeriesNumber, ds.InstanceNumber) == ("SR", 9001, 1)
    assert str(ds.PatientName) == "Wang^XiaoDong=王^小东"
    assert (ds.PatientID, ds.IssuerOfPatientID, ds.PatientBirthDate, ds.PatientSex) == (
        "10001",
        "TS01",
        "19600102",
        "M",
    )
    assert (ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime) == ("1.2.5", "20260302", "093000")
    assert ds.AccessionNumber == "H260302000001"
    assert (ds.CompletionFlag, ds.VerificationFlag, ds.PreliminaryFlag) == ("COMPLETE", "VERIFIED", "FINAL")
    (verifier,) = ds.VerifyingObserverSequence
    assert str(verifier.VerifyingObserverName) == "=杨主任"
    assert verifier.VerifyingOrganization == "县人民医院"
    assert verifier.VerificationDateTime == "20260302103015+0800"
    (author,) = ds.AuthorObserverSequence
    assert (str(author.PersonName), author.ObserverType) == ("=陈医师", "PSN")
    assert (ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("20260302", "103015", "+0800")
    assert "PredecessorDocumentsSequence" not in ds


def test_its_words_are_whole_and_its_evidence_is_what_was_seen() -> None:
    ds = opened(write_structured_report(REPORT, FILING))
    assert words(ds) == [f"第一行 {RARE}\r\n第二行 <b>x</b>", "未见明显异常。", "脑出血"]
    listed = {
        (study.StudyInstanceUID, series.SeriesInstanceUID, sop.ReferencedSOPInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    }
    assert listed == {(s.study_instance_uid, s.series_instance_uid, s.sop_instance_uid) for s in FILING.seen}
    pictures = ds.ContentSequence[-1]
    assert pictures.ConceptNameCodeSequence[0].CodeMeaning == "Key Images"
    chosen = [item.ReferencedSOPSequence[0] for item in pictures.ContentSequence]
    assert [(c.ReferencedSOPInstanceUID, c.get("ReferencedFrameNumber")) for c in chosen] == [
        ("1.2.5.1.2", None),
        ("1.2.5.2.1", 3),
    ]
    first, second = ds.ReferencedRequestSequence
    assert (first.AccessionNumber, first.PlacerOrderNumberImagingServiceRequest) == ("H260302000001", "P1")
    assert (second.AccessionNumber, second.StudyInstanceUID) == ("H260302000002", "1.2.6")
    assert first.RequestedProcedureCodeSequence[0].CodeValue == "CT-HEAD"


def test_a_correction_names_the_report_that_it_replaces() -> None:
    before = SeenInstance("1.2.5", "1.2.5.9001", "1.2.840.10008.5.1.4.1.1.88.22", "1.2.5.9001.1")
    report = replace(REPORT, version=2, status="corrected", reason="左右写反")
    ds = opened(write_structured_report(report, replace(FILING, predecessor=before)))
    (study,) = ds.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.5.9001.1"
    assert words(ds)[0] == "左右写反"
    assert ds.InstanceNumber == 2


@pytest.mark.parametrize("pdf", [PDF, PDF + b"x"])
def test_the_pdf_is_wrapped_byte_for_byte(pdf: bytes) -> None:
    ds = opened(write_encapsulated_pdf(REPORT, FILING, pdf))
    assert ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength] == pdf
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert (ds.MIMETypeOfEncapsulatedDocument, ds.BurnedInAnnotation, ds.Modality) == ("application/pdf", "YES", "DOC")
    assert ds.DocumentTitle == "头颅CT平扫、胸部CT平扫"
    assert ds.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert [s.ReferencedSOPInstanceUID for s in ds.SourceInstanceSequence] == [s.sop_instance_uid for s in FILING.seen]
    assert (ds.AcquisitionDateTime, ds.SpecificCharacterSet) == ("20260302093000+0800", "ISO_IR 192")


def test_a_withdrawal_says_so_in_its_title() -> None:
    ds = opened(write_encapsulated_pdf(replace(REPORT, status="withdrawal", reason="患者有误"), FILING, PDF))
    assert ds.DocumentTitle.startswith("已撤回 ")


HOSTILE = "O'Brien\\^=\x07<script>" + "长" * 300


@pytest.mark.parametrize(
    ("report", "filing"),
    [
        pytest.param(REPORT, FILING, id="a final report"),
        pytest.param(
            replace(REPORT, version=2, status="corrected", reason="左右写反"),
            replace(FILING, predecessor=seen("5", "9", 1, "1.2.840.10008.5.1.4.1.1.88.22")),
            id="a correction",
        ),
        pytest.param(replace(REPORT, observed_at=None, key_images=()), FILING, id="no time of acquisition"),
        pytest.param(
            replace(REPORT, writer_name=HOSTILE, center_name=HOSTILE, text=ReportText(HOSTILE, HOSTILE, "")),
            replace(FILING, name=PersonName(HOSTILE, HOSTILE), description=HOSTILE, study_date="2026", study_time="x"),
            id="hostile text",
        ),
        pytest.param(
            replace(REPORT, orders=(replace(REPORT.orders[0], procedure_name=HOSTILE, procedure_code=HOSTILE),)),
            replace(FILING, sex="X", birth_date="196001", name=PersonName(), patient_id=HOSTILE),
            id="hostile order, poor identity",
        ),
        pytest.param(ECG, ECG_FILING, id="ECG"),
        pytest.param(replace(ECG, measurements=(), observed_at=None), ECG_FILING, id="ECG without numbers"),
    ],
)
def test_dciodvfy_finds_no_error(report: SignedReport, filing: Filing, tmp_path: Path) -> None:
    assert complaints(write_structured_report(report, filing), tmp_path) == []
    assert complaints(write_encapsulated_pdf(report, filing, PDF), tmp_path) == []


def item(ds: Dataset, *codes: str) -> Dataset:
    """The item at the end of a way of concept codes."""
    for code in codes:
        ds = next(one for one in ds.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == code)
    return ds


def test_an_ecg_has_its_numbers_and_its_recordings() -> None:
    ds = opened(write_structured_report(ECG, ECG_FILING))
    assert ds.ConceptNameCodeSequence[0].CodeValue == "28010-7"
    recorded = item(ds, "55111-9")
    assert item(recorded, "122146").DateTime == "20260302013000+0000"
    waves = [one for one in recorded.ContentSequence if one.ValueType == "WAVEFORM"]
    assert [w.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for w in waves] == ["1.2.5.1.1"]
    numbers = item(ds, "122144", "122158").ContentSequence
    said = [
        (
            one.ConceptNameCodeSequence[0].CodeValue,
            int(one.MeasuredValueSequence[0].NumericValue),
            one.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
            item(one, "370129005").ConceptCodeSequence[0].CodeValue,
        )
        for one in numbers
    ]
    assert said == [
        ("2:16016", 75, "/min", "DEVICE"),
        ("2:15876", 421, "ms", "READER"),
        ("2:16136", -12, "deg", "DEVICE"),
    ]
    assert item(numbers[1], "111001").ConceptCodeSequence[0].CodeValue == "122732"
    assert item(ds, "122145", "271921002").TextValue.startswith("第一行")
    assert item(ds, "55112-7", "55112-7").TextValue == "未见明显异常。"
    assert item(ds, "CRITICAL", "CRITICAL").TextValue == "脑出血"


def test_a_large_study_is_no_burden() -> None:
    many = tuple(seen("5", "1", n) for n in range(1500))
    filing = replace(FILING, seen=many)
    made = write_structured_report(replace(REPORT, key_images=()), filing)
    assert (
        len(opened(made).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence)
        == 1500
    )
