"""Another identity on leaving: only the patient group changes, byte for byte, in every encoding."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from interfaces.dicom.coercion import Identity, coerced, size_of
from interfaces.dicom.metadata import OTHER_IDENTITY, attributes
from interfaces.dicom.objects import open_part10
from worklist.errors import BadInput
from worklist.facts import PersonName

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
WANG = Identity("01hx", "HUREN", PersonName("王^小东", "Wang^XiaoDong"), "M", "19600102", corrected=True)
SCOPED = Identity("P1", "TS01", PersonName("李", "Li"), "F", "19700101", corrected=False)
PATIENT = {"00100010", "00100020", "00100021", "00100024", "00100030", "00100040"}


def whole(file: bytes, identity: Identity) -> bytes:
    """The coerced file, its pieces put together."""
    pieces = coerced(file, identity)
    made = b"".join(piece if isinstance(piece, bytes) else file[piece[0] : sum(piece)] for piece in pieces)
    assert size_of(pieces) == len(made)
    return made


def readable() -> list[Path]:
    """The sample files that say what they are."""
    found = []
    for path in sorted(SAMPLES.glob("*.dcm")):
        try:
            attributes(path.read_bytes())
        except BadInput:
            continue
        found.append(path)
    return found


def patient(syntax: UID = ExplicitVRLittleEndian, sets: str | list[str] = "ISO_IR 192", **tags: object) -> bytes:
    """A small object with a patient."""
    said = Dataset()
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = syntax
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID = SecondaryCaptureImageStorage
    said.file_meta.MediaStorageSOPInstanceUID = said.SOPInstanceUID = UID("1.2.3")
    if sets:
        said.SpecificCharacterSet = sets
    said.PatientName, said.PatientID, said.PatientSex = "Zhang^San", "77", "F"
    said.OtherPatientIDs, said.PatientAge = "4711", "030Y"
    said.StudyID = "9"
    for word, value in tags.items():
        setattr(said, word, value)
    out = io.BytesIO()
    dcmwrite(out, said, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("identity", [WANG, SCOPED], ids=["corrected", "scoped"])
@pytest.mark.parametrize("path", readable(), ids=lambda p: p.name)
def test_only_the_patient_changes(path: Path, identity: Identity) -> None:
    file = path.read_bytes()
    before, made = attributes(file), whole(file, identity)
    after = attributes(made)
    changed = {tag for tag in before | after if before.get(tag) != after.get(tag)}
    assert changed <= PATIENT | (OTHER_IDENTITY if identity.corrected else set())
    assert after["00100020"]["Value"] == [identity.patient_id]
    assert after["00100021"]["Value"] == [identity.issuer]
    assert open_part10(made)[0] == open_part10(file)[0]
    if identity.corrected:
        assert after["00100040"]["Value"] == ["M"]
        assert not OTHER_IDENTITY & set(after)
    else:
        assert after.get("00100010") == before.get("00100010")
    if "00080005" not in before and not open_part10(file)[0].endswith(".99"):
        # what follows the patient group is the stored file's own, to the last byte
        assert made.endswith(file[-40:])


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_pydicom_reads_what_leaves(syntax: UID) -> None:
    said = dcmread(io.BytesIO(whole(patient(syntax), WANG)))
    assert said.file_meta.TransferSyntaxUID == syntax
    assert (said.PatientID, said.IssuerOfPatientID, said.PatientSex, said.PatientBirthDate) == (
        "01hx",
        "HUREN",
        "M",
        "19600102",
    )
    assert str(said.PatientName) == "Wang^XiaoDong=王^小东"
    assert said.StudyID == "9"
    assert not {"OtherPatientIDs", "PatientAge"} & set(said.dir())
    assert dcmread(io.BytesIO(whole(patient(syntax), SCOPED))).PatientAge == "030Y"


def test_a_number_in_a_wrong_place_does_not_leave() -> None:
    """Readers take the last of two numbers, and elements out of order are read by all of them."""
    file = patient() + b"\x10\x00\x20\x00LO\x02\x0078" + b"\x20\x00\x11\x00IS\x02\x0012"
    assert dcmread(io.BytesIO(file)).PatientID == "78"
    made = whole(file, SCOPED)
    said = dcmread(io.BytesIO(made))
    assert (said.PatientID, said.StudyID, said.SeriesNumber) == ("P1", "9", 12)
    assert b"78" not in made


@pytest.mark.parametrize(
    ("sets", "name", "wanted"),
    [
        ("ISO_IR 192", PersonName("王^小东", "Wang"), {"Alphabetic": "Wang", "Ideographic": "王^小东"}),
        ("GB18030", PersonName("𠮷", "Ji"), {"Alphabetic": "Ji", "Ideographic": "𠮷"}),
        (["", "ISO 2022 IR 58"], PersonName("王^小东", "Wang"), {"Alphabetic": "Wang", "Ideographic": "王^小东"}),
        (["", "ISO 2022 IR 58"], PersonName("𠮷", "Ji"), {"Alphabetic": "Ji"}),
        ("ISO_IR 100", PersonName("王^小东", "Wang"), {"Alphabetic": "Wang"}),
        ("", PersonName("王^小东", "Wang"), {"Alphabetic": "Wang"}),
        ("ISO_IR 144", PersonName("王^小东", ""), None),
        ("ISO_IR 192", PersonName("王=小", "Wang"), None),
    ],
)
def test_a_name_is_written_as_far_as_the_objects_own_character_set_goes(
    sets: str | list[str], name: PersonName, wanted: dict[str, str] | None
) -> None:
    identity = Identity("1", "HUREN", name, "M", "", corrected=True)
    found = attributes(whole(patient(sets=sets), identity))
    assert found["00100010"].get("Value") == ([wanted] if wanted else None)


def test_an_identifier_that_cannot_be_written_is_refused_and_not_changed() -> None:
    identity = Identity("患者1", "TS01", PersonName(), "", "", corrected=False)
    with pytest.raises(BadInput, match="unencodable_text"):
        coerced(patient(sets="ISO_IR 100"), identity)


def test_the_issuer_that_was_goes_with_its_qualifiers() -> None:
    item = Dataset()
    item.UniversalEntityID = "other"
    file = patient(IssuerOfPatientID="OTHER", IssuerOfPatientIDQualifiersSequence=[item])
    found = attributes(whole(file, SCOPED))
    assert found["00100021"]["Value"] == ["TS01"]
    assert "00100024" not in found
    nobody = Identity("", "", PersonName(), "", "", corrected=False)
    assert "00100021" not in attributes(whole(file, nobody))


def test_a_large_object_is_passed_on_in_pieces() -> None:
    file = patient(PixelData=bytes(1 << 20), BitsAllocated=8, Rows=1024, Columns=1024)
    pieces = coerced(file, WANG)
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 400
