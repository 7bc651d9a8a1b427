"""C-STORE data sets to facts, and hostile ones to one kind of error."""

from __future__ import annotations

import io
import time
import zlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from interfaces.dicom import elements
from interfaces.dicom.elements import MAX_DEPTH
from interfaces.dicom.objects import open_part10, part10, read_object
from interfaces.dicom.uids import IMPLEMENTATION_CLASS_UID
from tests.translation.dicom.samples import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    WHEEL,
    element,
    header,
    sequence,
)
from worklist.errors import BadInput
from worklist.facts import PersonName, RequestReference

ALL = [IMPLICIT, EXPLICIT, BIG_ENDIAN]


@pytest.mark.parametrize("syntax", ALL)
def test_the_header_is_read_in_every_encoding(syntax: str) -> None:
    order: Literal["big", "little"] = "big" if syntax == BIG_ENDIAN else "little"
    data = header(
        syntax,
        extra=(
            (0x00081030, "LO", "胸部平扫".encode()),
            (0x00200011, "IS", b"3"),
            (0x00200013, "IS", b" 17 "),
            (0x00280008, "IS", b"2"),
            (0x00280010, "US", (512).to_bytes(2, order)),
            (0x00280011, "US", (256).to_bytes(2, order)),
        ),
    ) + element(0x7FE00010, "OW", bytes(64), syntax)
    facts = read_object(data, syntax)
    assert facts.sop_instance_uid == "1.2.3.4.5"
    assert facts.series_instance_uid == "1.2.3.4"
    assert facts.study_instance_uid == "1.2.3"
    assert facts.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert facts.transfer_syntax_uid == syntax
    assert facts.patient_name == PersonName("王^小东", "Wang^XiaoDong")
    assert (facts.patient_id, facts.issuer, facts.accession_number) == ("P1", "", "A1")
    assert (facts.study_date, facts.study_time, facts.modality) == ("20261122", "081500", "CT")
    assert facts.study_description == "胸部平扫"
    assert (facts.series_number, facts.instance_number) == (3, 17)
    assert (facts.rows, facts.columns, facts.frames) == (512, 256, 2)
    assert facts.character_set == ("ISO_IR 192",)


def test_a_deflated_data_set_is_read() -> None:
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(header()) + deflater.flush()
    assert read_object(data, DEFLATED).sop_instance_uid == "1.2.3.4.5"


def test_missing_stays_missing() -> None:
    without = (0x00080005, 0x00080020, 0x00080050, 0x00080060, 0x00100010, 0x00100020)
    facts = read_object(header(without=without), EXPLICIT)
    assert facts.patient_name == PersonName()
    assert (facts.patient_id, facts.sex, facts.study_date, facts.modality) == ("", "", "", "")
    assert (facts.rows, facts.series_number, facts.frames, facts.character_set) == (None, None, 1, ())


def test_mislabelled_names_are_read_as_the_device_is_set() -> None:
    data = header(character_set=b"ISO_IR 100", name="王小东".encode("gb18030"))
    facts = read_object(data, EXPLICIT, assumed_character_set="GB18030")
    assert facts.patient_name == PersonName("王小东")
    assert facts.character_set == ("ISO_IR 100",)


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", ALL)
def test_request_attributes_name_the_orders(syntax: str, undefined: bool) -> None:
    first = element(0x00080050, "SH", b"A1", syntax) + element(0x0020000D, "UI", b"1.2.3", syntax)
    second = element(0x00400009, "SH", b"S2", syntax) + element(0x00401001, "SH", b"R2", syntax)
    requests = sequence(0x00400275, first, second, b"", syntax=syntax, undefined=undefined)
    facts = read_object(header(syntax) + requests, syntax)
    assert facts.requests == (RequestReference("A1", "1.2.3"), RequestReference("", "", "R2", "S2"))
    assert facts.accession_number == "A1"


def test_uids_inside_sequences_are_not_the_object_s() -> None:
    other = element(0x00080018, "UI", b"9.9") + element(0x0020000D, "UI", b"9.9")
    data = header(without=(0x0020000D,)) + sequence(0x00400275, other)
    with pytest.raises(BadInput) as refused:
        read_object(data, EXPLICIT)
    assert (refused.value.code, refused.value.params["tag"]) == ("missing_uid", "0020000D")


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E])
@pytest.mark.parametrize("bad", [b"", b"../../etc/x", b"1.02", b"1." + b"2" * 70])
def test_objects_without_their_uids_are_refused(tag: int, bad: bytes) -> None:
    data = header(without=(tag,), extra=((0x00080001, "UI", b""),))
    with pytest.raises(BadInput, match="missing_uid"):
        read_object(data, EXPLICIT)
    with pytest.raises(BadInput, match="_uid") as refused:
        read_object(header(without=(tag,), extra=((tag | 0x10000000, "UI", b""),)) + element(tag, "UI", bad), EXPLICIT)
    assert refused.value.params["tag"] == f"{tag:08X}"


@pytest.mark.parametrize("tag", [0x00080018, 0x0020000D, 0x00100020])
def test_an_object_with_two_identities_is_refused(tag: int) -> None:
    same = header() + element(tag, "UI", b"1.9\0") + element(tag, "UI", b"1.9\0")
    with pytest.raises(BadInput, match="said_twice") as refused:
        read_object(same, EXPLICIT)
    assert refused.value.params["tag"] == f"{tag:08X}"
    once = header(without=(tag,)) + element(tag, "UI", b"1.9\0")
    assert read_object(once + element(tag, "UI", b"1.9\0"), EXPLICIT) == read_object(once, EXPLICIT)


def nested(levels: int, undefined: bool) -> bytes:
    inner = b""
    for _ in range(levels):
        inner = sequence(0x0040A730, inner, undefined=undefined)
    return inner


@pytest.mark.parametrize("undefined", [True, False])
def test_nesting_has_an_end(undefined: bool) -> None:
    assert read_object(header() + nested(MAX_DEPTH, undefined), EXPLICIT).sop_instance_uid == "1.2.3.4.5"
    for levels in (MAX_DEPTH + 1, 200, 2000):
        with pytest.raises(BadInput, match="nested_too_deep"):
            read_object(header() + nested(levels, undefined), EXPLICIT)


def test_nesting_behind_the_pixel_data_and_inside_un_is_seen() -> None:
    pixels = element(0x7FE00010, "OW", bytes(8))
    with pytest.raises(BadInput, match="nested_too_deep"):
        read_object(header() + pixels + sequence(0xFFFAFFFA, nested(40, undefined=True)), EXPLICIT)
    inner = b""
    for _ in range(40):
        inner = sequence(0x0040A730, inner, syntax=IMPLICIT)
    with pytest.raises(BadInput, match="nested_too_deep"):
        read_object(header() + element(0x0040A730, "UN", inner[8:]), EXPLICIT)


def test_a_deflate_bomb_does_not_go_off() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    bomb = deflater.compress(header() + element(0x7FE00010, "OB", bytes(200_000_000))) + deflater.flush()
    started = time.monotonic()
    with pytest.raises(BadInput, match="inflates_too_far"):
        read_object(bomb, DEFLATED)
    assert time.monotonic() - started < 5


def test_pixel_data_may_be_cut_off_but_the_header_may_not() -> None:
    whole = header() + element(0x7FE00010, "OW", bytes(1000))
    assert read_object(whole[:-900], EXPLICIT).patient_id == "P1"
    with pytest.raises(BadInput, match="not_a_dicom_object"):
        read_object(header()[:-3], EXPLICIT)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.7.1", "", "x"])
def test_some_transfer_syntaxes_are_refused(syntax: str) -> None:
    with pytest.raises(BadInput, match="transfer_syntax_refused"):
        read_object(header(), syntax)


def test_views_of_memory_are_read_without_a_copy() -> None:
    data = bytearray(header() + element(0x7FE00010, "OW", bytes(1000)))
    assert read_object(memoryview(data), EXPLICIT).patient_id == "P1"


def test_a_flood_of_empty_elements_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_STEPS", 1000)
    for flood in (
        bytes(16_000),
        header() + element(0x7FE00010, "OB", b"\xfe\xff\0\xe0\0\0\0\0" * 2000, undefined=True),
    ):
        with pytest.raises(BadInput, match="too_many_elements"):
            read_object(flood, EXPLICIT)


SYNTAXES = st.sampled_from([*ALL, DEFLATED, "1.2.840.10008.1.2.4.70"])


@settings(max_examples=400)
@given(st.binary(max_size=400), SYNTAXES)
@example(b"\xff" * 200, EXPLICIT)
def test_any_bytes_are_read_or_refused(data: bytes, syntax: str) -> None:
    try:
        read_object(data, syntax)
    except BadInput:
        return


@settings(max_examples=400)
@given(st.data(), st.sampled_from(ALL))
def test_broken_headers_are_read_or_refused(data: st.DataObject, syntax: str) -> None:
    whole = bytearray(header(syntax) + sequence(0x00400275, header(syntax), syntax=syntax, undefined=True))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_object(bytes(whole), syntax)
    except BadInput:
        return


@pytest.mark.parametrize("calling_ae", ["CT1", "", "ABCDEFGHIJKLMNOP"])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_the_head_of_a_file_goes_in_front_of_the_bytes_as_received(syntax: str, calling_ae: str) -> None:
    data = header(syntax)
    head = part10(
        sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4.5", transfer_syntax=syntax, calling_ae=calling_ae
    )
    found, rest = open_part10(head + data)
    assert (found, bytes(rest)) == (syntax, data)
    read = dcmread(io.BytesIO(head + data))
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
    assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.get("SourceApplicationEntityTitle", "") == calling_ae
    assert read.file_meta.FileMetaInformationGroupLength == len(head) - 144
    assert read.PatientID == "P1"


def test_a_head_with_a_bad_uid_is_refused() -> None:
    with pytest.raises(BadInput, match="invalid_uid"):
        part10(sop_class="../x", sop_instance="1.2", transfer_syntax=EXPLICIT)


FILES = sorted(p for p in WHEEL.rglob("*") if p.is_file() and p.read_bytes()[128:132] == b"DICM")


# What we refuse of them, and why; all others are read.
REFUSED = {
    "DICOMDIR-nooffset": "not_a_dicom_object",
    "rtplan_truncated.dcm": "not_a_dicom_object",
    "meta_missing_tsyntax.dcm": "not_a_dicom_object",
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")  # pydicom's, about these files
def test_files_of_the_wheel_are_read_as_pydicom_reads_them(path: Path) -> None:
    raw = path.read_bytes()
    ds = dcmread(io.BytesIO(raw), stop_before_pixels=True)
    incomplete = any(not ds.get(f"{word}InstanceUID") for word in ("Study", "Series", "SOP"))
    if path.name in REFUSED or incomplete:
        with pytest.raises(BadInput) as refused:
            read_object(open_part10(raw)[1], open_part10(raw)[0])
        assert refused.value.code == REFUSED.get(path.name, "missing_uid")
        return
    syntax, data = open_part10(raw)
    facts = read_object(data, syntax)
    assert facts.sop_instance_uid == ds.SOPInstanceUID
    assert facts.patient_id == str(ds.get("PatientID") or "")
    assert (facts.rows, facts.columns) == (ds.get("Rows"), ds.get("Columns"))
    assert facts.modality == (ds.get("Modality") or "")
    if path.name != "badVR.dcm":  # its Number of Frames is "1A"
        assert facts.frames == int(ds.get("NumberOfFrames") or 1)
