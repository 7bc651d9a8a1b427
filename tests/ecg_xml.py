"""A made heart as GE MUSE and Philips Sierra XML write it: the elements that their exports always have."""

from __future__ import annotations

from base64 import b64encode
from typing import Final
from xml.sax.saxutils import escape
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.recording import Lead, Recording, Strip

STORED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads that MUSE keeps; the others follow from them."""
_MUSE: Final = {
    "heart rate": "VentricularRate",
    "PR interval": "PRInterval",
    "QRS duration": "QRSDuration",
    "QT interval": "QTInterval",
    "QTc interval": "QTCorrected",
    "P axis": "PAxis",
    "QRS axis": "RAxis",
    "T axis": "TAxis",
}
_SIERRA: Final = {
    "heart rate": "heartrate",
    "RR interval": "rrint",
    "PR interval": "print",
    "QRS duration": "qrsdur",
    "QT interval": "qtint",
    "QTc interval": "qtcb",
    "P axis": "pfrontaxis",
    "QRS axis": "qrsfrontaxis",
    "T axis": "tfrontaxis",
}


def _name(given: Recording) -> tuple[str, str]:
    family, _, first = (given.subject.name.ideographic or given.subject.name.alphabetic).partition("^")
    return escape(family), escape(first)


def muse(
    given: Recording, *, head: str = '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">', confirmed: bool = False
) -> bytes:
    """GE MUSE (restecg.dtd). `confirmed`: a physician changed rate and words; the device's own stand beside them."""
    at, who = given.recorded_at, given.subject
    assert at is not None
    family, first = _name(given)
    said = "".join(f"<{_MUSE[name]}>{value:g}</{_MUSE[name]}>" for name, value in given.measurements.items())
    statements = "".join(
        f"<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>{escape(text)}</StmtText></DiagnosisStatement>"
        for text in given.statements
    )
    changed = "<DiagnosisStatement><StmtText>A physician's words</StmtText></DiagnosisStatement>"
    rate = "<VentricularRate>61</VentricularRate>"
    birth = f"{who.birth_date[4:6]}-{who.birth_date[6:]}-{who.birth_date[:4]}"
    beat = _muse_strip(given.beat, "Median") if given.beat else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
{head}
<RestingECG><MuseInfo><MuseVersion>9.0</MuseVersion></MuseInfo>
<PatientDemographics><PatientID>{escape(who.patient_id)}</PatientID><DateofBirth>{birth}</DateofBirth>
<Gender>{"MALE" if who.sex == "M" else "FEMALE"}</Gender><PatientLastName>{family}</PatientLastName>
<PatientFirstName>{first}</PatientFirstName></PatientDemographics>
<TestDemographics><DataType>RESTING</DataType><AcquisitionDevice>MAC55</AcquisitionDevice>
<Status>{"CONFIRMED" if confirmed else "UNCONFIRMED"}</Status><AcquisitionTime>{at:%H:%M:%S}</AcquisitionTime>
<AcquisitionDate>{at:%m-%d-%Y}</AcquisitionDate></TestDemographics>
<RestingECGMeasurements>{rate if confirmed else said}</RestingECGMeasurements>
<OriginalRestingECGMeasurements>{said}</OriginalRestingECGMeasurements>
<Diagnosis><Modality>RESTING</Modality>{changed if confirmed else statements}</Diagnosis>
<OriginalDiagnosis><Modality>RESTING</Modality>{statements}</OriginalDiagnosis>
{beat}{_muse_strip(given.rhythm, "Rhythm")}</RestingECG>""".encode()


def _muse_strip(strip: Strip, kind: str) -> str:
    return (
        f"<Waveform><WaveformType>{kind}</WaveformType><SampleType>CONTINUOUS_SAMPLES</SampleType>"
        f"<SampleExponent>0</SampleExponent><SampleBase>{strip.rate:g}</SampleBase>"
        f"<HighPassFilter>16</HighPassFilter><LowPassFilter>150</LowPassFilter><ACFilter>50</ACFilter>"
        f"{''.join(_muse_lead(lead) for lead in strip.leads if lead.name in STORED)}</Waveform>"
    )


def _muse_lead(lead: Lead) -> str:
    data = lead.samples.astype("<i2").tobytes()
    return (
        f"<LeadData><LeadByteCountTotal>{len(data)}</LeadByteCountTotal>"
        f"<LeadSampleCountTotal>{len(lead.samples)}</LeadSampleCountTotal><LeadSampleSize>2</LeadSampleSize>"
        f"<LeadAmplitudeUnitsPerBit>{lead.step:g}</LeadAmplitudeUnitsPerBit>"
        f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{lead.name}</LeadID>"
        f"<WaveFormData>{b64encode(data).decode()}</WaveFormData><LeadDataCRC32>{crc32(data)}</LeadDataCRC32></LeadData>"
    )


def sierra(given: Recording, *, version: str = "1.04", packed: bool = True, head: str = "") -> bytes:
    """Philips Sierra ECG. `packed`: the rhythm compressed as XLI, as carts write it; plain 16-bit samples otherwise."""
    at, who, rhythm = given.recorded_at, given.subject, given.rhythm
    assert at is not None
    family, first = _name(given)
    said = "".join(f"<{_SIERRA[name]}>{value:g}</{_SIERRA[name]}>" for name, value in given.measurements.items())
    statements = "".join(
        f"<statement><leftstatement>{escape(text)}</leftstatement></statement>" for text in given.statements
    )
    samples = [lead.samples for lead in rhythm.leads]
    data = _xli(samples) if packed else b"".join(lead.astype("<i2").tobytes() for lead in samples)
    marks = 'dataencoding="Base64"' + (' compression="XLI"' if packed else "")
    beats = "".join(
        f'<repbeat leadname="{lead.name}"><waveform duration="{len(lead.samples) / rhythm.rate * 1000:g}">'
        f"{b64encode(lead.samples.astype('<i2').tobytes()).decode()}</waveform></repbeat>"
        for lead in (given.beat.leads if given.beat else ())
    )
    repbeats = (
        f'<repbeats dataencoding="Base64" samplespersec="{given.beat.rate:g}" resolution="{rhythm.leads[0].step:g}">'
        f"{beats}</repbeats>"
        if given.beat
        else ""
    )
    birth = f"{who.birth_date[:4]}-{who.birth_date[4:6]}-{who.birth_date[6:]}"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
{head}<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documenttype>SierraECG</documenttype>
<documentversion>{version}</documentversion></documentinfo>
<patient><generalpatientdata><patientid>{escape(who.patient_id)}</patientid><name><lastname>{family}</lastname>
<firstname>{first}</firstname></name><age><dateofbirth>{birth}</dateofbirth></age>
<sex>{"Male" if who.sex == "M" else "Female"}</sex></generalpatientdata></patient>
<dataacquisition date="{at:%Y-%m-%d}" time="{at:%H:%M:%S}"><machine machineid="US1">PageWriter</machine>
<signalcharacteristics><samplingrate>{rhythm.rate:g}</samplingrate><signalresolution>{rhythm.leads[0].step:g}</signalresolution>
<resolution>{rhythm.leads[0].step:g}</resolution><signalsigned>True</signalsigned>
<numberchannelsallocated>12</numberchannelsallocated><numberchannelsvalid>12</numberchannelsvalid>
<acquisitiontype>STD-12</acquisitiontype></signalcharacteristics></dataacquisition>
<interpretations><interpretation><globalmeasurements>{said}</globalmeasurements>{statements}</interpretation>
</interpretations><waveforms><parsedwaveforms {marks} numberofleads="12" leadlabels="{" ".join(rhythm.names)}"
durationperchannel="{rhythm.seconds * 1000:g}" samplespersecond="{rhythm.rate:g}">{b64encode(data).decode()}
</parsedwaveforms>{repbeats}</waveforms></restingecgdata>""".encode()


# --- XLI: second differences, high bytes before low bytes, codes of ten bits -------------------------------------


def _xli(leads: list[NDArray[np.int32]]) -> bytes:
    """I, II, the limb leads as what remains beside those two, and the chest leads."""
    one, two, three, right, left, foot = leads[:6]
    rest = (two - one - three, -right - (one + two) // 2, (one - three) // 2 - left, (two + three) // 2 - foot)
    return b"".join(_xli_lead(lead) for lead in (one, two, *rest, *leads[6:]))


def _xli_lead(lead: NDArray[np.int32]) -> bytes:
    bends = 2 * lead[1:-1] - lead[:-2] - lead[2:]
    words = np.concatenate((lead[:2], bends[1:] + 64, [64])).astype(">i2").view(np.uint8).reshape(-1, 2)
    # LZW that finds nothing to shorten: each byte is its own code.
    bits = np.unpackbits(words.T.reshape(-1, 1), axis=1)
    codes = np.concatenate((np.zeros((len(bits), 2), np.uint8), bits), axis=1)
    packed = np.packbits(codes).tobytes()
    return len(packed).to_bytes(4, "little") + b"\0\0" + int(bends[0]).to_bytes(2, "little", signed=True) + packed
