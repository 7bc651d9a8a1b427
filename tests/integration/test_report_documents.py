"""The documents of a signed report: made once, stored before anything is issued, offered with the study, printed."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import delete

from reading_room.documents import making
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.pages.site import phantom
from tests.world import Placed
from worklist.documents import from_canonical
from worklist.errors import Broken
from worklist.queries import reports
from worklist.queries.stored import store_keys
from worklist.queries.views import InstanceRow
from worklist.rules.objects import ENCAPSULATED_PDF, ENHANCED_SR
from worklist.tables import (
    AuditRow,
    Instance,
    LateImages,
    Message,
    Reading,
    ReportDocument,
    ReportPrint,
    ReportVersion,
    Series,
    new_id,
)

TEXT = {"findings": "左肺下叶见结节。", "impression": "左肺下叶结节，建议复查。", "critical": ""}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


class Case:
    """A case whose images have bytes, on its way through the API."""

    def __init__(self, desk: Desk, placed: Placed | None = None, images: int = 3) -> None:
        self.desk = desk
        self.placed = placed or desk.world.order()
        step = desk.world.begin_step(self.placed, at=desk.now)
        self.images = []
        for number in range(1, images + 1):
            facts = desk.world.facts(self.placed, instance_number=number)
            stored = desk.web.store.put([phantom(facts, number / images)])
            receipt = desk.world.receive(facts, stored, at=desk.now)
            self.images.append(facts.sop_instance_uid)
        self.study_id = receipt.study_id
        desk.world.end_step(step, self.images, at=desk.now)
        self.id = desk.world.reading_of(self.placed).id

    def write(self, **fields: object) -> None:
        reader = self.desk.program("reader1")
        assert reader.post(f"/api/readings/{self.id}/claim").status_code == 200
        answer = reader.put(f"/api/readings/{self.id}/report", json={**TEXT, **fields})
        assert answer.status_code == 200, answer.text
        assert reader.post(f"/api/readings/{self.id}/submit").status_code == 200

    def sign(self) -> None:
        senior = self.desk.program("senior1")
        assert senior.post(f"/api/readings/{self.id}/claim").status_code == 200
        answer = senior.post(f"/api/readings/{self.id}/sign")
        assert answer.status_code == 200, answer.text

    def issued(self, **fields: object) -> Case:
        self.write(**fields)
        self.sign()
        return self

    def correct(self, impression: str) -> None:
        answer = self.desk.program("senior1").post(
            f"/api/reports/{self.id}/correct", json={**TEXT, "impression": impression, "reason": "左右写反"}
        )
        assert answer.json()["signed"] is not None, answer.text

    def withdraw(self) -> None:
        answer = self.desk.program("senior1").post(f"/api/reports/{self.id}/withdraw", json={"reason": "患者有误"})
        assert answer.status_code == 200, answer.text

    def versions(self) -> list[ReportVersion]:
        found = self.desk.world.rows(ReportVersion, ReportVersion.reading_id == self.id)
        return sorted(found, key=lambda v: v.number)

    def documents(self, version: ReportVersion) -> dict[str, ReportDocument]:
        rows = self.desk.world.rows(ReportDocument, ReportDocument.version_id == version.id)
        return {row.kind: row for row in rows}

    def listed(self) -> list[InstanceRow]:
        """The objects that are shown with the study."""
        by = self.desk.world.actor("tech1")
        return self.desk.world.ask(reports.instances, by, self.study_id, self.desk.now)

    def object(self, version: int | None = None, kind: str = "sr") -> Dataset:
        """The DICOM object as the API hands it out."""
        query = f"?kind={kind}" + (f"&version={version}" if version else "")
        answer = self.desk.program("doc1").get(f"/api/reports/{self.id}.dcm{query}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom"
        return dcmread(io.BytesIO(answer.content))

    def pdf(self, version: int | None = None) -> bytes:
        """The PDF as the API hands it out."""
        answer = self.desk.program("doc1").get(
            f"/api/reports/{self.id}.pdf", params={"version": version} if version else {}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"'
        return answer.content


def words_of(pdf: bytes, tmp_path: Path) -> str:
    """What pdftotext reads, without spaces and line ends."""
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    ran = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    return "".join(ran.stdout.split())


def signature_of(pdf: bytes, tmp_path: Path) -> str:
    """What pdfsig says."""
    path = tmp_path / "signed.pdf"
    path.write_bytes(pdf)
    return subprocess.run(["pdfsig", "-nocert", str(path)], capture_output=True, text=True, check=False).stdout


def test_a_signed_report_is_a_document_in_three_forms(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk)
    study = desk.world.study_now(case.study_id)
    case.issued()
    (version,) = case.versions()
    rows = case.documents(version)
    assert set(rows) == {"pdf", "encapsulated pdf", "sr"}
    for row in rows.values():
        data = desk.web.store.read(row.store_key)
        assert (len(data), sha256(data).hexdigest()) == (row.size, row.sha256)
    pdf = case.pdf()
    assert pdf == desk.web.store.read(rows["pdf"].store_key)
    assert "Signature is Valid" in signature_of(pdf, tmp_path)
    text = words_of(pdf, tmp_path)
    assert "左肺下叶结节，建议复查。" in text
    assert "王小东" in text
    assert case.placed.accession_number in text
    sr, wrapped = case.object(), case.object(kind="pdf")
    assert wrapped.EncapsulatedDocument[: wrapped.EncapsulatedDocumentLength] == pdf
    for ds in (sr, wrapped):
        assert (ds.PatientID, str(ds.PatientName)) == (study.sent_patient_id, "Wang^XiaoDong=王^小东")
        assert (ds.StudyInstanceUID, ds.StudyDate) == (case.placed.study_instance_uid, study.study_date)
    (listed,) = sr.CurrentRequestedProcedureEvidenceSequence
    seen = {i.ReferencedSOPInstanceUID for s in listed.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}
    assert seen == set(case.images)


def test_its_objects_stand_in_their_study_and_are_no_evidence(desk: Desk) -> None:
    case = Case(desk)
    before = desk.world.study_now(case.study_id)
    case.issued()
    (version,) = case.versions()
    after = desk.world.study_now(case.study_id)
    assert (after.instances, after.arrival, after.last_at) == (before.instances, "complete", before.last_at)
    own = desk.world.rows(Instance, Instance.study_id == case.study_id, Instance.version_id.is_not(None))
    assert {row.sop_class_uid for row in own} == {ENHANCED_SR, ENCAPSULATED_PDF}
    series = {row.id: row for row in desk.world.rows(Series, Series.study_id == case.study_id)}
    assert sorted(series[row.series_id].modality for row in own) == ["DOC", "SR"]
    assert len({row.series_id for row in own}) == 2
    assert {uid for uid, _sha in version.instances} == set(case.images)
    assert desk.world.rows(LateImages) == []
    assert {i.sop_class_uid for i in case.listed()} >= {ENHANCED_SR, ENCAPSULATED_PDF}


def test_chosen_images_are_printed_and_referred_to(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk)
    chosen = [{"sop_instance_uid": case.images[1], "frame": 1}, {"sop_instance_uid": case.images[0], "frame": 1}]
    case.write(key_images=chosen)
    plain = len(Case(desk).issued().pdf())
    case.sign()
    (version,) = case.versions()
    assert version.key_images == [[case.images[1], 1], [case.images[0], 1]]
    report = from_canonical(desk.web.store.read(version.document_key))
    assert report.key_images == ((case.images[1], 1), (case.images[0], 1))
    path = tmp_path / "report.pdf"
    path.write_bytes(case.pdf())
    pictures = subprocess.run(["pdfimages", "-list", str(path)], capture_output=True, text=True, check=True).stdout
    assert len([line for line in pictures.splitlines() if " image " in line]) >= 2
    assert len(case.pdf()) > plain
    sr = case.object()
    (block,) = [i for i in sr.ContentSequence if i.ConceptNameCodeSequence[0].CodeMeaning == "Key Images"]
    assert [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in block.ContentSequence] == case.images[1::-1]


def test_only_images_of_the_case_can_be_chosen(desk: Desk) -> None:
    case, other = Case(desk), Case(desk)
    reader = desk.program("reader1")
    reader.post(f"/api/readings/{case.id}/claim")

    def put(*images: tuple[str, int]) -> str:
        chosen = [{"sop_instance_uid": uid, "frame": frame} for uid, frame in images]
        answer = reader.put(f"/api/readings/{case.id}/report", json={**TEXT, "key_images": chosen})
        return "" if answer.status_code == 200 else code_of(answer)

    assert put((other.images[0], 1)) == "not_an_image_of_the_case"
    assert put((case.images[0], 2)) == "not_an_image_of_the_case"
    assert put((case.images[0], 1), (case.images[0], 1)) == "not_an_image_of_the_case"
    assert put(*((uid, 1) for uid in case.images * 4)) == "key_images_too_many"
    assert put((case.images[0], 1)) == ""
    # Words alone leave the choice as it is; an empty list takes it back.
    reader.put(f"/api/readings/{case.id}/report", json=TEXT)
    (draft,) = case.versions()
    assert draft.key_images == [[case.images[0], 1]]
    assert put() == ""
    (draft,) = case.versions()
    assert draft.key_images == []


def test_a_preliminary_report_has_no_dicom_objects(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk)
    desk.later(hours=10)  # in the evening, when a lone reader may issue one
    reader = desk.program("reader1")
    reader.post(f"/api/readings/{case.id}/claim")
    reader.put(f"/api/readings/{case.id}/report", json=TEXT)
    assert reader.post(f"/api/readings/{case.id}/sign", json={"preliminary": True}).status_code == 200
    first = case.versions()[0]
    assert set(case.documents(first)) == {"pdf"}
    assert "初步报告" in words_of(case.pdf(1), tmp_path)
    answer = desk.program("doc1").get(f"/api/reports/{case.id}.dcm")
    assert (answer.status_code, code_of(answer)) == (404, "no_such_document")


def test_a_correction_hides_the_objects_of_the_version_before(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk).issued(key_images=[])
    old = case.object()
    case.correct("右肺下叶结节。")
    first, second = case.versions()
    assert (first.state, second.status) == ("superseded", "corrected")
    new = case.object()
    (replaced,) = new.PredecessorDocumentsSequence
    before = replaced.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.SOPInstanceUID != old.SOPInstanceUID
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    uids = {i.sop_instance_uid for i in case.listed()}
    assert new.SOPInstanceUID in uids
    assert old.SOPInstanceUID not in uids
    assert case.object(version=1).SOPInstanceUID == old.SOPInstanceUID  # still there for who asks for version 1
    text = words_of(case.pdf(), tmp_path)
    assert "更正" in text
    assert "左右写反" in text


def test_a_withdrawal_is_a_document_too_and_leaves_no_structured_report(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk).issued()
    case.withdraw()
    newest = case.versions()[-1]
    assert (newest.status, set(case.documents(newest))) == ("withdrawal", {"pdf", "encapsulated pdf"})
    assert "已撤回" in words_of(case.pdf(), tmp_path)
    assert case.object(kind="pdf").DocumentTitle.startswith("已撤回")
    assert [i for i in case.listed() if i.sop_class_uid == ENHANCED_SR] == []


def test_a_study_that_went_to_another_patient_takes_no_document_along(desk: Desk) -> None:
    case = Case(desk).issued()
    case.withdraw()
    elsewhere = desk.world.order(patient=desk.world.patient("20002", "赵敏", "F"))
    answer = desk.program("admin").post(
        f"/api/studies/{case.study_id}/move", json={"order_ids": [elsewhere.id], "reason": "工作列表选错"}
    )
    assert answer.status_code == 200, answer.text
    assert {i.sop_instance_uid for i in case.listed()} == set(case.images)
    # Read anew under the right patient: the document says who that is, though the images still say another.
    again = desk.world.rows(Reading, Reading.patient_id != desk.world.reading(case.id).patient_id)
    fresh = next(r for r in again if r.state == "unread")
    case.id = fresh.id
    case.issued()
    assert (case.object().PatientID, str(case.object().PatientName)) == ("20002", "Zhao^Min=赵敏")


def test_who_may_not_see_the_report_gets_none_of_its_documents(desk: Desk) -> None:
    case = Case(desk).issued()
    for login in ("doc2", "tech2", "village", "security"):
        for ending in (".pdf", ".json", ".dcm", ".dcm?kind=pdf"):
            assert desk.program(login).get(f"/api/reports/{case.id}{ending}").status_code == 404, (login, ending)
    answer = desk.program("doc1").get(f"/api/reports/{case.id}.pdf")
    again = desk.program("doc1").get(f"/api/reports/{case.id}.pdf", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    looks = desk.world.rows(AuditRow, AuditRow.action == "report looked at", AuditRow.thing_id == case.id)
    assert len(looks) == 2


def test_nothing_is_issued_and_nothing_is_left_when_a_document_cannot_be_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(desk)
    case.write()
    before = set(desk.web.store.keys())
    senior = desk.program("senior1")
    senior.post(f"/api/readings/{case.id}/claim")
    with monkeypatch.context() as patch:

        def fails(*_args: object) -> object:
            raise Broken("report_not_printable", reason="test")

        patch.setattr(making, "write_structured_report", fails)  # the last of the four: the others are stored already
        answer = senior.post(f"/api/readings/{case.id}/sign")
        assert (answer.status_code, code_of(answer)) == (500, "report_not_printable")
    assert set(desk.web.store.keys()) == before
    assert [v.state for v in case.versions()] == ["draft"]
    case.sign()
    assert set(desk.web.store.keys()) - before == desk.world.ask(store_keys) & (set(desk.web.store.keys()) - before)


def test_an_image_that_has_no_picture_stops_the_signature_with_words(desk: Desk) -> None:
    case = Case(desk)
    case.write(key_images=[{"sop_instance_uid": case.images[0]}])
    (row,) = desk.world.rows(Instance, Instance.sop_instance_uid == case.images[0])
    path = desk.web.store.path(row.store_key)  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[:2000])
    senior = desk.program("senior1")
    senior.post(f"/api/readings/{case.id}/claim")
    answer = senior.post(f"/api/readings/{case.id}/sign")
    assert (answer.status_code, code_of(answer)) == (409, "key_image_unreadable")
    assert [v.state for v in case.versions()] == ["draft"]


def test_a_hostile_name_is_only_text_in_every_document(desk: Desk, tmp_path: Path) -> None:
    name = '#set page(fill:red) "<script>alert(1)</script>$x$ \\ *b*'
    answer = desk.program("doc1").post(
        "/api/orders",
        json={
            "patient": {"identifier": "66601", "name": name.replace("\\", "")},
            "procedure_code": "CT-HEAD",
            "clinical_information": name,
        },
    )
    assert answer.status_code == 201, answer.text
    order = answer.json()
    placed = Placed(order["id"], order["accession_number"], order["study_instance_uid"], "66601", "TS01", "")
    case = Case(desk, placed).issued(findings=name, impression="=1+1 " + name)
    text = words_of(case.pdf(), tmp_path)
    assert "".join(name.split()) in text
    sr = case.object()
    assert sr.PatientName == "" or "<script>" not in str(sr.PatientName)  # the images say another name
    findings = next(i for i in sr.ContentSequence if i.ConceptNameCodeSequence[0].CodeMeaning == "Findings")
    assert findings.ContentSequence[0].TextValue == name


def test_prints_are_on_record_and_an_old_version_is_printed_with_a_watermark(desk: Desk, tmp_path: Path) -> None:
    case = Case(desk)
    case.issued(key_images=[{"sop_instance_uid": case.images[0]}])
    sealed = case.pdf()
    technician = desk.browser("tech1")

    def print_it(version: int) -> bytes:
        answer = technician.post(f"/reports/{case.id}/print", data={"version": str(version)}, follow_redirects=True)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-disposition"] == f'inline; filename="report-{case.id}-v{version}.pdf"'
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        return answer.content

    assert print_it(1) == sealed
    assert print_it(1) == sealed
    case.correct("右肺下叶结节。")
    old = print_it(1)
    assert old != sealed
    assert "已被新版本取代" in words_of(old, tmp_path)
    assert print_it(2) == case.pdf(2)
    case.withdraw()
    assert "已撤回" in words_of(print_it(2), tmp_path)
    rows = sorted(desk.world.rows(ReportPrint), key=lambda row: (row.at, row.id))
    first, second, _third = (v.id for v in case.versions())
    assert [(row.version_id, row.number, row.marked) for row in rows] == [
        (first, 1, ""),
        (first, 2, ""),
        (first, 3, "superseded"),
        (second, 1, ""),
        (second, 2, "withdrawal"),
    ]
    noted = desk.world.rows(AuditRow, AuditRow.action == "report printed", AuditRow.thing_id == case.id)
    assert [row.detail for row in noted] == [
        {"version": n, "print": p} for n, p in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2))
    ]
    page = technician.get(f"/reports/{case.id}").text
    assert page.count("<td>张技师</td>") == 5


def test_who_may_not_print(desk: Desk) -> None:
    case = Case(desk).issued()
    assert desk.browser("tech2").post(f"/reports/{case.id}/print", data={"version": "1"}).status_code == 404
    assert desk.browser("admin").post(f"/reports/{case.id}/print", data={"version": "1"}).status_code in (403, 404)
    assert desk.browser("tech1").post(f"/reports/{case.id}/print", data={"version": "9"}).status_code == 404
    assert desk.world.rows(ReportPrint, ReportPrint.version_id == case.versions()[0].id) == []


def test_the_page_says_whose_report_it_is(desk: Desk) -> None:
    case = Case(desk).issued()
    text = desk.browser("tech1").get(f"/reports/{case.id}").text
    head = text[text.index('<div class="head">') : text.index("<iframe")]
    assert "王小东" in head
    assert case.placed.patient_id in head
    assert case.placed.accession_number in head
    assert "王小东" in text[text.index("<title>") : text.index("</title>")]


def test_a_report_from_before_documents_were_made(desk: Desk) -> None:
    case = Case(desk).issued()
    (version,) = case.versions()
    desk.world.database.write(
        lambda s: s.execute(delete(ReportDocument).where(ReportDocument.version_id == version.id)).close()
    )
    old = json.loads(desk.web.store.read(version.document_key))
    del old["head"], old["verification_code"], old["key_images"], old["body_part"]
    desk.web.store.path(version.document_key).write_text(json.dumps(old))  # type: ignore[attr-defined]
    technician = desk.browser("tech1")
    page = technician.get(f"/reports/{case.id}")
    assert page.status_code == 200
    assert "<iframe" not in page.text
    assert "/print" not in page.text
    for number in ("1", "9" * 5000):
        assert technician.post(f"/reports/{case.id}/print", data={"version": number}).status_code == 404
    # Superseded, it is printed anew from its canonical document.
    case.correct("右肺下叶结节。")
    answer = technician.post(f"/reports/{case.id}/print", data={"version": "1"}, follow_redirects=True)
    assert answer.content.startswith(b"%PDF-"), answer.text


def test_every_preparation_has_a_code_of_its_own(desk: Desk) -> None:
    codes = [Case(desk).issued().versions()[0].verification_code for _ in range(3)]
    assert len(set(codes)) == 3
    assert all(len(code) == 16 and code.isalnum() and code == code.upper() for code in codes)


def test_the_head_is_the_centers_institution_on_the_paper_of_the_one_that_prints(desk: Desk) -> None:
    admin = desk.program("admin")
    world = desk.world
    for code, fields in (
        ("CH01", {"address": "人民路1号", "phone": "0728-1234567"}),
        ("TS01", {"paper": "A5"}),
    ):
        answer = admin.put(f"/api/institutions/{world.institutions[code]}", json=fields)
        assert answer.status_code == 200, answer.text
    assert admin.get("/api/institutions").json()["items"][0]["paper"] in ("A4", "A5")
    case = Case(desk).issued()
    document = json.loads(desk.program("doc1").get(f"/api/reports/{case.id}.json").content)
    head = document["head"]
    assert (head["institution_name"], head["address"], head["phone"], head["paper"]) == (
        "县人民医院",
        "人民路1号",
        "0728-1234567",
        "A5",
    )
    wrong = admin.put(f"/api/institutions/{world.institutions['TS01']}", json={"paper": "Letter"})
    assert code_of(wrong) == "field_wrong"


def test_the_admin_says_how_the_pdf_goes_along(desk: Desk) -> None:
    admin = desk.program("admin")
    endpoint = desk.world.endpoints["TS01"]
    answer = admin.put(f"/api/endpoints/{endpoint}", json={"pdf": "embedded"})
    assert answer.json()["pdf"] == "embedded"
    assert code_of(admin.put(f"/api/endpoints/{endpoint}", json={"pdf": "by fax"})) == "field_wrong"
    page = desk.browser("admin").get(f"/admin/endpoints/{endpoint}").text
    assert 'value="embedded" selected' in page.replace("  ", " ")
    assert 'name="paper"' in desk.browser("admin").get(f"/admin/institutions/{desk.world.institutions['TS01']}").text


def test_a_message_with_megabytes_is_shown_in_short(desk: Desk) -> None:
    raw = (
        b"MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302||ORU^R01|1|P|2.4\rOBX|1|ED|X||^application^pdf^Base64^"
        + b"QUJD" * 700_000
    )
    row = Message(id=new_id(), direction="in", kind="ORU^R01", raw=raw, outcome="refused", at=desk.now)
    desk.world.database.write(lambda s: s.add(row))
    (kept,) = desk.world.rows(Message, Message.raw == raw)
    page = desk.browser("admin").get(f"/admin/messages/{kept.id}")
    assert page.status_code == 200
    assert len(page.content) < 40_000
    assert f"({len(raw) - raw.index(b'OBX') - 3})" in page.text
