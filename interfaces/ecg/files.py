"""Recordings that carts write as files of their own: SCP-ECG (EN 1064), HL7 aECG, Philips Sierra XML, GE MUSE XML.

The decoding is ecgdatakit's. It reads paths, refuses XML entities, and is only ever given one of the four formats
named here; what it found is put into the words of `interfaces.ecg.recording`.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Final

import numpy as np
from ecgdatakit import models
from ecgdatakit.parsing.parser import Parser
from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser
from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser
from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser

from interfaces.ecg.leads import name_of_label
from interfaces.ecg.recording import (
    FIDUCIALS,
    Cart,
    Filters,
    Lead,
    Recording,
    Strip,
    Subject,
    from_fiducials,
    whole,
)
from interfaces.ecg.scp import ScpParser
from worklist.errors import BadInput
from worklist.facts import PersonName

_PARSERS: Final[dict[str, type[Parser]]] = {
    "SCP-ECG": ScpParser,
    "HL7 aECG": HL7aECGParser,
    "Philips Sierra XML": SierraXMLParser,
    "GE MUSE XML": GEMuseXMLParser,
}
_MUSE: Final = {
    "VentricularRate": "heart rate",
    "PRInterval": "PR interval",
    "QRSDuration": "QRS duration",
    "QTInterval": "QT interval",
    "QTCorrected": "QTc interval",
    "PAxis": "P axis",
    "RAxis": "QRS axis",
    "TAxis": "T axis",
}
HEAD: Final = 16384  # bytes by which a format is told
LARGEST: Final = 64 << 20  # bytes of a file: a day of Holter is no file for these formats
_MICROVOLTS: Final = {"nV": 0.001, "uV": 1.0, "mV": 1000.0, "V": 1e6}
_GB: Final = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"'](?:gb[\w-]*|cp936)[\"'][^>]*\?>", re.IGNORECASE)
_OWN_DTD: Final = re.compile(rb"<!DOCTYPE[^>]*\[", re.IGNORECASE)
_TIMES: Final = {"ms": 1.0, "s": 1000.0, "us": 0.001}


def format_of(data: bytes) -> str:
    """Which of the formats a file is, by its first bytes: a key of the table above, or ``""``."""
    head = bytes(data[:HEAD])
    if head[128:132] == b"DICM":
        return ""
    return next((name for name, parser in _PARSERS.items() if parser.can_parse(Path("-"), head)), "")


def read(data: bytes, assumed_character_set: str = "") -> Recording:
    """The recording in a file of one of the formats. `assumed_character_set` is the setting of the device that wrote
    it, one of `worklist.actions.device_settings.CHARACTER_SETS`: for an SCP-ECG that declares none, or only Latin-1.

    Raises
    ------
    BadInput
        ``no_ecg_file``, ``ecg_too_large``, ``bad_ecg_file``, or ``ecg_without_scale`` where nobody can tell how many
        microvolts a step is.
    """
    name = format_of(data)
    if not name:
        raise BadInput("no_ecg_file")
    if len(data) > LARGEST:
        raise BadInput("ecg_too_large", most=LARGEST >> 20)
    if name == "SCP-ECG":
        record = _decode(ScpParser(assumed_character_set), data)
    else:
        record = _decode(_PARSERS[name](), _plain(data))
    rhythm = _strip(record.leads)
    beat = _strip(record.median_beats) if record.median_beats else None
    fiducials = {
        point: value
        for point in FIDUCIALS
        if (value := _number(record.annotations.get(f"median_{point.lower().replace(' ', '_')}_ms"))) is not None
    }
    return Recording(
        format=name,
        rhythm=rhythm,
        beat=beat,
        measurements=from_fiducials(_measurements(record), fiducials),
        fiducials=fiducials,
        statements=_statements(record),
        recorded_at=record.recording.date,
        filters=_filters(record.recording.acquisition.filters),
        subject=_subject(record.patient),
        cart=_cart(record.recording.device),
    )


def _plain(data: bytes) -> bytes:
    """An XML file in UTF-8 where it says that it is in GB 2312, GBK or GB 18030, which the decoder does not know. A
    document type that is only named, as GE MUSE does, is never fetched; one that the file brings along is refused."""
    if _OWN_DTD.search(data[:HEAD].replace(b"\0", b"")):  # in UTF-16 too
        raise BadInput("bad_ecg_file")
    found = _GB.match(data)
    if found is None:
        return data
    try:
        return data[found.end() :].decode("gb18030").encode()
    except UnicodeDecodeError as error:
        raise BadInput("bad_ecg_file") from error


def _decode(parser: Parser, data: bytes) -> models.ECGRecord:
    # The decoder wants a path: that of a file without a name, in memory.
    with os.fdopen(os.memfd_create("ecg"), "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a wrong checksum or an odd tag does not hide a patient's recording
        file.write(data)
        file.flush()
        try:
            return parser.parse(Path(f"/proc/self/fd/{file.fileno()}"))
        except Exception as error:  # whatever a stranger's file makes the decoder raise
            raise BadInput("bad_ecg_file") from error


def _strip(leads: list[models.Lead]) -> Strip:
    rates = {float(lead.sampling_rate) for lead in leads}
    if len(rates) != 1 or not min(rates) > 0:
        raise BadInput("bad_ecg_file")
    return Strip(rates.pop(), tuple(_lead(lead) for lead in leads))


def _lead(lead: models.Lead) -> Lead:
    factor = _MICROVOLTS.get(lead.resolution_unit)
    if factor is None or not lead.resolution > 0:
        raise BadInput("ecg_without_scale")
    step = lead.resolution * factor
    known = np.isfinite(lead.samples)
    try:
        samples = whole(np.where(known, lead.samples, 0))
    except ValueError as error:
        raise BadInput("bad_ecg_file") from error
    zero = lead.offset * factor / step
    return Lead(name_of_label(lead.label), samples, step, zero, None if known.all() else ~known)


def _measurements(record: models.ECGRecord) -> dict[str, float]:
    """The device's own: where a physician changed them, MUSE keeps what the device had measured beside that."""
    said, notes = record.measurements, record.annotations
    qtc = _number(record.raw_metadata.get("qtc_ms")) or _number(notes.get("QTCorrected"))
    qtc = qtc or _quantity(notes.get("MDC_ECG_TIME_PD_QTc")) or _quantity(notes.get("qtc"))
    found: dict[str, float | None] = {
        "heart rate": said.heart_rate,
        "RR interval": said.rr_interval,
        "P duration": _quantity(notes.get("MDC_ECG_TIME_PD_P")),
        "PR interval": said.pr_interval,
        "QRS duration": said.qrs_duration,
        "QT interval": said.qt_interval,
        "QTc interval": qtc or said.qtc_bazett or said.qtc_fridericia,
        "P axis": said.p_axis,
        "QRS axis": said.qrs_axis,
        "T axis": said.t_axis,
    }
    if isinstance(original := record.raw_metadata.get("original_measurements"), dict):
        own = ((name, _number(original.get(tag))) for tag, name in _MUSE.items())
        found = {"RR interval": said.rr_interval, **dict(own)}
    return {name: float(value) for name, value in found.items() if value is not None}


def _statements(record: models.ECGRecord) -> tuple[str, ...]:
    """What the device itself says, not what a physician confirmed elsewhere."""
    interpretation = record.interpretation
    if interpretation.source in ("overread", "confirmed"):
        return tuple(line for line in str(record.annotations.get("machine_interpretation", "")).splitlines() if line)
    lines = (" ".join(part for part in statement if part).strip() for statement in interpretation.statements)
    return tuple(line for line in lines if line)


def _filters(said: models.FilterSettings) -> Filters:
    return Filters(said.highpass, said.lowpass, said.notch if said.notch_active is not False else None)


def _subject(said: models.PatientInfo) -> Subject:
    name = "^".join((said.last_name, said.first_name)).rstrip("^")
    is_ideographic = any(ord(character) > 0x2E7F for character in name)
    return Subject(
        patient_id=said.patient_id.strip(),
        name=PersonName(ideographic=name) if is_ideographic else PersonName(alphabetic=name),
        birth_date=said.birth_date.strftime("%Y%m%d") if said.birth_date else "",
        sex=said.sex if said.sex in ("M", "F", "O") else "",
    )


def _cart(said: models.DeviceInfo) -> Cart:
    words = (said.manufacturer, said.model or said.name, said.serial_number, said.software_version)
    return Cart(*("" if word == "unknown" else word for word in words))


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _quantity(text: object) -> float | None:
    """Milliseconds of words such as "102 ms", whatever is said behind them."""
    number, unit = (*str(text or "").split(), "", "")[:2]
    value = _number(number)
    return value * _TIMES[unit] if value is not None and unit in _TIMES else None
