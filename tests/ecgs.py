"""Recordings that tests make themselves: a heart of known numbers, written as each of the formats."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.leads import NUMBERS
from interfaces.ecg.recording import FIDUCIALS, TWELVE, Lead, Recording, Strip, Subject
from worklist.facts import PersonName

STEP: Final = 2.5  # µV
AXES: Final = {"I": 0.6, "II": 1.0, "V1": -0.5, "V2": 0.3, "V3": 0.8, "V4": 1.2, "V5": 1.1, "V6": 0.9}
WAVES: Final = ((-0.16, 0.025, 0.12), (-0.03, 0.008, -0.1), (0.0, 0.011, 1.0), (0.03, 0.009, -0.2), (0.26, 0.05, 0.3))
"""Of one beat: seconds from its R, width in seconds, mV."""
MARKS: Final = {"P onset": 240.0, "P offset": 340.0, "QRS onset": 420.0, "QRS offset": 510.0, "T offset": 810.0}


@dataclass(frozen=True)
class Heart:
    """What is recorded: beats a minute, Hz, seconds, and the size of one step in µV."""

    rate: float = 75.0
    hertz: int = 500
    seconds: float = 10.0
    step: float = STEP
    leads: tuple[str, ...] = TWELVE
    statements: tuple[str, ...] = ("Sinus rhythm", "Normal ECG")
    said: dict[str, float] = field(default_factory=lambda: {"QTc interval": 420.0, "P axis": 44.0, "QRS axis": -12.0})


def beat(at: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Millivolts of one beat whose R is at 0 s."""
    shape: NDArray[np.float64] = sum(
        (height * np.exp(-((at - centre) ** 2) / (2 * width**2)) for centre, width, height in WAVES),
        start=np.zeros_like(at),
    )
    return size * shape


def samples(heart: Heart, name: str) -> NDArray[np.int32]:
    """One lead in steps; III and the augmented leads follow from I and II exactly where halves allow it."""
    if name in ("III", "aVR", "aVL", "aVF"):
        one, two = samples(heart, "I"), samples(heart, "II")
        made = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}[name]
        return np.asarray(np.rint(made), np.int32)
    time = np.arange(round(heart.hertz * heart.seconds)) / heart.hertz
    within = (time - 0.4) % (60 / heart.rate)
    within = np.where(within > 60 / heart.rate - 0.3, within - 60 / heart.rate, within)
    return np.rint(beat(within, AXES.get(name, 0.7)) * 1000 / heart.step).astype(np.int32)


def recording(heart: Heart | None = None) -> Recording:
    """A recording of a heart, with its representative beat of 1.2 s."""
    heart = heart or Heart()
    leads = tuple(Lead(name, samples(heart, name), heart.step) for name in heart.leads)
    one = replace(heart, seconds=1.2, rate=50.0)
    beats = tuple(Lead(name, samples(one, name), heart.step) for name in heart.leads)
    return Recording(
        format="",
        rhythm=Strip(float(heart.hertz), leads),
        beat=Strip(float(heart.hertz), beats),
        measurements=heart.said,
        fiducials=MARKS,
        statements=heart.statements,
        recorded_at=datetime(2026, 3, 2, 9, 30),  # noqa: DTZ001 - a cart's clock names no zone
        subject=Subject("10001", PersonName(alphabetic="Wang^XiaoDong"), "19600518", "M"),
    )


# --- SCP-ECG (EN 1064), uncompressed: the sections that carts always write ---


def scp(given: Recording, *, encoding: str = "ascii", language: int = 0) -> bytes:
    """A recording as SCP-ECG: sections 0, 1, 3, 5, 6, 7 and 8. `language` is the language support code of tag 14."""
    sections = {
        1: _scp_header(given, encoding, language),
        3: _scp_leads(given.rhythm),
        5: _scp_data(given.beat) if given.beat else b"",
        6: _scp_data(given.rhythm),
        7: _scp_marks(given),
        8: _scp_statements(given, encoding),
    }
    return _scp_file({number: body for number, body in sections.items() if body})


def _scp_file(bodies: dict[int, bytes]) -> bytes:
    pointers, blocks = b"", b""
    begin = 6 + 16 + 10 * 12
    for number in range(12):
        body = bodies.get(number, b"")
        if number == 0:
            pointers += struct.pack("<HII", 0, 16 + 120, 7)
            continue
        block = _scp_section(number, body) if body else b""
        pointers += struct.pack("<HII", number, len(block), begin + len(blocks) + 1 if block else 0)
        blocks += block
    whole = _scp_section(0, pointers) + blocks
    rest = struct.pack("<I", len(whole) + 6) + whole
    return struct.pack("<H", _crc(rest)) + rest


def _scp_section(number: int, body: bytes) -> bytes:
    body += b"\0" * (len(body) % 2)
    mark = b"SCPECG" if number == 0 else b"\0" * 6
    rest = struct.pack("<HIBB", number, len(body) + 16, 20, 20) + mark + body
    return struct.pack("<H", _crc(rest)) + rest


def _crc(data: bytes) -> int:
    """CRC-CCITT from FFFF, as EN 1064 5.2.4 has it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ 0x1021 if value & 0x8000 else value << 1
            value &= 0xFFFF
    return value


def _scp_header(given: Recording, encoding: str, language: int) -> bytes:
    at, who = given.recorded_at, given.subject
    assert at is not None
    family, _, first = (who.name.ideographic or who.name.alphabetic).partition("^")
    birth = (int(who.birth_date[:4]), int(who.birth_date[4:6]), int(who.birth_date[6:]))
    machine = struct.pack("<HHH", 0, 0, 1) + bytes((0, 255)) + b"CART1\0" + bytes((20, 0, language, 0, 1, 0))
    fields = (
        (0, family.encode(encoding) + b"\0"),
        (1, first.encode(encoding) + b"\0"),
        (2, who.patient_id.encode() + b"\0"),
        (5, struct.pack("<HBB", *birth)),
        (8, bytes((1 if who.sex == "M" else 2,))),
        (14, machine.ljust(36, b"\0") + b"\0"),
        (25, struct.pack("<HBB", at.year, at.month, at.day)),
        (26, bytes((at.hour, at.minute, at.second))),
    )
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in fields) + b"\xff\0\0"


def _scp_leads(strip: Strip) -> bytes:
    leads = b"".join(struct.pack("<IIB", 1, len(lead.samples), NUMBERS[lead.name]) for lead in strip.leads)
    return bytes((len(strip.leads), 4 | len(strip.leads) << 3)) + leads


def _scp_data(strip: Strip) -> bytes:
    data = [lead.samples.astype("<i2").tobytes() for lead in strip.leads]
    step, interval = round(strip.leads[0].step * 1000), round(1e6 / strip.rate)
    sizes = b"".join(struct.pack("<H", len(one)) for one in data)
    return struct.pack("<HHBB", step, interval, 0, 0) + sizes + b"".join(data)


def _scp_marks(given: Recording) -> bytes:
    none = 29999
    marks = [round(given.fiducials.get(point, none)) for point in FIDUCIALS]
    axes = [round(given.measurements.get(name, 999)) for name in ("P axis", "QRS axis", "T axis")]
    rr = round(given.measurements.get("RR interval", none))
    rate = round(given.measurements.get("heart rate", none))
    qtc = round(given.measurements.get("QTc interval", none))
    block = struct.pack("<5H3h", *marks, *axes)
    return (
        bytes((1, 0))
        + struct.pack("<HH", rr, none)
        + block
        + struct.pack("<H", 0)
        + struct.pack("<3HB", rate, none, qtc, 2)
        + b"\0\0"
    )


def _scp_statements(given: Recording, encoding: str) -> bytes:
    at = given.recorded_at
    assert at is not None
    lines = [text.encode(encoding) + b"\0" for text in given.statements]
    head = struct.pack("<BHBBBBBB", 0, at.year, at.month, at.day, at.hour, at.minute, at.second, len(lines))
    return head + b"".join(struct.pack("<BH", n, len(line)) + line for n, line in enumerate(lines, 1))


# --- HL7 aECG (ANSI/HL7 V3 ECG, R1) ---

_INTERVALS: Final = {"PR interval": "MDC_ECG_TIME_PD_PR", "QTc interval": "MDC_ECG_TIME_PD_QTc"} | {
    "QRS duration": "MDC_ECG_TIME_PD_QRS",
    "QT interval": "MDC_ECG_TIME_PD_QT",
    "P duration": "MDC_ECG_TIME_PD_P",
}
_AXES: Final = {"P axis": "P", "QRS axis": "QRS", "T axis": "T"}


def aecg(given: Recording) -> bytes:
    """A recording as an annotated ECG."""
    at, who = given.recorded_at, given.subject
    assert at is not None
    beat = (
        f"<derivation><derivedSeries>{_series(given.beat, 'REPRESENTATIVE_BEAT', '0')}{_marks(given)}"
        if given.beat
        else ""
    )
    beat += "</derivedSeries></derivation>" if given.beat else ""
    stamp = f"{at:%Y%m%d%H%M%S}"
    family, _, first = (who.name.ideographic or who.name.alphabetic).partition("^")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="61d1a24f-b47e-41aa-ae95-f8ac302f4eeb"/><code code="93000" codeSystem="2.16.840.1.113883.6.12"/>
<effectiveTime><center value="{stamp}"/></effectiveTime>
<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>
<id root="2.16.840.1.113883.3.1" extension="{escape(who.patient_id)}"/><subjectDemographicPerson>
<name><family>{escape(family)}</family><given>{escape(first)}</given></name>
<administrativeGenderCode code="{who.sex}" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="{who.birth_date}"/></subjectDemographicPerson></trialSubject></subject></subjectAssignment>
</componentOf></timepointEvent></componentOf>
<component><series><id root="8a8a"/><code code="RHYTHM" codeSystem="2.16.840.1.113883.5.4"/>
<effectiveTime><low value="{stamp}"/></effectiveTime>
{_series(given.rhythm, "RHYTHM", stamp)}{beat}</series></component></AnnotatedECG>""".encode()


def _series(strip: Strip | None, code: str, head: str) -> str:
    assert strip is not None
    head_text = (
        f'<component><sequence><code code="{"TIME_ABSOLUTE" if code == "RHYTHM" else "TIME_RELATIVE"}"'
        ' codeSystem="2.16.840.1.113883.5.4"/><value xsi:type="'
        + (f'GLIST_TS"><head value="{head}.000"/>' if code == "RHYTHM" else 'GLIST_PQ"><head value="0" unit="s"/>')
        + f'<increment value="{1 / strip.rate:g}" unit="s"/></value></sequence></component>'
    )
    leads = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.name}" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="{lead.step:g}" unit="uV"/>'
        f"<digits>{' '.join(map(str, lead.samples.tolist()))}</digits></value></sequence></component>"
        for lead in strip.leads
    )
    begin = "" if code == "RHYTHM" else f'<id root="9b9b"/><code code="{code}" codeSystem="2.16.840.1.113883.5.4"/>'
    return f"{begin}<component><sequenceSet>{head_text}{leads}</sequenceSet></component>"


def _marks(given: Recording) -> str:
    notes = "".join(
        f'<component><annotation><code code="{code}" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="PQ" value="{given.measurements[name]:g}" unit="ms"/></annotation></component>'
        for name, code in _INTERVALS.items()
        if name in given.measurements
    )
    notes += "".join(
        f'<component><annotation><code code="MDC_ECG_ANGLE_{wave}_FRONT" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="PQ" value="{given.measurements[name]:g}" unit="deg"/></annotation></component>'
        for name, wave in _AXES.items()
        if name in given.measurements
    )
    notes += "".join(
        '<component><annotation><code code="MDC_ECG_WAVC_TYPE" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="CE" code="MDC_ECG_WAVC_{wave}" codeSystem="2.16.840.1.113883.6.24"/>'
        '<support><supportingROI><code code="ROIPS" codeSystem="2.16.840.1.113883.5.4"/><component><boundary>'
        '<code code="TIME_RELATIVE" codeSystem="2.16.840.1.113883.5.4"/><value xsi:type="IVL_PQ">'
        f'<low value="{given.fiducials[first]:g}" unit="ms"/><high value="{given.fiducials[last]:g}" unit="ms"/>'
        "</value></boundary></component></supportingROI></support></annotation></component>"
        for wave, first, last in (
            ("PWAVE", "P onset", "P offset"),
            ("QRSWAVE", "QRS onset", "QRS offset"),
            ("TWAVE", "QRS offset", "T offset"),
        )
    )
    lines = "".join(
        '<component><annotation><code code="MDC_ECG_INTERPRETATION_STATEMENT" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="ST">{escape(text)}</value></annotation></component>'
        for text in given.statements
    )
    notes += (
        '<component><annotation><code code="MDC_ECG_INTERPRETATION" codeSystem="2.16.840.1.113883.6.24"/>'
        f"{lines}</annotation></component>"
    )
    return f"<subjectOf><annotationSet>{notes}</annotationSet></subjectOf>"
