"""Pictures and PDFs of devices without DICOM: objects of their order, with nothing in them that is not the order's."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import discs, pictures
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.world import Placed
from worklist.queries.stored import store_keys
from worklist.tables import Instance, Study, UploadFile

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RED = (220, 30, 20)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def begin(client: Any, placed: Placed, **more: Any) -> str:
    wanted = {"origin": "own equipment", "order_id": placed.id, "examined_at": "2026-03-02T09:10:00+08:00", **more}
    answer = client.post("/api/uploads", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def add(client: Any, upload_id: str, name: str, data: bytes, number: int = 1) -> Any:
    headers = {"X-File-Name": quote(name), "X-File-Number": str(number)}
    return client.post(f"/api/uploads/{upload_id}/files", content=data, headers=headers)


def stored(desk: Desk, name: str) -> Dataset:
    """The object that a file became."""
    uid = desk.world.one(UploadFile, UploadFile.name == name).sop_instance_uid
    return dcmread(
        io.BytesIO(desk.web.store.read(desk.world.one(Instance, Instance.sop_instance_uid == uid).store_key))
    )


def errors_of(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    program = shutil.which("dciodvfy")
    assert program is not None, "dciodvfy (Debian package dicom3tools) is missing"
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


KINDS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "白色.jpg": (lambda: pictures.jpeg(pictures.fan(1, colour=True)), JPEG_BASELINE, "YBR_FULL_422"),
    "full.jpg": (lambda: pictures.jpeg(pictures.fan(2), subsampling=0), JPEG_BASELINE, "YBR_FULL_422"),
    "grey.jpeg": (lambda: pictures.jpeg(pictures.fan(3).convert("L")), JPEG_BASELINE, "MONOCHROME2"),
    "progressive.jpg": (lambda: pictures.jpeg(pictures.fan(4), progressive=True), "1.2.840.10008.1.2.1", "RGB"),
    "odd.png": (lambda: pictures.saved(pictures.fan(5, 321, 241), "PNG"), "1.2.840.10008.1.2.1", "RGB"),
    "deep.png": (
        lambda: pictures.saved(Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)), "PNG"),
        "1.2.840.10008.1.2.1",
        "MONOCHROME2",
    ),
    "see-through.png": (lambda: pictures.saved(pictures.fan(6).convert("RGBA"), "PNG"), "1.2.840.10008.1.2.1", "RGB"),
    "ink.tif": (lambda: pictures.saved(pictures.fan(7).convert("CMYK"), "TIFF"), "1.2.840.10008.1.2.1", "RGB"),
    "old.bmp": (lambda: pictures.saved(pictures.fan(8), "BMP"), "1.2.840.10008.1.2.1", "RGB"),
}


@pytest.mark.parametrize("procedure", ["US-ABDOMEN", "CT-CHEST"])
def test_every_kind_of_file_is_an_object_that_dciodvfy_accepts(desk: Desk, procedure: str, tmp_path: Path) -> None:
    client = desk.program("tech1", "store", "read")
    placed = desk.world.order(procedure)
    upload_id = begin(client, placed)
    for number, (name, (make, syntax, photometric)) in enumerate(KINDS.items(), start=1):
        data = make()
        assert add(client, upload_id, name, data, number).json()["outcome"] == "stored", name
        ds = stored(desk, name)
        assert (str(ds.file_meta.TransferSyntaxUID), ds.PhotometricInterpretation) == (syntax, photometric), name
        assert (ds.PatientID, ds.AccessionNumber, ds.StudyInstanceUID, ds.InstanceNumber) == (
            "10001",
            placed.accession_number,
            placed.study_instance_uid,
            number,
        )
        assert (ds.PatientName.ideographic, ds.StudyDate, ds.StudyTime) == ("王小东", "20260302", "091000")
        row = desk.world.one(UploadFile, UploadFile.name == name)
        assert desk.web.store.read(row.original_key) == data  # the file as it came
        (tmp_path / name).write_bytes(
            desk.web.store.read(desk.world.one(Instance, Instance.number == number).store_key)
        )
        assert errors_of(tmp_path / name) == [], name
        with Image.open(io.BytesIO(data)) as image:
            shown = client.get(f"/api/studies/{ds.StudyInstanceUID}")  # exists whatever it says
            assert shown.status_code < 500
            assert (ds.Columns, ds.Rows) == image.size
    assert set(desk.web.store.keys()) == desk.web.database.read(store_keys)  # the originals are no orphans
    study = desk.world.one(Study)
    assert (study.link, study.instances) == ("matched", len(KINDS))
    assert study.modality == ("US" if procedure == "US-ABDOMEN" else "CT")
    assert desk.world.order_now(placed).state in ("in progress", "performed")


def test_nothing_of_the_telephone_is_kept_in_the_object(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client, desk.world.order("US-ABDOMEN"))
    image = pictures.fan(1, 640, 400, colour=True)
    taken = "2026:03:02 08:59:30"
    for name, orientation in (("up.jpg", 1), ("turned.jpg", 6)):
        data = pictures.jpeg(image, exif=pictures.exif(orientation, taken), icc_profile=b"P" * 999, comment=b"secret")
        assert pictures.PLACE.encode() in data
        assert add(client, upload_id, name, data).json()["outcome"] == "stored"
        ds = stored(desk, name)
        held = desk.web.store.read(desk.world.one(Instance, Instance.sop_instance_uid == ds.SOPInstanceUID).store_key)
        assert pictures.PLACE.encode() not in held
        assert b"secret" not in held
        assert b"Exif" not in held
        assert (ds.ContentDate, ds.ContentTime) == ("20260302", "085930")
        assert bytes(ds.ICCProfile)[:999] == b"P" * 999
        assert (ds.LossyImageCompression, ds.file_meta.TransferSyntaxUID == JPEG_BASELINE) == ("01", orientation == 1)
    upright = stored(desk, "turned.jpg")
    assert (upright.Columns, upright.Rows) == (400, 640)
    # Orientation 6 (CIPA DC-008): the first row is the right side, so (0.5, 0.55) of the file is (0.45, 0.5) upright.
    red = upright.pixel_array[int(640 * 0.52), int(400 * 0.42)]
    assert np.abs(red.astype(int) - RED).max() < 25
    coded = stored(desk, "up.jpg")
    red = coded.pixel_array[int(400 * 0.58), int(640 * 0.52)]
    assert coded.PhotometricInterpretation in ("YBR_FULL_422", "RGB")
    assert coded.pixel_array.shape == (400, 640, 3)
    assert red.shape == (3,)


def test_a_pdf_is_kept_to_the_byte_and_served(desk: Desk, tmp_path: Path) -> None:
    client = desk.program("tech1", "store", "read")
    placed = desk.world.order("US-ABDOMEN")
    upload_id = begin(client, placed)
    data = pictures.pdf()
    assert add(client, upload_id, "结果/心电图.pdf", data).json()["outcome"] == "stored"
    ds = stored(desk, "结果/心电图.pdf")
    assert ds.DocumentTitle == "心电图.pdf"
    instance = desk.world.one(Instance)
    (tmp_path / "paper.dcm").write_bytes(desk.web.store.read(instance.store_key))
    assert errors_of(tmp_path / "paper.dcm") == []
    answer = desk.browser("tech1").get(f"/instances/{instance.id}/paper.pdf")
    assert (answer.content, answer.headers["Content-Type"]) == (data, "application/pdf")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert desk.browser("tech2").get(f"/instances/{instance.id}/paper.pdf").status_code == 404


def test_pages_repeats_and_wrong_files(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    placed = desk.world.order("US-ABDOMEN")
    upload_id = begin(client, placed)
    many = pictures.saved(
        pictures.fan(1), "TIFF", save_all=True, append_images=[pictures.fan(2), pictures.fan(3)], compression="tiff_lzw"
    )
    assert add(client, upload_id, "three.tif", many).json()["outcome"] == "stored"
    assert desk.world.one(Study).instances == 3
    # The same file in a later upload, of which another time is said: the same images.
    again = begin(client, placed, examined_at="2026-03-02T09:20:00+08:00")
    assert add(client, again, "copy.tif", many).json()["outcome"] == "duplicate"
    assert desk.world.one(Study).instances == 3
    jpeg = pictures.jpeg(pictures.fan(9))
    refused = {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "picture_file_unreadable"),
        "bomb.png": (pictures.saved(Image.new("1", (30_000, 30_000)), "PNG"), "picture_too_large"),
        "not.jpg": (b"\xff\xd8\xff" + b"rubbish" * 50, "picture_file_unreadable"),
    }
    for name, (data, code) in refused.items():
        answer = add(client, again, name, data).json()
        assert (answer["outcome"], answer["code"]) == ("refused", code), name
        assert answer["message"]
    # Beside them the order's own DICOM images, of another device: as ever, by their own numbers.
    image = discs.image(1, study=placed.study_instance_uid, AccessionNumber=placed.accession_number)
    assert add(client, again, "ct.dcm", image).json()["outcome"] in ("stored", "conflict")
    plain = str(client.post("/api/uploads", json={"origin": "own equipment"}).json()["id"])
    assert add(client, plain, "a.jpg", jpeg).json()["code"] == "picture_without_order"


def test_only_for_ones_own_open_orders(desk: Desk) -> None:
    placed = desk.world.order("US-ABDOMEN", town="TS02", patient=desk.world.patient("20001"))
    client = desk.program("tech1", "store", "read")
    wanted = {"origin": "own equipment", "order_id": placed.id}
    answer = client.post("/api/uploads", json=wanted)
    assert (answer.status_code, code_of(answer)) == (404, "no_such_order")
    theirs = desk.program("tech2", "store")
    later = {**wanted, "examined_at": "2036-01-01T00:00:00Z"}
    assert code_of(theirs.post("/api/uploads", json=later)) == "field_invalid"
    assert code_of(theirs.post("/api/uploads", json={**wanted, "origin": "other hospital"})) == "field_invalid"
    upload_id = begin(theirs, placed)
    desk.world.request(placed.placer_number, "CA", town="TS02", patient=desk.world.patient("20001"))
    assert code_of(theirs.post("/api/uploads", json=wanted)) == "order_cancelled"
    assert add(theirs, upload_id, "a.jpg", pictures.jpeg(pictures.fan())).json()["code"] == "order_cancelled"


def test_images_are_proposed_in_an_order_and_only_ones_own(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client, desk.world.order("US-ABDOMEN"))
    for number in range(1, 9):
        add(client, upload_id, f"{number}.jpg", pictures.jpeg(pictures.fan(number)), number)
    study = desk.world.one(Study)
    uids = [row.sop_instance_uid for row in sorted(desk.world.rows(Instance), key=lambda row: row.number or 0)]
    address = f"/api/studies/{study.id}/proposed-images"

    def put(*chosen: tuple[str, int], who: Any = client) -> Any:
        return who.put(address, json={"images": [list(one) for one in chosen]})

    assert put((uids[4], 1), (uids[1], 1), (uids[4], 1)).status_code == 204
    assert desk.world.study_now(study.id).proposed_images == [[uids[4], 1], [uids[1], 1]]
    assert code_of(put((uids[0], 2))) == "not_an_image_of_the_study"
    assert code_of(put(("1.2.3", 1))) == "not_an_image_of_the_study"
    assert code_of(put(*((uid, 1) for uid in uids))) == "key_images_too_many"
    assert put((uids[0], 1), who=desk.program("tech2", "store")).status_code == 404
    assert put((uids[0], 1), who=desk.program("reader1")).status_code == 403
    assert desk.world.study_now(study.id).proposed_images == [[uids[4], 1], [uids[1], 1]]
    assert put().status_code == 204
    assert desk.world.study_now(study.id).proposed_images == []
    assert json.loads(client.get(f"/api/uploads/{upload_id}").text)["upload"]["order_id"]
