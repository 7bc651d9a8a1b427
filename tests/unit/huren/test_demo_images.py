"""What the demo's modalities make of a worklist line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage
from pynetdicom.dsutils import decode, encode

from huren.demo import hearts, images, phantoms
from interfaces.dicom.objects import read_object
from interfaces.dicom.worklist import asked_keys, write_worklist_item
from interfaces.ecg.recording import TWELVE
from interfaces.ecg.waveforms import read
from worklist.facts import ObjectFacts, PatientFacts, PersonName, WorklistItem

AT = datetime(2026, 3, 1, 17, 30, tzinfo=UTC)  # the second of March in China
NAME = PersonName("王小东", "Wang^XiaoDong")
ITEM = WorklistItem(
    order_id="1",
    accession_number="H260302000001",
    requested_procedure_id="H260302000001",
    scheduled_step_id="H260302000001",
    study_instance_uid="2.25.123456",
    patient=PatientFacts(name=NAME, sex="M", birth_date="19600102"),
    patient_id="1234567890",
    issuer="TS01",
    modality="CT",
    station_ae="TS01CT",
    scheduled_date="20260302",
    scheduled_time="013000",
    procedure_code="CTHEAD",
    procedure_name="头颅CT平扫",
    priority="STAT",
    ordering_doctor="叶长青",
)


def on_the_wire(ds: Dataset) -> bytes:
    """As C-STORE or C-FIND carries it."""
    syntax = ds.file_meta.TransferSyntaxUID if hasattr(ds, "file_meta") else None
    data = encode(ds, syntax.is_implicit_VR if syntax else False, syntax.is_little_endian if syntax else True)
    assert data is not None
    return data


def picked(character_set: str = "GB18030") -> images.Picked:
    """A worklist line as a modality gets it: bytes, not yet converted."""
    keys = Dataset()
    for keyword in ("PatientName", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"):
        setattr(keys, keyword, "")
    step = Dataset()
    step.ScheduledProcedureStepDescription = ""
    keys.ScheduledProcedureStepSequence = [step]
    answer, _trouble = write_worklist_item(
        ITEM, asked_keys(keys), character_set=character_set, transfer_syntax=ExplicitVRLittleEndian
    )
    return images.picked_from(decode(BytesIO(answer), False, True), AT)


def facts(ds: Dataset) -> ObjectFacts:
    """What Huren reads in an image."""
    return read_object(on_the_wire(ds), ds.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("character_set", ["GB18030", "UTF-8", "ISO 2022 IR 58"])
def test_the_identity_of_the_worklist_reaches_the_images_in_the_devices_character_set(character_set: str) -> None:
    found = facts(next(images.ct_head(picked(character_set), bleed=False, count=1)))

    assert found.patient_name == NAME
    assert (found.patient_id, found.issuer, found.sex, found.birth_date) == ("1234567890", "TS01", "M", "19600102")
    assert (found.accession_number, found.study_instance_uid) == ("H260302000001", "2.25.123456")
    assert found.study_description == "头颅CT平扫"
    (request,) = found.requests
    assert (request.accession_number, request.scheduled_step_id) == ("H260302000001", "H260302000001")
    assert (found.study_date, found.study_time, found.timezone_offset) == ("20260302", "013000", "+0800")


def test_a_ct_is_one_series_of_different_slices_that_touch() -> None:
    slices = list(images.ct_head(picked(), bleed=True, count=6))

    assert len({ds.SOPInstanceUID for ds in slices}) == 6
    assert len({ds.SeriesInstanceUID for ds in slices}) == len({ds.FrameOfReferenceUID for ds in slices}) == 1
    assert [ds.InstanceNumber for ds in slices] == [1, 2, 3, 4, 5, 6]
    heights = [float(ds.ImagePositionPatient[2]) for ds in slices]
    assert np.allclose(np.diff(heights), float(slices[0].SliceThickness))
    assert len({ds.PixelData for ds in slices}) == 6
    assert all(len(ds.PixelData) == 512 * 512 * 2 for ds in slices)


def test_the_full_ct_has_200_slices() -> None:
    assert sum(1 for _ in phantoms.head_slices(images.THIN_SLICES, bleed=False, seed=1)) == 200


def test_blood_is_where_the_report_says() -> None:
    plain, bleeding = (
        {round(z): units for z, units in phantoms.head_slices(30, bleed=bleed, seed=1)} for bleed in (False, True)
    )
    # 20 mm above the middle and 32 mm to the patient's left, which is the right of the picture.
    row, column = 256, 256 + round(32 / phantoms.HEAD_PIXEL)
    spot = (slice(row - 5, row + 5), slice(column - 5, column + 5))
    assert 60 < bleeding[20][spot].mean() < 76
    assert plain[20][spot].mean() < 45


def test_a_chest_is_two_views_for_presentation() -> None:
    front, side = images.chest_dr(picked())

    assert (front.ViewPosition, side.ViewPosition) == ("PA", "LL")
    assert front.StudyInstanceUID == side.StudyInstanceUID
    for view in (front, side):
        assert facts(view).modality == "DX"
        pixels = np.frombuffer(view.PixelData, "<u2").reshape(view.Rows, view.Columns)
        assert pixels.max() <= 4095
        assert pixels.std() > 300


@pytest.mark.parametrize(
    ("make", "syntaxes"),
    [
        (images.heart_us, ["1.2.840.10008.1.2.4.50"]),
        (images.node_us, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"]),
        (images.abdomen_mr, ["1.2.840.10008.1.2.1"]),
    ],
)
def test_a_file_of_the_wheel_keeps_its_pixels_and_nothing_of_its_identity(
    make: images.Images, syntaxes: list[str]
) -> None:
    made = list(make(picked()))

    assert [ds.file_meta.TransferSyntaxUID for ds in made] == syntaxes
    for ds in made:
        found = facts(ds)
        assert found.patient_name == NAME
        assert found.study_instance_uid == "2.25.123456"
        assert found.sop_instance_uid.startswith("2.25.")
        assert found.study_date == "20260302"
        assert ds.PixelData
        kept = {element.keyword for element in everything(ds)}
        assert not kept & {"InstitutionName", "InstitutionAddress", "PatientAddress", "OperatorsName", "StationName"}
        assert not any(element.tag.is_private for element in everything(ds))


def everything(ds: Dataset) -> Iterator[DataElement]:
    """All elements, nested ones too."""
    for element in ds:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from everything(item)


def test_a_typed_in_identity_names_no_order() -> None:
    typed = images.typed_in(PersonName("李四", "Li^Si"), "99", "F", "19700101", "ISO 2022 IR 58", AT)
    found = facts(next(images.node_us(typed)))

    assert found.patient_name == PersonName("李四", "Li^Si")
    assert (found.patient_id, found.issuer, found.accession_number, found.requests) == ("99", "", "", ())


@pytest.mark.parametrize("heart", [hearts.SINUS, hearts.FIBRILLATING, hearts.INFARCT])
@pytest.mark.parametrize("character_set", ["GB18030", "UTF-8"])
def test_an_ecg_is_read_again_as_it_was_made(heart: hearts.Heart, character_set: str) -> None:
    (ds,) = images.ecg(picked(character_set), heart)
    found = facts(ds)
    assert (found.modality, found.patient_name, found.accession_number) == ("ECG", NAME, "H260302000001")
    assert found.sop_class_uid == TwelveLeadECGWaveformStorage

    again = read(decode(BytesIO(on_the_wire(ds)), False, True))
    assert again.rhythm.names == TWELVE
    assert (again.rhythm.rate, again.rhythm.seconds) == (500, 10)
    assert again.statements == heart.statements
    assert again.beat is not None
    assert again.measurements["heart rate"] == pytest.approx(heart.rate, rel=0.08)
    assert ("PR interval" in again.measurements) == heart.is_sinus
    assert 360 < again.measurements["QTc interval"] < 450


def test_an_infarct_lifts_the_inferior_leads_by_more_than_a_millimetre() -> None:
    (ds,) = images.ecg(picked(), hearts.INFARCT)
    beat = read(decode(BytesIO(on_the_wire(ds)), False, True)).beat
    assert beat is not None
    height = {lead.name: lead.microvolts()[round(0.5 * 500)] for lead in beat.leads}  # 100 ms after the R
    assert all(height[name] > 150 for name in ("II", "III", "aVF"))
    assert all(height[name] < -50 for name in ("I", "aVL", "V2"))
