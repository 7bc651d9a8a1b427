"""Every odd object that the door keeps: over DICOMweb it is shown as it is, or refused with a reason."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, code_of, open_desk
from tests.integration.image_desk import phantom, renumbered, send, storable

PARTS = 'multipart/related; type="application/octet-stream"'
CUT_OFF = {"MR_truncated.dcm"}
REASONS = {"no_such_frame", "no_preview", "undecodable_pixels", "cannot_transcode", "nothing_acceptable"}
"""Why something of an object cannot be had: never a surprise."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One county for all samples."""
    with open_desk(tmp_path_factory.mktemp("county")) as found:
        yield found


@pytest.fixture(scope="module")
def client(desk: Desk) -> TestClient:
    """Somebody who may see everything."""
    return desk.program("admin")


@pytest.mark.parametrize(("number", "path"), list(enumerate(storable())), ids=[path.name for path in storable()])
def test_is_shown_or_refused_with_a_reason(desk: Desk, client: TestClient, number: int, path: Path) -> None:
    sent = send(desk, renumbered(path.read_bytes(), number))
    address = f"/dicom-web/held/{sent.study_id}{sent.path}"

    described = client.get(f"{address}/metadata")
    assert described.status_code == 200
    assert json.loads(described.content)[0]["00080018"]["Value"] == [sent.facts.sop_instance_uid]

    whole = client.get(address, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert whole.status_code == 200
    assert whole.content[128:132] == b"DICM"

    for place, accept in (
        ("/frames/1", f"{PARTS}; transfer-syntax=*"),
        ("/frames/1", PARTS),
        ("/frames/1", "*/*"),
        ("/frames", f"{PARTS}; transfer-syntax=*"),
        ("/rendered", "image/jpeg"),
        ("/rendered", "image/png"),
        ("/thumbnail", "*/*"),
        ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    ):
        answer = client.get(address + place, headers={"Accept": accept})
        if answer.status_code == 200:
            assert answer.content
        else:
            assert answer.status_code in (404, 406), (place, accept, answer.text)
            assert code_of(answer) in REASONS
    if sent.facts.rows and path.name not in CUT_OFF:
        # whatever the pixels are, their stored bytes can be had
        stored = client.get(f"{address}/frames/1", headers={"Accept": f"{PARTS}; transfer-syntax=*"})
        assert stored.status_code == 200


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"])
def test_a_header_that_asks_for_terabytes_gets_what_is_there(desk: Desk, client: TestClient, syntax: str) -> None:
    lying = phantom(study=f"1.5.{syntax.rsplit('.', 1)[1]}", Rows=65535, Columns=65535, NumberOfFrames=2_000_000)
    if not syntax.endswith(".1"):
        native = dcmread(io.BytesIO(lying))
        native.file_meta.TransferSyntaxUID = UID(syntax)
        native.PixelData = encapsulate([b"\1\0\0\0" + bytes(60)])
        native["PixelData"].is_undefined_length = True
        out = io.BytesIO()
        dcmwrite(out, native, enforce_file_format=True)
        lying = out.getvalue()
    sent = send(desk, lying)
    address = f"/dicom-web/held/{sent.study_id}{sent.path}"
    assert client.get(f"{address}/metadata").status_code == 200
    for place, accept in (
        ("/frames/1", PARTS),
        ("/frames/2000000", PARTS),
        ("/frames", f"{PARTS}; transfer-syntax=*"),
        ("/rendered", "image/jpeg"),
        ("/thumbnail", "image/png"),
    ):
        answer = client.get(address + place, headers={"Accept": accept})
        assert answer.status_code in (404, 406, 413), (place, answer.status_code)
