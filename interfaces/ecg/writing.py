"""A recording as a DICOM waveform object, so that every ECG is found, sent and read in the same way.

What fits is a 12-lead ECG (PS3.3 A.34.3: at most 13 channels, 200 to 1,000 Hz, 16,384 samples); more leads or longer
is a General ECG (A.34.4), other rates an Ambulatory ECG (A.34.5). The samples are those of the recording, with its
step as Channel Sensitivity: reading the object gives them back. Device measurements and statements are annotations.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from interfaces.dicom.report_objects import as_name, carried
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN
from interfaces.dicom.wrapping import Wrapped, derived, encoded, identity_of
from interfaces.ecg.codes import KINDS
from interfaces.ecg.leads import MEANINGS, NUMBERS
from interfaces.ecg.recording import FIDUCIALS, TWELVE, Lead, Recording, Strip, Subject
from interfaces.ecg.waveforms import AMBULATORY, GENERAL, TWELVE_LEAD
from worklist.errors import BadInput
from worklist.facts import PictureFiling

_SERIES: Final = 1
_UNKNOWN: Final = -(2**15)  # of samples that the device has not
_UNITS: Final = {"ms": "millisecond", "deg": "degree", "/min": "heart beats per minute", "uV": "microvolt"}
_MARKS: Final = {point: f"5.10.3-{number}" for number, point in enumerate(FIDUCIALS, 1)}
_RHYTHM, _BEAT = 1, 2  # numbers of the multiplex groups


def uid_of(filing: PictureFiling, digest: str) -> str:
    """The SOP Instance UID of the file with this SHA-256, the same each time it comes (below 2.25, PS3.5 B.2)."""
    return derived("ecg", filing.order_id, filing.study_instance_uid, digest)


def filing_of(subject: Subject, digest: str) -> PictureFiling:
    """How a recording that came without an order is kept: under what it says of itself, which identifies nobody."""
    return PictureFiling(
        order_id="",
        upload_id="",
        study_instance_uid=derived("ecg study", digest),
        accession_number=subject.order_number,
        placer_number="",
        patient_id=subject.patient_id,
        issuer="",
        name=subject.name,
        sex=subject.sex,
        birth_date=subject.birth_date,
        description="",
        modality="ECG",
        body_part="",
        ordering_doctor="",
        institution_name="",
        study_date="",
        study_time="",
    )


def write(recording: Recording, filing: PictureFiling, sop_instance_uid: str) -> Wrapped:
    """The object of a recording, under the identity of `filing`.

    Raises
    ------
    BadInput
        ``ecg_without_time`` where the device does not say when it was made, ``ecg_out_of_range`` where its samples do
        not fit into 16 bits, ``ecg_without_lead_names``.
    """
    groups = [recording.rhythm] + ([recording.beat] if recording.beat else [])
    sop_class = _class_of(groups)
    ds = identity_of(filing, sop_class, sop_instance_uid, 1)
    if recording.recorded_at is None:
        raise BadInput("ecg_without_time")
    made = _moment(recording.recorded_at)
    ds.Modality = "ECG"
    ds.SeriesInstanceUID = derived("ecg series", filing.order_id, filing.study_instance_uid, sop_instance_uid)
    ds.SeriesNumber = _SERIES
    ds.Manufacturer = carried(recording.cart.manufacturer, 64)
    ds.ManufacturerModelName = carried(recording.cart.model, 64)
    ds.DeviceSerialNumber = carried(recording.cart.serial_number, 64)
    ds.SoftwareVersions = carried(recording.cart.software, 64)
    ds.ContentDate, ds.ContentTime, ds.AcquisitionDateTime = made[:8], made[8:14], made
    if not ds.StudyDate:
        ds.StudyDate, ds.StudyTime = made[:8], made[8:14]
    if not ds.PatientName:
        ds.PatientName = as_name(recording.subject.name)
    ds.AcquisitionContextSequence = Sequence()
    labels = ("RHYTHM", "MEDIAN BEAT")
    ds.WaveformSequence = Sequence(
        [_group(strip, label, recording) for strip, label in zip(groups, labels, strict=False)]
    )
    if notes := _annotations(recording):
        ds.WaveformAnnotationSequence = Sequence(notes)
    return encoded(ds, EXPLICIT_LITTLE_ENDIAN)


def _class_of(groups: list[Strip]) -> str:
    if any(lead.name not in NUMBERS for strip in groups for lead in strip.leads):
        raise BadInput("ecg_without_lead_names")
    rates, channels = {strip.rate for strip in groups}, max(len(strip.leads) for strip in groups)
    samples = max(len(lead.samples) for strip in groups for lead in strip.leads)
    if min(rates) < 200 or max(rates) > 1000:
        return AMBULATORY
    leads = {lead.name for strip in groups for lead in strip.leads}
    return TWELVE_LEAD if channels <= 13 and samples <= 16384 and leads <= set(TWELVE) else GENERAL


def _moment(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")


def _group(strip: Strip, label: str, recording: Recording) -> Dataset:
    """Waveform (PS3.3 C.10.9)."""
    count = max(len(lead.samples) for lead in strip.leads)
    group = Dataset()
    group.MultiplexGroupLabel = label
    group.WaveformOriginality = "ORIGINAL" if label == "RHYTHM" else "DERIVED"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(strip.leads), count
    group.SamplingFrequency = _decimal(strip.rate)
    group.ChannelDefinitionSequence = Sequence([_channel(lead, recording) for lead in strip.leads])
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    columns = [_sixteen_bits(lead, count) for lead in strip.leads]
    if any(_is_padded(lead, count) for lead in strip.leads):
        group.WaveformPaddingValue = np.array([_UNKNOWN], "<i2").tobytes()
        group["WaveformPaddingValue"].VR = "OW"
    group.WaveformData = np.stack(columns, axis=1).tobytes()
    group["WaveformData"].VR = "OW"
    return group


def _is_padded(lead: Lead, count: int) -> bool:
    return lead.unknown is not None or len(lead.samples) < count


def _sixteen_bits(lead: Lead, count: int) -> NDArray[np.int16]:
    lowest = _UNKNOWN + (1 if _is_padded(lead, count) else 0)
    known = lead.samples if lead.unknown is None else lead.samples[~lead.unknown]
    if len(known) and (known.min() < lowest or known.max() >= 2**15):
        raise BadInput("ecg_out_of_range")
    column = np.full(count, _UNKNOWN, "<i2")
    column[: len(lead.samples)] = lead.samples
    if lead.unknown is not None:
        column[: len(lead.samples)][lead.unknown] = _UNKNOWN
    return column


def _channel(lead: Lead, recording: Recording) -> Dataset:
    channel = Dataset()
    meaning = MEANINGS.get(lead.name, f"Lead {lead.name}")
    channel.ChannelSourceSequence = Sequence([_code(f"2:{NUMBERS[lead.name]}", "MDC", meaning)])
    channel.ChannelSensitivity = _decimal(lead.step)
    channel.ChannelSensitivityUnitsSequence = Sequence([_code("uV", "UCUM", _UNITS["uV"])])
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = _decimal(lead.zero * lead.step)
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    filters = recording.filters
    if filters.high_pass is not None:
        channel.FilterLowFrequency = _decimal(filters.high_pass)
    if filters.low_pass is not None:
        channel.FilterHighFrequency = _decimal(filters.low_pass)
    if filters.notch:
        channel.NotchFilterFrequency = _decimal(filters.notch)
    return channel


def _annotations(recording: Recording) -> list[Dataset]:
    """Waveform Annotation (PS3.3 C.10.10): statements in group 0, measurements in 1, points of the beat in 2."""
    notes = []
    for text in recording.statements:
        if words := carried(text, 1024, paragraphs=True):
            note = _note(_RHYTHM, 0)
            note.UnformattedTextValue = words
            notes.append(note)
    for name, value in recording.measurements.items():
        kind = KINDS[name]
        note = _note(_RHYTHM, 1)
        scheme = (kind.mdc, "MDC") if name != "heart rate" else (kind.loinc, "LN")
        note.ConceptNameCodeSequence = Sequence([_code(*scheme, kind.meaning)])
        note.NumericValue = _decimal(value)
        note.MeasurementUnitsCodeSequence = Sequence([_code(kind.unit, "UCUM", _UNITS[kind.unit])])
        notes.append(note)
    if recording.beat is None:
        return notes
    for point in FIDUCIALS:
        if point in recording.fiducials:
            note = _note(_BEAT, 2)
            note.ConceptNameCodeSequence = Sequence([_code(_MARKS[point], "SCPECG", point, "1.3")])
            note.TemporalRangeType = "POINT"
            note.ReferencedSamplePositions = round(recording.fiducials[point] / 1000 * recording.beat.rate)
            notes.append(note)
    return notes


def _note(group: int, number: int) -> Dataset:
    note = Dataset()
    note.ReferencedWaveformChannels = [group, 0]
    note.AnnotationGroupNumber = number
    return note


def _code(value: str, scheme: str, meaning: str, version: str = "") -> Dataset:
    """A code (PS3.3 8.8)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    if version:
        code.CodingSchemeVersion = version
    return code


def _decimal(value: float) -> str:
    """DS (PS3.5 6.2): at most 16 characters."""
    for digits in range(15, 5, -1):
        if len(text := f"{value:.{digits}g}") <= 16:
            return text
    return f"{value:.6g}"
