"""DICOM ECG waveforms into a recording (PS3.3 A.34.3, A.34.4, A.34.5, C.10.9, C.10.10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from interfaces.ecg.codes import KINDS
from interfaces.ecg.leads import name_of_code, name_of_label
from interfaces.ecg.recording import (
    Cart,
    Filters,
    Lead,
    Recording,
    Strip,
    Subject,
    from_fiducials,
)
from worklist.errors import BadInput
from worklist.facts import PersonName

TWELVE_LEAD: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY: Final = "1.2.840.10008.5.1.4.1.1.9.1.3"
GENERAL_32_BIT: Final = "1.2.840.10008.5.1.4.1.1.9.1.4"
CLASSES: Final = (TWELVE_LEAD, GENERAL, AMBULATORY, GENERAL_32_BIT)

_DTYPES: Final = {("SB", 8): "i1", ("UB", 8): "u1", ("SS", 16): "<i2", ("US", 16): "<u2", ("SL", 32): "<i4"}
_MICROVOLTS: Final = {"uV": 1.0, "mV": 1000.0, "V": 1e6, "nV": 0.001}
_UNITS: Final = {"s": ("ms", 1000.0), "msec": ("ms", 1.0), "bpm": ("/min", 1.0), "{H.B.}/min": ("/min", 1.0)}
_BY_CODE: Final = {
    **{code: kind.name for kind in KINDS.values() for code in (kind.mdc, kind.scp, kind.loinc) if code},
    "122182": "RR interval",
    "2:16000": "RR interval",
    "2:15880": "QTc interval",
    "8601-7": "",
}
_MARKS: Final = {
    "5.10.3-1": "P onset",
    "5.10.3-2": "P offset",
    "5.10.3-3": "QRS onset",
    "5.10.3-4": "QRS offset",
    "5.10.3-5": "T offset",
}
_MARK_WORDS: Final = {
    ("p", "onset"): "P onset",
    ("p", "offset"): "P offset",
    ("qrs", "onset"): "QRS onset",
    ("qrs", "offset"): "QRS offset",
    ("t", "offset"): "T offset",
}


def read(ds: Dataset) -> Recording:
    """The recording in a waveform object.

    Raises
    ------
    BadInput
        ``no_waveform`` where it has none, ``bad_waveform`` where its numbers do not fit its bytes.
    """
    groups = list(ds.get("WaveformSequence") or ())
    if not groups:
        raise BadInput("no_waveform")
    beats = [group for group in groups if _is_beat(group)]
    rhythms = [group for group in groups if group not in beats] or groups
    longest = max(rhythms, key=lambda group: int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency))
    beat = beats[0] if beats and beats[0] is not longest else None
    number = groups.index(beat) + 1 if beat is not None else 0
    fiducials = _fiducials(ds, number, float(beat.SamplingFrequency)) if beat is not None else {}
    return Recording(
        format="DICOM",
        rhythm=_strip(longest),
        beat=_strip(beat) if beat is not None else None,
        measurements=from_fiducials(_measurements(ds), fiducials),
        fiducials=fiducials,
        statements=tuple(_statements(ds)),
        recorded_at=_recorded_at(ds),
        filters=_filters(longest),
        subject=_subject(ds),
        cart=Cart(*(str(ds.get(name) or "") for name in _CART)),
    )


_CART: Final = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")


def _is_beat(group: Dataset) -> bool:
    label = str(group.get("MultiplexGroupLabel") or "").upper()
    if any(word in label for word in ("MEDIAN", "BEAT", "REPRESENTATIVE", "AVERAGE", "TEMPLATE")):
        return True
    # Unnamed, derived and shorter than three seconds: no rhythm can be read from it.
    seconds = int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)
    return str(group.get("WaveformOriginality") or "") == "DERIVED" and seconds < 3


def _strip(group: Dataset) -> Strip:
    kind = (str(group.WaveformSampleInterpretation), int(group.WaveformBitsAllocated))
    dtype = _DTYPES.get(kind)
    channels, count = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    definitions = list(group.ChannelDefinitionSequence)
    rate = float(group.SamplingFrequency)
    data = bytes(group.WaveformData)
    if dtype is None or not rate > 0 or len(definitions) != channels or channels < 1:
        raise BadInput("bad_waveform")
    size = np.dtype(dtype).itemsize * channels * count
    if len(data) < size:
        raise BadInput("bad_waveform")
    samples = np.frombuffer(data[:size], dtype).reshape(count, channels).astype(np.int32)
    padding = _padding(group, dtype)
    return Strip(rate, tuple(_lead(samples[:, at], ch, padding) for at, ch in enumerate(definitions)))


def _lead(samples: NDArray[np.int32], channel: Dataset, padding: int | None) -> Lead:
    source = channel.ChannelSourceSequence[0]
    name = name_of_code(str(source.get("CodeValue") or "")) or name_of_label(str(source.get("CodeMeaning") or ""))
    step, zero = 1.0, 0.0
    if "ChannelSensitivity" in channel:
        units = str(channel.ChannelSensitivityUnitsSequence[0].CodeValue)
        if units not in _MICROVOLTS:
            raise BadInput("bad_waveform")
        factor = float(channel.get("ChannelSensitivityCorrectionFactor") or 1)
        step = float(channel.ChannelSensitivity) * factor * _MICROVOLTS[units]
        # PS3.3 C.10.9.1.4: the baseline is in the channel's units, and is what a sample of zero stands for.
        zero = float(channel.get("ChannelBaseline") or 0) * _MICROVOLTS[units] / step if step else 0.0
    # A device that pads with nought has real samples of nought too: only a run to the lead's end is padding then.
    unknown = samples == padding if padding else None
    if padding == 0:
        real = np.flatnonzero(samples)
        unknown = np.arange(len(samples)) > (real[-1] if len(real) else -1) if _is_cut(samples) else None
    if unknown is not None and not unknown.any():
        unknown = None
    return Lead(name, samples, step, zero, unknown)


def _is_cut(samples: NDArray[np.int32]) -> bool:
    """Whether a lead ends in noughts for longer than a tenth of its length, and is not all noughts."""
    real = np.flatnonzero(samples)
    return bool(len(real)) and len(samples) - 1 - int(real[-1]) > len(samples) / 10


def _padding(group: Dataset, dtype: str) -> int | None:
    value = group.get("WaveformPaddingValue")
    if value is None:
        return None
    if isinstance(value, bytes):
        size = np.dtype(dtype).itemsize
        return int(np.frombuffer(value[:size].ljust(size, b"\0"), dtype)[0]) if value else None
    return int(value)


def _filters(group: Dataset) -> Filters:
    channel = group.ChannelDefinitionSequence[0]

    def one(name: str) -> float | None:
        value = channel.get(name)
        return float(value) if value not in (None, "") else None

    return Filters(one("FilterLowFrequency"), one("FilterHighFrequency"), one("NotchFilterFrequency"))


# --- Waveform Annotation (PS3.3 C.10.10) ---


def _annotations(ds: Dataset) -> Iterator[Dataset]:
    yield from ds.get("WaveformAnnotationSequence") or ()


def _concept(annotation: Dataset) -> tuple[str, str]:
    concepts = annotation.get("ConceptNameCodeSequence") or [Dataset()]
    return str(concepts[0].get("CodeValue") or ""), str(concepts[0].get("CodeMeaning") or "")


def _measurements(ds: Dataset) -> dict[str, float]:
    found: dict[str, float] = {}
    for annotation in _annotations(ds):
        channels = list(annotation.get("ReferencedWaveformChannels") or ())
        if annotation.get("NumericValue") is None or len(channels) != 2 or channels[1] != 0:
            continue  # of one lead only
        name = _BY_CODE.get(_concept(annotation)[0]) or _by_meaning(_concept(annotation)[1])
        if name and (value := _number(annotation, KINDS[name].unit)) is not None:
            found.setdefault(name, value)
    return found


def _by_meaning(meaning: str) -> str:
    words = " ".join(re.findall(r"[a-z]+", meaning.lower().replace("ventricular rate", "heart rate")))
    return next((name for name in KINDS if words in (name.lower(), f"{name.lower()} global")), "")


def _number(annotation: Dataset, unit: str) -> float | None:
    values = annotation.NumericValue
    value = float(values[0] if not isinstance(values, str | int | float) and hasattr(values, "__getitem__") else values)
    units = annotation.get("MeasurementUnitsCodeSequence")
    code = str(units[0].get("CodeValue") or "") if units else ""
    if unit == "deg":
        return value if -360 <= value <= 360 else None  # some writers call degrees "ms"
    if value <= 0:
        return None  # nothing was measured
    said, factor = _UNITS.get(code, (code, 1.0))
    return value * factor if not said or said == unit else None


def _fiducials(ds: Dataset, group: int, rate: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for annotation in _annotations(ds):
        channels = list(annotation.get("ReferencedWaveformChannels") or ())
        positions = annotation.get("ReferencedSamplePositions")
        if positions is None or not channels or (channels[0] != group and not _says_beat(ds, annotation)):
            continue
        code, meaning = _concept(annotation)
        words = tuple(meaning.lower().split()[:2])
        name = _MARKS.get(code) or (_MARK_WORDS.get((words[0], words[1])) if len(words) == 2 else None)
        position = int(positions[0]) if hasattr(positions, "__getitem__") else int(positions)
        if name:
            found.setdefault(name, round(position / rate * 1000, 3))
    order = [found[name] for name in _MARKS.values() if name in found]
    return found if order == sorted(order) else {}


def _says_beat(ds: Dataset, annotation: Dataset) -> bool:
    """Some writers refer to group 1, the rhythm, though the marks of the first annotation group are the beat's."""
    numbers = [int(a.get("AnnotationGroupNumber") or 0) for a in _annotations(ds) if "ReferencedSamplePositions" in a]
    return bool(numbers) and int(annotation.get("AnnotationGroupNumber") or 0) == min(numbers)


def _statements(ds: Dataset) -> Iterator[str]:
    for annotation in _annotations(ds):
        text = str(annotation.get("UnformattedTextValue") or "").strip()
        if text and "NumericValue" not in annotation:
            yield text


# --- the rest ---


def _recorded_at(ds: Dataset) -> datetime | None:
    """Acquisition DateTime, else the study's (PS3.5 6.2, DT)."""
    text = str(ds.get("AcquisitionDateTime") or "") or f"{ds.get('StudyDate') or ''}{ds.get('StudyTime') or ''}"
    found = re.fullmatch(r"(\d{14})(?:\.(\d{1,6}))?([+-]\d{4})?", text.strip())
    if not found:
        return None
    stamp, fraction, zone = found.groups()
    try:
        local = datetime.fromisoformat(f"{stamp[:8]}T{stamp[8:]}.{(fraction or '0').ljust(6, '0')}{zone or ''}")
    except ValueError:
        return None
    return local


def _subject(ds: Dataset) -> Subject:
    name = ds.get("PatientName")
    person = PersonName(str(getattr(name, "ideographic", "")), str(getattr(name, "alphabetic", ""))) if name else None
    return Subject(
        patient_id=str(ds.get("PatientID") or ""),
        name=person or PersonName(),
        birth_date=str(ds.get("PatientBirthDate") or ""),
        sex=str(ds.get("PatientSex") or ""),
        order_number=str(ds.get("AccessionNumber") or ""),
    )
