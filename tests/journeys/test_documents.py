"""A report comes home as a document: on paper, in the HIS, beside the images; corrected and withdrawn everywhere."""

from __future__ import annotations

import base64
import io
import re
import subprocess
from typing import Any

import httpx
from pydicom import Dataset, dcmread

from tests.journeys.county import County
from worklist.actions import configuration
from worklist.people import HUREN
from worklist.rules.objects import ENCAPSULATED_PDF, ENHANCED_SR

SR, PDF = ENHANCED_SR, ENCAPSULATED_PDF
HOSTILE = '王#set page()"<script>x</script>'


def embed(county: County) -> None:
    """The HIS of TS01 wants the PDF in the message."""
    endpoint = county.world.endpoints["TS01"]
    county.parts.database.write(
        lambda s: configuration.save_endpoint(s, HUREN, {"pdf": "embedded"}, county.clock(), id=endpoint)
    )


def fetched(county: County, path: str) -> bytes:
    """A document as the ordering doctor's program gets it."""
    answer = county.api("doc1").client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.content


def in_message(message: Any) -> bytes:
    """The PDF that a HIS takes out of an ORU."""
    (carrier,) = [obx for obx in message.segments("OBX") if str(obx[2]) == "ED"]
    assert [str(part) for part in carrier[5][0][1:4]] == ["application", "pdf", "Base64"]
    return base64.b64decode(str(carrier[5][0][4]), validate=True)


def shown(county: County, study_uid: str) -> dict[str, list[str]]:
    """SOP Instance UIDs by class, as DICOMweb lists the study's instances to the township."""
    answer = county.api("tech1").client.get(
        f"/dicom-web/studies/{study_uid}/instances", headers={"Accept": "application/dicom+json"}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str]] = {}
    for item in answer.json():
        found.setdefault(item["00080016"]["Value"][0], []).append(item["00080018"]["Value"][0])
    return found


def wrapped(data: bytes) -> bytes:
    """The PDF inside an Encapsulated PDF."""
    ds = dcmread(io.BytesIO(data))
    return bytes(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])


def from_archive(county: County, study_uid: str, stored: bytes) -> bytes:
    """The same object as DICOMweb hands it to the reader's program."""
    ds = dcmread(io.BytesIO(stored))
    path = f"/dicom-web/studies/{study_uid}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    answer = county.api("reader1").client.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code == 200, answer.text
    return answer.content


def outcome(county: County, file: bytes) -> str:
    """What /verify says of a file, to anybody."""
    answer = httpx.post(f"{county.address}/verify", files={"file": ("report", file)}, timeout=30)
    found = re.search(r'data-outcome="(\w+)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def structured(county: County, reading: str) -> Dataset:
    """The structured report."""
    return dcmread(io.BytesIO(fetched(county, f"/api/reports/{reading}.dcm")))


def test_a_signed_report_is_the_same_document_for_everybody(county: County) -> None:
    embed(county)
    placer, _answer = county.order("TS01", "10001", "王^小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    files = county.scan("TS01CT", accession, 3)
    image = dcmread(files[1], stop_before_pixels=True)
    study_uid = str(image.StudyInstanceUID)
    reading = county.case(accession, status="unread")["id"]
    reader = county.api("reader1")
    reader.post(f"/api/readings/{reading}/claim")
    reader.put(
        f"/api/readings/{reading}/report",
        findings="右侧基底节区见高密度影。",
        impression="脑出血。",
        key_images=[{"sop_instance_uid": str(image.SOPInstanceUID)}],
    )
    reader.post(f"/api/readings/{reading}/submit")
    county.sign(reading)

    # One PDF: the API's, the HIS's, and the one in the archive's object.
    pdf = fetched(county, f"/api/reports/{reading}.pdf")
    his = county.his["TS01"]
    his.wait_for(1, 20)
    assert in_message(his.received[0]) == pdf
    assert wrapped(fetched(county, f"/api/reports/{reading}.dcm?kind=pdf")) == pdf
    assert outcome(county, pdf) == "current"
    # What an archive fetches carries the number that it knows, so it is not the stored file; the PDF inside is.
    archived = from_archive(county, study_uid, fetched(county, f"/api/reports/{reading}.dcm?kind=pdf"))
    assert outcome(county, archived) == "current"
    assert outcome(county, archived.replace(b"/Type", b"/Typo", 1)) == "altered"
    first = structured(county, reading)
    assert (first.PatientID, first.AccessionNumber) == (image.PatientID, accession)
    objects = shown(county, study_uid)
    assert objects[SR] == [str(first.SOPInstanceUID)]
    assert len(objects[PDF]) == 1

    # A correction: a new PDF for everybody, the old structured report is no longer shown.
    made = county.api("senior1").post(
        f"/api/reports/{reading}/correct",
        findings="左侧基底节区见高密度影。",
        impression="脑出血（左侧）。",
        reason="左右写反",
    )
    assert made["signed"]["status"] == "corrected"
    his.wait_for(2, 20)
    second = structured(county, reading)
    corrected = fetched(county, f"/api/reports/{reading}.pdf")
    assert in_message(his.received[1]) == corrected != pdf
    assert fetched(county, f"/api/reports/{reading}.pdf?version=1") == pdf
    replaced = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert replaced.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert shown(county, study_uid)[SR] == [str(second.SOPInstanceUID)]

    # A withdrawal: its PDF says so, and no structured report is shown any more.
    county.api("senior1").post(f"/api/reports/{reading}/withdraw", reason="患者有误")
    his.wait_for(3, 20)
    assert in_message(his.received[2]) == fetched(county, f"/api/reports/{reading}.pdf")
    objects = shown(county, study_uid)
    assert SR not in objects
    assert len(objects[PDF]) == 1

    # None of our own objects ever counted as an image or asked anybody to look again.
    study = county.order_at_home(accession)
    assert county.find_case(accession, status="all") is not None
    assert study["accession_number"] == accession
    assert county.api("reader1").get(f"/api/readings/{reading}")["late_images"] == []


def test_a_withdrawal_goes_out_under_the_name_that_was_issued(county: County) -> None:
    placer, _answer = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession, 1)
    reading = county.case(accession, status="unread")["id"]
    county.report(reading, findings="右侧基底节区高密度影。", impression="脑出血。")
    his = county.his["TS01"]
    his.wait_for(1, 20)
    news = county.message(
        "TS01", "EVN|A08|20260302100000", "PID|1||10001^^^^MR||赵六||19990909|F", "PV1|1|O", kind="ADT^A08"
    )
    county.tell("TS01", news)
    admin = county.api("admin")
    (aside,) = admin.get("/api/set-aside")["items"]
    admin.post(f"/api/messages/{aside['message_id']}/replay", sure=True)
    assert county.order_at_home(accession)["patient"]["name"] == "赵六"
    county.api("senior1").post(f"/api/reports/{reading}/withdraw", reason="患者有误")
    his.wait_for(2, 20)
    for message in his.received:
        assert "王小东" in str(message.segment("PID"))
        assert "赵六" not in str(message)
    assert "赵六" not in text_of(fetched(county, f"/api/reports/{reading}.pdf"))


def text_of(pdf: bytes) -> str:
    """The words on the paper."""
    ran = subprocess.run(["pdftotext", "-", "-"], input=pdf, capture_output=True, check=True)
    return ran.stdout.decode()


def test_a_hostile_name_from_the_order_to_the_paper(county: County) -> None:
    embed(county)
    placer, _answer = county.order("TS01", "66601", HOSTILE, "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession, 1)
    reading = county.case(accession, status="unread")["id"]
    county.report(reading, findings=HOSTILE, impression=f"= {HOSTILE} $x$ \\ *b*")
    his = county.his["TS01"]
    his.wait_for(1, 20)
    pdf = fetched(county, f"/api/reports/{reading}.pdf")
    assert in_message(his.received[0]) == pdf
    assert structured(county, reading).AccessionNumber == accession
