"""The DIMSE door over TLS, both ways: DCMTK and Orthanc with certificates of their own, and those without."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.dimse.door import Door
from gateway.dimse.guard import INVALID_PARAMETER, Limits
from gateway.tls import Identity, client_context, fingerprints, own_identity
from huren.embedded import doors
from huren.parts import CannotServe
from huren.settings import Settings
from tests.bench.peers import orthanc
from tests.integration.dimse_county import ct_slice, wait_for
from tests.integration.retrieving import STUDY, Retrieving, open_county
from tests.integration.test_dimse_door import association_request, read_to_end
from tests.peers import certificates
from tests.peers.certificates import DAY, Made
from tests.peers.dcmtk import Scu, Word, storescp
from tests.peers.ports import LOOPBACK, free_port
from tests.working import worker_of
from worklist.actions import device_settings
from worklist.errors import Broken
from worklist.people import HUREN
from worklist.tables import Commitment, Instance, RefusedCaller

NOWHERE = "192.0.2.7"  # documentation's network: no device calls from there


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return own_identity(None, None, tmp_path_factory.mktemp("tls"), "HUREN", datetime.now(UTC))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return certificates.make(tmp_path_factory.mktemp("device"), "WS")


@pytest.fixture
def county(tmp_path: Path, ours: Identity) -> Iterator[Retrieving]:
    with open_county(tmp_path, ours) as opened:
        yield opened


def enter(county: Retrieving, device_id: str, made: Made) -> None:
    """Put a certificate on a device's record."""
    (mark,) = fingerprints(made.pem)
    county.desk.world.do(
        lambda s: device_settings.add_certificate(
            s,
            HUREN,
            device_id,
            made.pem,
            county.desk.now,
            fingerprint=mark,
            subject=made.subject,
            not_after=made.not_after,
        )
    )


def remove(county: Retrieving, device_id: str, made: Made) -> None:
    (mark,) = fingerprints(made.pem)
    county.desk.world.do(lambda s: device_settings.remove_certificate(s, HUREN, device_id, mark, county.desk.now))


def known(county: Retrieving, claimed: str, made: Made, **address: Any) -> str:
    """A device of TS01 that calls from an address nobody told us, known by its certificate."""
    where = {"door": "dimse", "address": NOWHERE, "claimed": claimed} | address
    device_id = county.device(claimed, ("TS01",), addresses=[where])
    enter(county, device_id, made)
    return device_id


def words(made: Made, ours: Identity) -> list[Word]:
    """How DCMTK is told to speak TLS."""
    return ["+tls", made.key, made.certificate, "+cf", ours.certificate]


def scu(county: Retrieving, calling: str) -> Scu:
    return Scu(port=county.door.tls_port, calling=calling)


def refused(county: Retrieving) -> set[tuple[str, str, str]]:
    return {(r.address, r.claimed, r.reason) for r in county.desk.world.rows(RefusedCaller)}


def test_a_device_is_known_by_its_certificate_from_any_address(county: Retrieving, shown: Made, ours: Identity) -> None:
    known(county, "FARCT", shown)
    far = scu(county, "FARCT")
    assert far.echo(*words(shown, ours)).code == 0
    file = ct_slice(county.folder)
    ran = far.store(file, words=words(shown, ours))
    assert ran.code == 0, ran.output
    (held,) = county.desk.world.rows(Instance)
    assert held.sop_instance_uid == "1.2.3.4.1"
    assert refused(county) == set()
    # In the clear it is a stranger.
    assert "Calling AE Title Not Recognized" in county.scu("FARCT").echo().output
    assert refused(county) == {(LOOPBACK, "FARCT", "calling_ae_unknown")}


def test_a_large_object_in_small_pieces_over_tls(county: Retrieving, shown: Made, ours: Identity) -> None:
    known(county, "FARCT", shown)
    file = ct_slice(county.folder, Rows=2048, Columns=2048, PixelData=bytes(range(256)) * (2048 * 2048 * 2 // 256))
    ran = scu(county, "FARCT").store(file, words=[*words(shown, ours), "-pdu", "4096"])
    assert ran.code == 0, ran.output
    assert len(county.desk.world.rows(Instance)) == 1


def test_a_certificate_speaks_only_under_its_devices_names(county: Retrieving, shown: Made, ours: Identity) -> None:
    known(county, "FARCT", shown)
    ran = scu(county, "TS01WS").echo(*words(shown, ours))
    assert "Calling AE Title Not Recognized" in ran.output
    assert refused(county) == {(LOOPBACK, "TS01WS", "calling_ae_unknown")}


def test_who_has_no_valid_certificate_is_refused_and_shown(
    county: Retrieving, shown: Made, ours: Identity, tmp_path: Path
) -> None:
    device_id = known(county, "FARCT", shown)
    old = certificates.make(tmp_path / "old", "OLD", begins=-3 * DAY, ends=-DAY)
    stranger = certificates.make(tmp_path / "stranger", "WS")
    enter(county, device_id, old)
    far = scu(county, "FARCT")
    assert far.echo(*words(stranger, ours)).code != 0
    wait_for(lambda: refused(county) == {(LOOPBACK, "", "certificate_unknown")})
    assert far.echo(*words(old, ours)).code != 0
    wait_for(lambda: (LOOPBACK, "", "certificate_expired") in refused(county))
    assert far.echo("+tla", "+cf", ours.certificate).code != 0
    wait_for(lambda: (LOOPBACK, "", "certificate_missing") in refused(county))
    assert far.echo().code != 0  # no TLS at all
    wait_for(lambda: (LOOPBACK, "", "tls_failed") in refused(county))
    assert far.echo(*words(shown, ours)).code == 0
    remove(county, device_id, shown)
    assert far.echo(*words(shown, ours)).code != 0
    assert county.desk.world.rows(Instance) == []


def test_a_certificate_removed_after_the_handshake_opens_no_association(
    county: Retrieving, shown: Made, ours: Identity
) -> None:
    device_id = known(county, "FARCT", shown)
    context = client_context(Identity(shown.certificate, shown.key), ours.certificate.read_text("ascii"))
    address = (LOOPBACK, county.door.tls_port)
    with socket.create_connection(address, timeout=5) as raw, context.wrap_socket(raw) as caller:
        wait_for(lambda: caller.version() is not None)
        remove(county, device_id, shown)
        caller.sendall(association_request("FARCT", "HUREN"))
        assert caller.recv(100) == bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 3))
    wait_for(lambda: (LOOPBACK, "FARCT", "certificate_unknown") in refused(county))


def test_silent_and_broken_callers_over_tls_keep_nobody_out(tmp_path: Path, shown: Made, ours: Identity) -> None:
    with open_county(tmp_path, ours) as county:
        known(county, "FARCT", shown)
        address = (LOOPBACK, county.door.tls_port)
        silent = [socket.create_connection(address) for _ in range(60)]
        for sent in (b"", b"\x16\x03\x01\x02", association_request("FARCT", "HUREN"), bytes(4096)):
            with socket.create_connection(address, timeout=5) as caller:
                caller.sendall(sent)
        assert scu(county, "FARCT").echo(*words(shown, ours)).code == 0
        context = client_context(Identity(shown.certificate, shown.key), ours.certificate.read_text("ascii"))
        with socket.create_connection(address, timeout=5) as raw, context.wrap_socket(raw) as caller:
            caller.sendall(b"\x01\0\xff\xff\xff\xff" + bytes(100))
            assert read_to_end(caller) in (INVALID_PARAMETER, b"")
        for each in silent:
            each.close()
        assert Limits().waiting_per_address < 60
        wait_for(lambda: county.door._fronts[1].waiting == 0)


def test_nobody_waits_longer_for_a_handshake_than_is_allowed(
    county: Retrieving, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = county.door._fronts[1]
    monkeypatch.setattr(front._guard, "limits", Limits(request_seconds=0.3))
    with socket.create_connection((LOOPBACK, front.port), timeout=5) as caller:
        wait_for(lambda: front.waiting == 1)
        wait_for(lambda: front.waiting == 0)
        assert caller.recv(1) == b""


def test_a_move_goes_to_a_device_over_tls(county: Retrieving, shown: Made, ours: Identity) -> None:
    uid = county.scanned(county.desk.world.order(), 2)
    with storescp(county.folder / "dest", "+tls", shown.key, shown.certificate, "+cf", ours.certificate) as port:
        known(county, "DEST", shown, address=LOOPBACK, port=port, tls=True)
        # DCMTK's movescu of today speaks no TLS itself; Orthanc asks so below.
        ran = county.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}")
        assert ran.code == 0, ran.output
        assert len(list((county.folder / "dest").iterdir())) == 2


def test_a_move_goes_to_nobody_who_shows_another_certificate(
    county: Retrieving, shown: Made, ours: Identity, tmp_path: Path
) -> None:
    uid = county.scanned(county.desk.world.order())
    other = certificates.make(tmp_path / "other", "WS")
    with storescp(county.folder / "dest", "+tls", other.key, other.certificate, "+cf", ours.certificate) as port:
        device_id = known(county, "DEST", shown, address=LOOPBACK, port=port, tls=True)
        ran = county.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}")
        assert "0xa702" in ran.output
        remove(county, device_id, shown)  # then nobody is known there
        ran = county.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}")
        assert "0xa702" in ran.output
        assert list((county.folder / "dest").iterdir()) == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_orthanc_sends_asks_fetches_and_has_it_committed(
    county: Retrieving, shown: Made, ours: Identity, tls: bool
) -> None:
    """The whole circle with Orthanc, which sends its own object and fetches a township's."""
    uid = county.scanned(county.desk.world.order(), 2)
    settings = {
        "DicomAet": "ORTHANC",
        "DicomTlsEnabled": tls,
        "DicomTlsCertificate": str(shown.certificate),
        "DicomTlsPrivateKey": str(shown.key),
        "DicomTlsTrustedCertificates": str(ours.certificate),
    }
    with orthanc(county.folder / "orthanc", settings=settings) as peer:
        device_id = county.device(
            "ORTHANC",
            ("TS01",),
            addresses=[{"door": "dimse", "address": LOOPBACK, "claimed": "ORTHANC", "port": peer.port, "tls": tls}],
        )
        if tls:
            enter(county, device_id, shown)
        with httpx.Client(base_url=f"http://{LOOPBACK}:{peer.http_port}", timeout=60) as http:
            port = county.door.tls_port if tls else county.door.port
            us = {"AET": "HUREN", "Host": LOOPBACK, "Port": port, "UseDicomTls": tls, "AllowStorageCommitment": True}
            assert http.put("/modalities/huren", content=json.dumps(us)).status_code == 200
            assert http.post("/modalities/huren/echo", content="{}").status_code == 200

            own = ct_slice(county.folder, 9)
            sent = http.post("/instances", content=own.read_bytes()).json()
            stored = http.post("/modalities/huren/store", content=json.dumps([sent["ID"]]))
            assert stored.status_code == 200, stored.text
            assert "1.2.3.4.9" in {row.sop_instance_uid for row in county.desk.world.rows(Instance)}

            asked = http.post("/modalities/huren/query", json={"Level": "Study", "Query": {"PatientID": "10001"}})
            query = f"/queries/{asked.json()['ID']}"
            assert http.get(f"{query}/answers/0/content?simplify").json()["StudyInstanceUID"] == uid
            fetched = http.post(f"{query}/retrieve", json={"TargetAet": "ORTHANC"})
            assert fetched.status_code == 200, fetched.text
            wait_for(lambda: len(http.get("/instances").json()) == 3)

            body = {"DicomInstances": [{"SOPInstanceUID": "1.2.3.4.9", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}]}
            asked = http.post("/modalities/huren/storage-commitment", content=json.dumps(body))
            where = f"/storage-commitment/{asked.json()['ID']}"
            worker_of(county.desk.web.database, county.store, lambda: county.desk.now, identity=ours).run_due()
            wait_for(lambda: http.get(where).json()["Status"] == "Success")
    assert [row.state for row in county.desk.world.rows(Commitment)] == ["reported"]


def test_a_door_without_a_certificate_opens_no_tls_port(county: Retrieving) -> None:
    door = Door(county.desk.web.database, county.store, lambda: county.desk.now, host=LOOPBACK, port=0, tls_port=0)
    with pytest.raises(Broken, match="tls_unusable"):
        door.start()
    door.stop()
    taken = Door(
        county.desk.web.database,
        county.store,
        lambda: county.desk.now,
        host=LOOPBACK,
        port=free_port(),
        identity=county.door._identity,
        tls_port=county.door.tls_port,
    )
    with pytest.raises(OSError, match="in use"):
        taken.start()
    taken.stop()


def test_a_server_makes_its_trial_certificate_at_the_first_start(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        data=tmp_path / "data", dimse_port=0, dimse_tls_port=port, mllp_port=0, mllp_tls_port=0, web_port=0, reserve=0
    )
    seen = []
    for _ in range(2):
        with doors(settings) as parts:
            assert parts.dimse.tls_port == port
            made = settings.tls_folder / "trial.pem"
            seen.append(made.read_bytes())
            assert (settings.tls_folder / "trial.key").stat().st_mode & 0o777 == 0o600
            stranger = client_context(None, made.read_text("ascii"))
            with (
                socket.create_connection((LOOPBACK, port), timeout=5) as raw,
                stranger.wrap_socket(raw) as caller,
                pytest.raises(OSError, match="certificate required"),
            ):
                caller.recv(1)
    assert seen[0] == seen[1]


def test_a_server_says_which_port_is_taken_and_which_file_is_wrong(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        data=tmp_path / "data", dimse_port=0, dimse_tls_port=port, mllp_port=0, mllp_tls_port=0, web_port=0, reserve=0
    )
    with (
        socket.create_server((LOOPBACK, port)),
        pytest.raises(CannotServe, match=rf"{LOOPBACK}:{port}.*HUREN_DIMSE_TLS_PORT"),
        doors(settings),
    ):
        pass
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with (
        pytest.raises(CannotServe, match=r"wrong\.pem.*HUREN_TLS_CERTIFICATE"),
        doors(replace(settings, tls_certificate=wrong, tls_key=wrong)),
    ):
        pass
