"""WADO-RS as programs and the viewer use it: over a live server with dicomweb-client, and by hand where it is odd."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    MPEG4HP41,
    UID,
    EncapsulatedCDAStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    VideoPhotographicImageStorage,
)
from starlette.testclient import TestClient

from gateway.prepare import prepare_series
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.integration.image_desk import SAMPLES, Sent, phantom, send, served
from tests.working import worker_of
from worklist.actions import linking
from worklist.actions.preparing import note_prepared
from worklist.queries.stored import store_keys
from worklist.tables import Series

ANY = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True)
class Shelf:
    """A program that may see everything, and what it may ask for."""

    client: TestClient
    plain: Sent
    compressed: Sent


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county."""
    with open_desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A county with two objects that nobody changes."""
    with open_desk(tmp_path_factory.mktemp("county")) as found:
        compressed = send(found, (SAMPLES / "MR_small_jpeg_ls_lossless.dcm").read_bytes())
        yield Shelf(found.program("admin"), send(found, phantom()), compressed)


def root(sent: Sent) -> str:
    """The narrow root of a study."""
    return f"/dicom-web/held/{sent.study_id}"


def parts(answer: Any) -> list[tuple[str, bytes]]:
    """Content-Type and body of each part."""
    boundary = answer.headers["Content-Type"].split("boundary=")[1].encode()
    pieces = answer.content.split(b"--" + boundary)
    assert pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found.append((head.decode().removeprefix("Content-Type: "), body.removesuffix(b"\r\n")))
    return found


def document(sop_class: UID, syntax: UID = ExplicitVRLittleEndian, **tags: object) -> bytes:
    """An object of another kind than a picture."""
    said = Dataset()
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = syntax
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID = sop_class
    said.file_meta.MediaStorageSOPInstanceUID = said.SOPInstanceUID = UID("1.9.9.1")
    said.StudyInstanceUID, said.SeriesInstanceUID, said.PatientID = "1.9", "1.9.9", "P1"
    for word, value in tags.items():
        setattr(said, word, value)
    out = io.BytesIO()
    dcmwrite(out, said, enforce_file_format=True)
    return out.getvalue()


# --- with the client that people use --------------------------------------------------------------------------


def test_dicomweb_client_gets_metadata_frames_objects_and_pictures(desk: Desk) -> None:
    sent = [send(desk, phantom(number)) for number in (1, 2, 3)]
    compressed = send(desk, (SAMPLES / "MR_small_jpeg_ls_lossless.dcm").read_bytes())
    token = desk.token("tech1", "read")
    with served(desk.app) as address:
        client = DICOMwebClient(f"{address}/dicom-web", headers={"Authorization": f"Bearer {token}"})
        study, series, first = sent[0].uids
        described = client.retrieve_series_metadata(study, series)
        assert [one["00200013"]["Value"] for one in described] == [[1], [2], [3]]
        assert described[0]["00100020"]["Value"] == ["P1"]
        wanted = dcmread(io.BytesIO(phantom(1)))
        assert client.retrieve_instance_frames(study, series, first, [1]) == [wanted.PixelData]
        whole = client.retrieve_instance(study, series, first)
        assert np.array_equal(whole.pixel_array, wanted.pixel_array)
        assert len(client.retrieve_series(study, series)) == 3
        assert {one.SOPInstanceUID for one in client.retrieve_study(study)} == {s.uids[2] for s in sent}
        picture = client.retrieve_instance_rendered(study, series, first, media_types=("image/png",))
        assert Image.open(io.BytesIO(picture)).size == (64, 64)
        decoded = client.retrieve_instance_frames(
            *compressed.uids, [1], media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),)
        )
        assert decoded == [dcmread(SAMPLES / "MR_small.dcm").PixelData]
        stored = client.retrieve_instance_frames(*compressed.uids, [1], media_types=("image/jls",))
        assert stored[0][:4] == b"\xff\xd8\xff\xf7"
        # This client leaves the port out of its Host header, so that whole addresses have none either.
        place = urlsplit(described[0]["7FE00010"]["BulkDataURI"]).path
        bulk = client.retrieve_bulkdata(address + place)
        assert bulk == [wanted.PixelData]


# --- what the viewer does -------------------------------------------------------------------------------------


def test_the_viewer_gets_the_stored_bytes(desk: Desk) -> None:
    sent = send(desk, (SAMPLES / "SC_rgb_rle_2frame.dcm").read_bytes())
    client = desk.browser("admin")
    answer = client.get(f"{root(sent)}{sent.path}/frames/2,1", headers={"Accept": ANY})
    (type_one, one), (type_two, two) = parts(answer)
    assert type_one == type_two == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5"
    assert len(one) == len(two)
    assert one != two
    assert answer.headers["Cache-Control"].startswith("private")
    assert "Cookie" in answer.headers["Vary"]
    again = client.get(
        f"{root(sent)}{sent.path}/frames/2,1", headers={"Accept": ANY, "If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_two_townships_with_one_patient_number_are_two_patients(desk: Desk) -> None:
    one = send(desk, phantom(study="1.2.3"))
    two = send(desk, phantom(study="1.2.4"), device="TS02DR")
    browser, program = desk.browser("admin"), desk.program("admin")
    shown, told, files = set(), set(), set()
    for sent in (one, two):
        said = browser.get(f"{root(sent)}/studies/{sent.uids[0]}/metadata").json()[0]
        shown.add((said["00100020"]["Value"][0], said["00100021"]["Value"][0]))
        assert "P1" not in said["00100020"]["Value"]
        said = program.get(f"{root(sent)}/studies/{sent.uids[0]}/metadata").json()[0]
        told.add((said["00100020"]["Value"][0], said["00100021"]["Value"][0]))
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        whole = dcmread(io.BytesIO(browser.get(root(sent) + sent.path, headers=accept).content))
        files.add((whole.PatientID, whole.IssuerOfPatientID))
        assert whole.PixelData == dcmread(io.BytesIO(phantom())).PixelData
        assert str(whole.PatientName) == "Wang^XiaoDong=王^小东"
    assert len(shown) == 2
    assert files == shown
    assert {issuer for _, issuer in shown} == {"HUREN"}
    assert told == {("P1", "TS01"), ("P1", "TS02")}


def test_a_study_that_a_person_linked_leaves_with_its_patients_name(desk: Desk) -> None:
    placed = desk.world.order()
    sent = send(desk, phantom(name="Zhang^San", PatientSex="F", OtherPatientIDs="4711"))
    by = desk.world.actor("admin")
    desk.world.do(linking.link, by, sent.study_id, [placed.id], "按电话核对", desk.now)
    said = desk.program("admin").get(f"{root(sent)}{sent.path}/metadata").json()[0]
    assert said["00100010"]["Value"][0]["Ideographic"] == "王小东"
    assert said["00100040"]["Value"] == ["M"]
    assert said["00100020"]["Value"] == [placed.patient_id]
    assert "00101000" not in said
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    whole = dcmread(io.BytesIO(desk.program("admin").get(root(sent) + sent.path, headers=accept).content))
    assert "王小东" in str(whole.PatientName)
    assert (whole.PatientID, whole.PatientSex) == (placed.patient_id, "M")


def test_what_is_another_townships_is_not_there(desk: Desk) -> None:
    sent = send(desk, phantom())
    mine, foreign, stranger = desk.program("tech1"), desk.program("tech2"), desk.stranger()
    places = ("", "/metadata", "/frames/1", "/frames", "/bulkdata/7FE00010", "/rendered", "/thumbnail")
    for narrow in (root(sent), "/dicom-web"):
        for place in places:
            assert mine.get(narrow + sent.path + place).status_code == 200
            assert foreign.get(narrow + sent.path + place).status_code == 404
            assert stranger.get(narrow + sent.path + place).status_code == 401
        for place in ("", "/metadata", "/thumbnail", "/series/1.2.3.1", "/series/1.2.3.1/metadata"):
            assert mine.get(f"{narrow}/studies/1.2.3{place}").status_code == 200
            assert foreign.get(f"{narrow}/studies/1.2.3{place}").status_code == 404
    assert desk.program("tech1", "order").get(root(sent) + sent.path).status_code == 403


# --- forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (ANY, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ('multipart/related; type="image/jls"', "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("multipart/related; type=image/*", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("*/*", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        (
            'multipart/related; type="application/octet-stream"',
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        ),
        ('multipart/related; type="image/jp2"', None),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.4.90', None),
        ("text/html", None),
    ],
)
def test_frames_leave_in_the_form_that_is_accepted(shelf: Shelf, accept: str, wanted: str | None) -> None:
    sent = shelf.compressed
    answer = shelf.client.get(f"{root(sent)}{sent.path}/frames/1", headers={"Accept": accept})
    if wanted is None:
        assert answer.status_code == 406
        assert code_of(answer) == "nothing_acceptable"
    else:
        assert parts(answer)[0][0] == wanted


def test_big_endian_is_turned_for_those_who_do_not_ask_for_it(desk: Desk) -> None:
    sent = send(desk, (SAMPLES / "MR_small_bigendian.dcm").read_bytes())
    client = desk.program("admin")
    wanted = dcmread(SAMPLES / "MR_small.dcm").PixelData
    octets = 'multipart/related; type="application/octet-stream"'
    assert parts(client.get(f"{root(sent)}{sent.path}/frames/1", headers={"Accept": octets}))[0][1] == wanted
    stored = parts(client.get(f"{root(sent)}{sent.path}/frames/1", headers={"Accept": ANY}))[0]
    assert stored[0].endswith("=1.2.840.10008.1.2.2")
    assert np.array_equal(np.frombuffer(stored[1], ">u2"), np.frombuffer(wanted, "<u2"))
    bulk = client.get(f"{root(sent)}{sent.path}/bulkdata/7FE00010", headers={"Accept": "application/octet-stream"})
    assert bulk.content == wanted


@pytest.mark.parametrize(
    ("frames", "status", "code"),
    [
        ("0", 400, "frames_malformed"),
        ("a", 400, "frames_malformed"),
        ("1,,1", 400, "frames_malformed"),
        ("-1", 400, "frames_malformed"),
        ("2", 404, "no_such_frame"),
        ("999999999", 404, "no_such_frame"),
        (",".join(["1"] * 20_001), 413, "too_many_frames"),
    ],
)
def test_frames_that_are_none(shelf: Shelf, frames: str, status: int, code: str) -> None:
    sent = shelf.plain
    answer = shelf.client.get(f"{root(sent)}{sent.path}/frames/{frames}", headers={"Accept": ANY})
    assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize("place", ["", "/frames/1", "/rendered", "/metadata"])
def test_head_says_what_get_would(shelf: Shelf, place: str) -> None:
    address = f"{root(shelf.plain)}{shelf.plain.path}{place}"
    got, told = shelf.client.get(address), shelf.client.head(address)
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers["ETag"] == got.headers["ETag"]
    if "boundary" not in got.headers["Content-Type"]:
        assert told.headers["Content-Type"] == got.headers["Content-Type"]
    assert told.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize(
    "query",
    ["window=a,b", "window=40", "window=40,0", "window=40,400,cubic", "viewport=0,0", "viewport=1", "quality=101",
     "viewport=99999,5", "viewport=10,10,64,64,5,5"],
)  # fmt: skip
def test_looks_that_are_none(shelf: Shelf, query: str) -> None:
    sent = shelf.plain
    answer = shelf.client.get(f"{root(sent)}{sent.path}/rendered?{query}")
    assert answer.status_code == 400
    assert code_of(answer).endswith("_malformed")


def test_pictures_have_the_window_and_the_size_that_is_asked_for(desk: Desk) -> None:
    sent = send(desk, phantom())
    client = desk.program("admin")

    def picture(query: str, place: str = "rendered") -> np.ndarray[Any, Any]:
        answer = client.get(f"{root(sent)}{sent.path}/{place}?{query}", headers={"Accept": "image/png"})
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    assert picture("").shape == (64, 64)
    assert picture("viewport=32,16").shape == (16, 16)
    assert (picture("window=-1024,1") == 255).mean() > 0.9
    part = picture("viewport=8,8,10,20,8,8")
    assert np.array_equal(part, picture("")[20:28, 10:18])
    assert np.array_equal(picture("viewport=8,8,10,20,-8,8"), part[:, ::-1])
    assert picture("", "frames/1/rendered").shape == (64, 64)
    assert max(picture("", "thumbnail").shape) == 128
    answer = client.get(f"{root(sent)}{sent.path}/rendered", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "image/jpeg"


def test_a_pdf_and_a_video_come_as_they_are_and_in_ranges(desk: Desk) -> None:
    pdf = b"%PDF-1.7\n" + bytes(range(256)) * 8
    sent = send(
        desk, document(EncapsulatedPDFStorage, EncapsulatedDocument=pdf, MIMETypeOfEncapsulatedDocument="text/html")
    )
    client = desk.browser("admin")
    for place in ("/rendered", "/bulkdata/00420011?accept=application/pdf"):
        answer = client.get(f"{root(sent)}{sent.path}{place}", headers={"Accept": "application/pdf,*/*;q=0.8"})
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
        assert "sandbox" not in answer.headers["Content-Security-Policy"]
        assert answer.content.startswith(pdf)
        some = client.get(f"{root(sent)}{sent.path}{place}", headers={"Range": "bytes=9-18"})
        assert (some.status_code, some.content) == (206, pdf[9:19])
        assert some.headers["Content-Range"].startswith("bytes 9-18/")
        none = client.get(f"{root(sent)}{sent.path}{place}", headers={"Range": "bytes=99999-"})
        assert none.status_code == 416
    assert client.get(f"{root(sent)}{sent.path}/rendered", headers={"Accept": "image/jpeg"}).status_code == 406


def test_a_video_is_one_stream_for_a_browser(desk: Desk) -> None:
    stream = b"\0\0\0\x18ftypmp42" + bytes(1000)
    file = document(
        VideoPhotographicImageStorage,
        MPEG4HP41,
        Rows=4,
        Columns=4,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_PARTIAL_420",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        NumberOfFrames=250,
        PixelData=encapsulate([stream]),
    )
    sent = send(desk, file)
    client = desk.browser("admin")
    said = client.get(f"{root(sent)}{sent.path}/metadata").json()[0]
    address = said["7FE00010"]["BulkDataURI"]
    assert address.startswith("/dicom-web/held/")
    answer = client.get(f"{address}?accept=video/mp4", headers={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.content) == (206, b"ftyp")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert client.get(f"{root(sent)}{sent.path}/rendered").content == stream


def test_what_a_stranger_calls_a_page_is_no_page(desk: Desk) -> None:
    page = b"<script>alert(1)</script>" * 100
    sent = send(
        desk,
        document(EncapsulatedCDAStorage, EncapsulatedDocument=page, MIMETypeOfEncapsulatedDocument="text/html"),
    )
    answer = desk.browser("admin").get(
        f"{root(sent)}{sent.path}/bulkdata/00420011", headers={"Accept": "text/html,*/*"}
    )
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# --- prepared metadata ----------------------------------------------------------------------------------------


def prepared(desk: Desk) -> list[str]:
    """Keys of prepared series."""
    keys: Iterator[str] = desk.web.store.keys()
    return [key for key in keys if key.endswith(".lines")]


def metadata(desk: Desk, sent: Sent) -> list[dict[str, Any]]:
    """A series as a program gets it."""
    answer = desk.program("admin").get(f"{root(sent)}/studies/{sent.uids[0]}/series/{sent.uids[1]}/metadata")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = json.loads(answer.content)
    return found


def test_prepared_metadata_says_the_same_and_a_late_object_is_in_it(desk: Desk) -> None:
    first = [send(desk, phantom(number)) for number in (1, 2)]
    on_the_fly = metadata(desk, first[0])
    prepare_series(desk.world.database, desk.web.store, first[0].study_id)
    prepare_series(desk.world.database, desk.web.store, first[0].study_id)
    keys = prepared(desk)
    assert len(keys) == 1
    assert metadata(desk, first[0]) == on_the_fly
    for one in first:  # nothing but the lines is needed any more
        desk.web.store.delete(one.store_key)
    assert metadata(desk, first[0]) == on_the_fly
    send(desk, phantom(3))
    assert [one["00200013"]["Value"] for one in metadata(desk, first[0])] == [[1], [2], [3]]


def test_new_lines_replace_the_old_ones(desk: Desk) -> None:
    sent = send(desk, phantom(1))
    prepare_series(desk.world.database, desk.web.store, sent.study_id)
    before = prepared(desk)
    send(desk, phantom(2))
    prepare_series(desk.world.database, desk.web.store, sent.study_id)
    after = prepared(desk)
    assert len(before) == len(after) == 1
    assert before != after
    desk.web.store.delete(after[0])  # lost lines cost time, nothing else
    assert [one["00200013"]["Value"] for one in metadata(desk, sent)] == [[1], [2]]


def test_an_object_whose_file_is_gone_keeps_its_place(desk: Desk) -> None:
    sent = [send(desk, phantom(number)) for number in (1, 2)]
    desk.web.store.delete(sent[0].store_key)
    described = metadata(desk, sent[0])
    assert [one["00200013"]["Value"] for one in described] == [[1], [2]]
    assert "7FE00010" not in described[0]


def test_a_large_study_is_streamed(desk: Desk) -> None:
    sent = [send(desk, phantom(number, side=512)) for number in range(1, 13)]
    with (
        served(desk.app) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {desk.token('admin')}"}) as client,
    ):
        answer = client.get(
            f"{root(sent[0])}/studies/1.2.3", headers={"Accept": "multipart/related; type=application/dicom"}
        )
        found = parts(answer)
        assert [kind for kind, _ in found] == ["application/dicom"] * 12
        for number, (_, file) in enumerate(found, 1):
            assert dcmread(io.BytesIO(file)).PixelData == dcmread(io.BytesIO(phantom(number, side=512))).PixelData


def test_a_complete_study_is_prepared_and_again_after_a_late_object(desk: Desk) -> None:
    worker = worker_of(desk.world.database, desk.web.store, lambda: desk.now)

    def settle() -> Series:
        desk.later(minutes=31)  # longer than the longest wait for more images
        while worker.run_due():
            pass
        return desk.world.one(Series)

    sent = send(desk, phantom(1))
    assert desk.world.one(Series).prepared_key == ""
    first = settle()
    assert first.prepared_instances == 1
    assert prepared(desk) == [first.prepared_key]
    assert first.prepared_key in desk.world.ask(store_keys)

    send(desk, phantom(2))
    assert [one["00200013"]["Value"] for one in metadata(desk, sent)] == [[1], [2]]
    second = settle()
    assert second.prepared_instances == 2
    assert prepared(desk) == [second.prepared_key]


def test_the_job_that_loses_a_race_leaves_nothing_behind(desk: Desk) -> None:
    sent = send(desk, phantom(1))
    series = desk.world.one(Series)
    made = desk.web.store.put([b"x"], kind="lines")
    assert desk.world.do(note_prepared, series.id, made.key, 2) == made.key  # an object has gone or come meanwhile
    assert desk.world.do(note_prepared, series.id, made.key, 1) == ""
    assert desk.world.do(note_prepared, series.id, "aa/bb/other", 1) == "aa/bb/other"
    assert desk.world.one(Series, Series.study_id == sent.study_id).prepared_key == made.key
