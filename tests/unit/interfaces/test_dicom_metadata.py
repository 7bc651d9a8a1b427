"""DICOM JSON of stored objects, against pydicom's own, and against objects that are not what they say."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from interfaces.dicom.metadata import LARGEST_INLINE, Attributes, attributes, find_bulk, swapped
from worklist.errors import BadInput

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
SOUND = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "ExplVR_BigEnd.dcm",
    "JPEG2000.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtdose.dcm",
    "rtplan.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
]


def plain(said: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """A small object that says `said`."""
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = syntax
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID = SecondaryCaptureImageStorage
    said.file_meta.MediaStorageSOPInstanceUID = said.SOPInstanceUID = UID("1.2.3")
    out = io.BytesIO()
    dcmwrite(out, said, enforce_file_format=True)
    return out.getvalue()


def raw(*elements: tuple[int, bytes, bytes]) -> bytes:
    """A Part 10 file in Explicit VR Little Endian whose elements are just these bytes."""
    file = plain(Dataset())
    for tag, vr, value in elements:
        file += (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr
        file += len(value).to_bytes(2, "little") + value
    return file


def comparable(found: Any) -> Any:
    """Without what the two writers may put differently: bulk, padding, empty values, the character set's name."""
    if not isinstance(found, dict):
        return found
    kept = {}
    for tag, said in found.items():
        if "BulkDataURI" in said or "InlineBinary" in said or tag == "00080005":
            continue
        shown = comparable if said["vr"] == "SQ" else _value
        values = [shown(value) for value in said.get("Value", [])]
        kept[tag] = {"vr": said["vr"]} | ({"Value": values} if any(v not in ("", None, {}) for v in values) else {})
    return kept


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, dict):
        return {word: text.strip() for word, text in value.items() if text.strip()}
    return value


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.filterwarnings("ignore")  # pydicom on old samples' values
def test_says_what_pydicom_says(name: str) -> None:
    file = SAMPLES / name
    ours = attributes(file.read_bytes())
    said = dcmread(file)
    theirs = json.loads(said.to_json(bulk_data_threshold=LARGEST_INLINE, bulk_data_element_handler=lambda _: "x"))
    assert ours.pop("00083002") == {"vr": "UI", "Value": [said.file_meta.TransferSyntaxUID]}
    ours, theirs = comparable(ours), comparable(theirs)
    theirs = {tag: value for tag, value in theirs.items() if tag in ours or not _private_of_implicit(said, tag)}
    for tag, value in theirs.items():
        if not _private_of_implicit(said, tag) and "UN" not in (value["vr"], ours.get(tag, value)["vr"]):
            assert ours.get(tag) == value, tag


def _private_of_implicit(said: Dataset, tag: str) -> bool:
    """pydicom knows the VRs of some private elements that implicit objects do not state."""
    return (bool(int(tag[:4], 16) & 1) and bool(said.is_implicit_VR)) or tag[4:] == "0000"


def test_attributes_are_in_order_and_the_whole_is_json() -> None:
    for name in SOUND:
        found = attributes((SAMPLES / name).read_bytes())
        assert list(found) == sorted(found)
        json.dumps(found, allow_nan=False)


def test_pixels_and_large_values_are_addresses_and_lead_to_the_bytes() -> None:
    file = (SAMPLES / "examples_palette.dcm").read_bytes()
    said = dcmread(SAMPLES / "examples_palette.dcm")
    found = attributes(file)
    uid = said.SOPInstanceUID
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": f"instances/{uid}/frames"}
    large = [tag for tag, value in found.items() if "/bulkdata/" in value.get("BulkDataURI", "")]
    for tag in large:
        bulk = find_bulk(file, tag)
        data = b"".join(file[at : at + length] for at, length in bulk.fragments)
        assert data == said[int(tag, 16)].value
    assert b64decode(found["00281201"]["InlineBinary"]) == said.RedPaletteColorLookupTableData


def test_bulk_inside_sequences_has_a_path() -> None:
    file = (SAMPLES / "waveform_ecg.dcm").read_bytes()
    found = attributes(file)
    item = found["54000100"]["Value"][0]
    path = item["54001010"]["BulkDataURI"].split("/bulkdata/")[1]
    assert path == "54000100/1/54001010"
    said = dcmread(SAMPLES / "waveform_ecg.dcm")
    bulk = find_bulk(file, path)
    assert file[bulk.fragments[0][0] :][: bulk.fragments[0][1]] == said.WaveformSequence[0].WaveformData
    for wrong in ("54000100/9/54001010", "54001010", "", "7FE00010"):
        with pytest.raises(BadInput, match="no_such_bulk_data"):
            find_bulk(file, wrong)


def test_chinese_is_read_by_our_own_layer_and_the_set_is_unicode_now() -> None:
    said = Dataset()
    said.SpecificCharacterSet = ["", "ISO 2022 IR 58"]
    file = plain(said) + b"".join(
        (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr + bytes([len(v), 0]) + v
        for tag, vr, v in (
            (0x00100010, b"PN", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab "),
            (0x00204000, b"LT", b"a\\b\x1b$)A\xcd\xf5"),
        )
    )
    found = attributes(file)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]
    assert found["00204000"]["Value"] == ["a\\b王"]
    assert found["00080005"]["Value"] == ["ISO_IR 192"]


def test_what_the_device_really_sends_is_taken_instead_of_no_label() -> None:
    file = raw((0x00100010, b"PN", "王小东".encode("gb18030")))
    assert attributes(file, assumed_character_set="GB18030")["00100010"]["Value"] == [{"Alphabetic": "王小东"}]
    assert "\ufffd" in attributes(file)["00100010"]["Value"][0]["Alphabetic"]


@pytest.mark.parametrize(
    ("vr", "value", "wanted"),
    [
        (b"DS", b"1.5\\-2e3\\ 3 ", [1.5, -2000.0, 3.0]),
        (b"DS", b"1.5\\\\2 ", [1.5, None, 2.0]),
        (b"DS", b"abc ", None),
        (b"DS", b"nan ", None),
        (b"DS", b"1e999 ", None),
        (b"IS", b"7\\+12\\-3", [7, 12, -3]),
        (b"IS", b"3.0 ", [3]),
        (b"IS", b"3.5 ", None),
        (b"FD", b"\0\0\0\0\0\0\xf8\x7f", None),
        (b"US", b"\1\0\2", None),
        (b"US", b"\1\0\2\0", [1, 2]),
        (b"AT", b"\x10\0\x20\0", ["00100020"]),
        (b"AT", b"\x10\0\x20", None),
        (b"UI", b"1.2.3\0", ["1.2.3"]),
        (b"LO", b" a \\ b ", ["a", "b"]),
        (b"PN", b"A^B=\xff\\C ", [{"Alphabetic": "A^B", "Ideographic": "\ufffd"}, {"Alphabetic": "C"}]),
    ],
)
def test_a_value_that_is_not_what_its_vr_says_is_left_out_and_the_rest_stays(
    vr: bytes, value: bytes, wanted: list[Any] | None
) -> None:
    found = attributes(raw((0x00090010, b"LO", b"HUREN "), (0x00091001, vr, value), (0x00200013, b"IS", b"5 ")))
    assert found["00200013"] == {"vr": "IS", "Value": [5]}
    assert found.get("00091001") == ({"vr": vr.decode(), "Value": wanted} if wanted else None)


def test_private_elements_are_kept() -> None:
    found = attributes(raw((0x00090010, b"LO", b"HUREN "), (0x00091001, b"UL", b""), (0x00091002, b"LO", b"x ")))
    assert found["00090010"]["Value"] == ["HUREN"]
    assert found["00091001"] == {"vr": "UL"}
    assert found["00091002"]["Value"] == ["x"]


def test_signed_values_of_implicit_objects_are_signed() -> None:
    said = Dataset()
    said.PixelRepresentation = 1
    said.add(DataElement(0x00280106, "SS", -5))
    assert attributes(plain(said, syntax=ImplicitVRLittleEndian))["00280106"] == {"vr": "SS", "Value": [-5]}


def test_empty_sequences_and_items_stay() -> None:
    said = Dataset()
    said.ReferencedStudySequence = []
    said.RequestAttributesSequence = [Dataset(), Dataset()]
    found: Attributes = attributes(plain(said))
    assert found["00081110"] == {"vr": "SQ"}
    assert found["00400275"] == {"vr": "SQ", "Value": [{}, {}]}


def test_words_change_their_order() -> None:
    assert swapped(b"\1\2\3\4", 2) == b"\2\1\4\3"
    assert swapped(b"\1\2\3\4", 4) == b"\4\3\2\1"
    assert swapped(b"\1\2\3", 2) == b"\1\2\3"
