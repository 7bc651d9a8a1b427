"""One heart in each format is one recording, and leaves as DICOM as exact as it came."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from interfaces.ecg import files, quality, waveforms, writing
from interfaces.ecg.recording import TWELVE, Lead, Recording, Strip
from tests import ecg_xml, ecgs
from tests.peers.process import installed
from worklist.errors import BadInput
from worklist.facts import PersonName


def through_dicom(given: Recording) -> tuple[Recording, Dataset]:
    """The recording written as an object, and read from its bytes."""
    filing = writing.filing_of(given.subject, "digest")
    wrapped = writing.write(given, filing, writing.uid_of(filing, "digest"))
    ds = dcmread(BytesIO(wrapped.dataset), force=True)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(wrapped.transfer_syntax)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    again = dcmread(BytesIO(out.getvalue()))
    return waveforms.read(again), again


def same_samples(one: Strip | None, other: Strip | None) -> bool:
    """Whether two strips hold the same leads, to the last step."""
    assert one is not None
    assert other is not None
    return sorted(one.names) == sorted(other.names) and all(
        np.array_equal(lead.microvolts(), found.microvolts(), equal_nan=True)
        for lead in one.leads
        if (found := other.lead(lead.name)) is not None
    )


@pytest.mark.parametrize("write", [ecgs.scp, ecgs.aecg])
@pytest.mark.parametrize("hertz", [250, 500, 1000])
def test_each_format_gives_the_samples_the_numbers_and_the_words(write: object, hertz: int) -> None:
    given = ecgs.recording(ecgs.Heart(hertz=hertz))
    data = write(given)  # type: ignore[operator]
    read = files.read(data)
    assert files.format_of(data) == read.format
    assert read.rhythm.rate == hertz
    assert same_samples(given.rhythm, read.rhythm)
    assert same_samples(given.beat, read.beat)
    assert {name: read.measurements[name] for name in given.measurements} == given.measurements
    assert read.fiducials == given.fiducials
    assert read.measurements["PR interval"] == 180  # from the device's own marks
    assert read.statements == given.statements
    assert (read.recorded_at, read.subject) == (given.recorded_at, given.subject)


@pytest.mark.parametrize("write", [ecgs.scp, ecgs.aecg])
def test_as_dicom_it_is_the_same_recording(write: object) -> None:
    given = files.read(write(ecgs.recording()))  # type: ignore[operator]
    read, ds = through_dicom(given)
    assert ds.SOPClassUID == waveforms.TWELVE_LEAD
    assert same_samples(given.rhythm, read.rhythm)
    assert same_samples(given.beat, read.beat)
    assert (read.measurements, read.fiducials, read.statements) == (
        given.measurements,
        given.fiducials,
        given.statements,
    )
    assert (read.recorded_at, read.filters, read.subject, read.cart) == (
        given.recorded_at,
        given.filters,
        given.subject,
        given.cart,
    )


@pytest.mark.parametrize(
    ("heart", "sop_class"),
    [
        (ecgs.Heart(), waveforms.TWELVE_LEAD),
        (ecgs.Heart(seconds=60), waveforms.GENERAL),
        (ecgs.Heart(leads=(*TWELVE, "V3R", "V4R", "V7", "V8", "V9")), waveforms.GENERAL),
        (ecgs.Heart(hertz=128, seconds=30, leads=("I", "II", "V1")), waveforms.AMBULATORY),
    ],
)
def test_a_validator_agrees_with_what_is_written(heart: ecgs.Heart, sop_class: str, tmp_path: Path) -> None:
    given = ecgs.recording(heart)
    if sop_class == waveforms.AMBULATORY:
        given = replace(given, beat=None, fiducials={})
    given = replace(given, subject=replace(given.subject, name=PersonName(ideographic="王^小东"), order_number="A1"))
    read, ds = through_dicom(given)
    assert ds.SOPClassUID == sop_class
    assert same_samples(given.rhythm, read.rhythm)
    assert read.subject.name == PersonName(ideographic="王^小东")
    ds.save_as(tmp_path / "ecg.dcm", enforce_file_format=True)
    said = subprocess.run(
        [installed("dciodvfy", "dicom3tools"), str(tmp_path / "ecg.dcm")], capture_output=True, text=True, check=False
    )
    assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


XML = [ecg_xml.muse, ecg_xml.sierra, partial(ecg_xml.sierra, packed=False, version="1.03")]
SAID = {"heart rate": 75.0, "PR interval": 180.0, "QRS duration": 90.0, "QT interval": 390.0, "QTc interval": 436.0}
SAID |= {"P axis": 44.0, "QRS axis": -12.0, "T axis": 30.0}


@pytest.mark.parametrize("write", XML)
@pytest.mark.parametrize("hertz", [250, 500])
def test_muse_and_sierra_give_the_samples_the_numbers_and_the_words(write: Any, hertz: int) -> None:
    given = ecgs.recording(ecgs.Heart(hertz=hertz, said=SAID))
    data = write(given)
    read = files.read(data)
    assert files.format_of(data) == read.format
    assert read.format in ("GE MUSE XML", "Philips Sierra XML")
    strip = quality.twelve(read.rhythm)
    assert strip.names == TWELVE
    stored = ecg_xml.STORED if read.format == "GE MUSE XML" else TWELVE
    for lead in given.rhythm.leads:
        found = read.rhythm.lead(lead.name)
        assert (found is not None) == (lead.name in stored)
        if found is not None:
            assert np.array_equal(found.microvolts(), lead.microvolts())
    assert read.beat is not None
    assert read.beat.seconds == 1.2
    assert (read.rhythm.rate, read.measurements, read.statements) == (hertz, SAID, given.statements)
    assert (read.recorded_at, read.subject) == (given.recorded_at, given.subject)
    again, _ds = through_dicom(read)
    assert same_samples(again.rhythm, read.rhythm)
    assert (again.measurements, again.statements) == (read.measurements, read.statements)


@pytest.mark.parametrize("write", XML)
def test_chinese_names_of_muse_and_sierra_are_read(write: Any) -> None:
    given = chinese(PersonName(ideographic="王^小镕"))
    for encoding in ("UTF-8", "GBK"):
        data = write(given).decode().replace('encoding="UTF-8"', f'encoding="{encoding}"').encode(encoding)
        read = files.read(data)
        assert (read.subject.name, read.statements) == (given.subject.name, given.statements)


def test_what_a_physician_changed_in_muse_is_not_the_devices() -> None:
    given = ecgs.recording(ecgs.Heart(said=SAID))
    read = files.read(ecg_xml.muse(given, confirmed=True))
    assert (read.measurements, read.statements) == (SAID, given.statements)


@pytest.mark.parametrize("write", XML)
def test_a_document_type_is_never_fetched_and_never_brought_along(write: Any) -> None:
    given = ecgs.recording()
    named = '<!DOCTYPE root SYSTEM "http://127.0.0.1:9/restecg.dtd">'
    assert files.read(write(given, head=named)).subject == given.subject
    for own in ('[<!ENTITY a "b">]', "[<!ATTLIST root a CDATA 'b'>]", 'SYSTEM "restecg.dtd" [<!ENTITY a "b">]'):
        with pytest.raises(BadInput, match="bad_ecg_file"):
            files.read(write(given, head=f"<!DOCTYPE root {own}>"))
        wide = write(given, head=f"<!DOCTYPE root {own}>").decode().replace("UTF-8", "UTF-16")
        with pytest.raises(BadInput, match="bad_ecg_file"):
            files.read(b"\xff\xfe" + wide.encode("utf-16-le"))


NAME = PersonName(ideographic="镕^小")  # in GBK, not in GB 2312; and the second is valid UTF-8 of something else
RARE = PersonName(ideographic="䶮^喆")  # in GB 18030 only; in GBK


def chinese(name: PersonName) -> Recording:
    given = ecgs.recording()
    return replace(given, subject=replace(given.subject, name=name), statements=("窦性心律", "完全性右束支传导阻滞"))


@pytest.mark.parametrize(
    ("name", "encoding", "language", "assumed"),
    [
        (NAME, "gbk", 0, ""),  # declares ASCII
        (NAME, "gbk", 0, "GBK"),
        (NAME, "gbk", 1, "GBK"),  # declares Latin-1
        (NAME, "gbk", 1, "GB18030"),
        (NAME, "gbk", 0x27, ""),  # declares GB 2312
        (NAME, "gbk", 0x27, "UTF-8"),
        (RARE, "gb18030", 0x27, ""),
        (RARE, "gb18030", 0, "GB18030"),
        (RARE, "utf-8", 0, "UTF-8"),
        (RARE, "utf-8", 0x37, ""),
        (RARE, "utf-8", 0x37, "GBK"),  # what a file declares in earnest is believed
    ],
)
def test_chinese_names_and_statements_of_scp_are_read(
    name: PersonName, encoding: str, language: int, assumed: str
) -> None:
    given = chinese(name)
    read = files.read(ecgs.scp(given, encoding=encoding, language=language), assumed)
    assert (read.subject.name, read.statements) == (name, given.statements)
    assert same_samples(given.rhythm, read.rhythm)


def test_a_latin_name_of_scp_stays_latin() -> None:
    given = chinese(PersonName(alphabetic="Müller^José"))
    given = replace(given, statements=())
    assert files.read(ecgs.scp(given, encoding="latin-1", language=1)).subject.name == given.subject.name


@pytest.mark.parametrize("encoding", ["GB18030", "GBK", "gb2312", "UTF-8"])
def test_chinese_names_and_statements_of_xml_are_read(encoding: str) -> None:
    given = chinese(PersonName(ideographic="王^小东"))
    data = ecgs.aecg(given).decode().replace('encoding="UTF-8"', f'encoding="{encoding}"').encode(encoding)
    read = files.read(data)
    assert (read.subject.name, read.statements) == (given.subject.name, given.statements)
    assert same_samples(given.rhythm, read.rhythm)


def test_xml_that_is_not_in_the_character_set_it_names_is_refused() -> None:
    data = ecgs.aecg(ecgs.recording()).replace(b'encoding="UTF-8"', b'encoding="GBK"').replace(b"Wang", b"\xff\xff")
    with pytest.raises(BadInput, match="bad_ecg_file"):
        files.read(data)


def test_samples_that_the_device_has_not_stay_unknown() -> None:
    given = ecgs.recording()
    lead = given.rhythm.leads[0]
    unknown = np.zeros(len(lead.samples), bool)
    unknown[-700:] = True
    cut = replace(given.rhythm, leads=(replace(lead, unknown=unknown), *given.rhythm.leads[1:]))
    read, ds = through_dicom(replace(given, rhythm=cut))
    assert "WaveformPaddingValue" in ds.WaveformSequence[0]
    found = read.rhythm.lead("I")
    assert found is not None
    assert found.unknown is not None
    assert np.array_equal(found.unknown, unknown)
    assert np.isnan(found.microvolts()[-1])
    assert not np.isnan(found.microvolts()[0])


def test_noughts_of_a_device_that_pads_with_nought_are_samples() -> None:
    _, ds = through_dicom(ecgs.recording())
    group = ds.WaveformSequence[0]
    group.WaveformPaddingValue = b"\0\0"
    lead = waveforms.read(ds).rhythm.lead("I")
    assert lead is not None
    assert (lead.samples == 0).sum() > 100, "the made heart rests between its beats"
    assert lead.unknown is None
    samples = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
    samples[3000:, 0] = 0
    group.WaveformData = samples.tobytes()
    lead = waveforms.read(ds).rhythm.lead("I")
    assert lead is not None
    assert lead.unknown is not None
    assert lead.unknown[3000:].all(), "the lead ended there"


def test_pydicom_s_own_recording_is_read_with_its_numbers() -> None:
    path = get_testdata_file("waveform_ecg.dcm")
    read = waveforms.read(dcmread(str(path)))
    assert (read.rhythm.rate, read.rhythm.seconds, len(read.rhythm.leads)) == (1000, 10, 12)
    assert read.beat is not None
    assert read.beat.seconds == 1.2
    assert read.measurements == {
        "RR interval": 982,
        "P duration": 114,
        "PR interval": 161,
        "QRS duration": 75,
        "QT interval": 368,
        "QTc interval": 370,
        "P axis": 74,
        "QRS axis": 52,
        "T axis": 57,
    }
    assert read.statements == ("RITMO SINUSALE", "ECG NORMALE")
    assert read.filters.low_pass == 300


# --- refusals ---


def test_other_files_are_no_ecg() -> None:
    for data in (b"", b"%PDF-1.7", b"<html/>", b"\xff\xd8\xff" + b"0" * 100, b"PK\x03\x04" + b"\0" * 40):
        assert files.format_of(data) == ""
        with pytest.raises(BadInput, match="no_ecg_file"):
            files.read(data)


@pytest.mark.parametrize("write", [ecgs.scp, ecgs.aecg, ecg_xml.muse, ecg_xml.sierra])
def test_a_file_that_was_cut_or_bitten_is_refused_or_read_never_more(write: object) -> None:
    data = write(ecgs.recording(ecgs.Heart(seconds=2)))  # type: ignore[operator]
    chance = np.random.default_rng(20261123)
    refused = 0
    for _ in range(60):
        bitten = bytearray(data[: int(chance.integers(40, len(data)))])
        for at in chance.integers(0, len(bitten), 8):
            bitten[at] = int(chance.integers(256))
        try:
            files.read(bytes(bitten))
        except BadInput:
            refused += 1
    assert refused > 10


def test_entities_of_xml_are_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>'
    outside = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    for head in (bomb, outside):
        for body in (b'<AnnotatedECG xmlns="urn:hl7-org:v3">&b;</AnnotatedECG>', b"<RestingECG>&b;</RestingECG>"):
            with pytest.raises(BadInput, match="bad_ecg_file"):
                files.read(head + body)
        with pytest.raises(BadInput, match="bad_ecg_file"):
            files.read(head + b"<restingecgdata>&b;</restingecgdata>")


def test_a_recording_that_dicom_cannot_hold_is_refused_in_words() -> None:
    given = ecgs.recording()
    for code, wrong in {
        "ecg_without_time": replace(given, recorded_at=None),
        "ecg_out_of_range": replace(
            given, rhythm=Strip(500, (Lead("I", np.array([70000, 0], np.int32), 1.0),)), beat=None
        ),
        "ecg_without_lead_names": replace(
            given, rhythm=Strip(500, (Lead("ch1", np.array([1, 0], np.int32), 1.0),)), beat=None
        ),
    }.items():
        with pytest.raises(BadInput, match=code):
            through_dicom(wrong)


def test_a_waveform_whose_numbers_do_not_fit_its_bytes_is_refused() -> None:
    _, ds = through_dicom(ecgs.recording())
    ds.WaveformSequence[0].NumberOfWaveformSamples = 2**31
    with pytest.raises(BadInput, match="bad_waveform"):
        waveforms.read(ds)
    del ds.WaveformSequence
    with pytest.raises(BadInput, match="no_waveform"):
        waveforms.read(ds)


def test_the_same_file_makes_the_same_object() -> None:
    digest = sha256(ecgs.scp(ecgs.recording())).hexdigest()
    filing = writing.filing_of(ecgs.recording().subject, digest)
    assert writing.uid_of(filing, digest) == writing.uid_of(filing, digest)
    assert writing.uid_of(filing, digest) != writing.uid_of(replace(filing, order_id="o1"), digest)
