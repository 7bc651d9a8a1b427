"""HL7 over TLS: a sender is known by certificate and name, from any address; others are sent away and shown."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import hl7
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from gateway.mllp.door import Limits, MllpDoor
from gateway.mllp.framer import wrap
from gateway.mllp.intake import Intake
from gateway.tls import client_context, fingerprints, own_identity, server_context
from huren.embedded import doors
from huren.parts import CannotServe
from huren.settings import Settings
from tests.integration.test_mllp_intake import County, msa, order, people
from tests.peers.certificates import DAY, Made, make
from tests.peers.ports import LOOPBACK, free_port
from worklist.actions.devices import trusted_certificates
from worklist.database import Database, sqlite_url
from worklist.tables import Base, DeviceAddress, DeviceCertificate, Order, RefusedCaller


@dataclass
class Secure(County):
    """A county whose HIS is known by a certificate, and the folder of its files."""

    folder: Path
    his: Made

    def trust(self, made: Made) -> None:
        """Enter a certificate of the HIS."""
        (print_,) = fingerprints(made.pem)

        def work(session: Session) -> None:
            session.add(
                DeviceCertificate(
                    fingerprint=print_,
                    device_id=self.device_id,
                    pem=made.pem,
                    subject=made.subject,
                    not_after=made.not_after,
                    added_at=datetime.now(UTC),
                    added_by="admin",
                )
            )

        self.database.write(work)

    def distrust(self) -> None:
        """Remove every certificate."""
        self.database.write(lambda s: s.query(DeviceCertificate).delete())

    def connect(self, shown: Made | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """A finished handshake with the door, showing a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.folder / "ours" / "trial.pem")
        context.maximum_version = version
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        plain = socket.create_connection((LOOPBACK, self.door.port), timeout=20)
        return context.wrap_socket(plain)

    def say(self, connection: ssl.SSLSocket, message: str) -> hl7.Message:
        """Send one message and return the parsed answer; empty where there is none."""
        connection.sendall(wrap(message.encode()))
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("no answer")
            answer += piece
        return hl7.parse(answer[1:-2].decode())

    def refusals(self) -> list[str]:
        """Why callers were sent away."""
        for _ in range(100):
            if rows := self.rows(RefusedCaller):
                return [row.reason for row in rows]
            time.sleep(0.05)
        return []


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Secure]:
    database = Database(sqlite_url(tmp_path / "huren.db"))
    Base.metadata.create_all(database.engine)
    device_id = database.write(people)
    # The HIS calls from a changing address: only the name on record counts, with the certificate.
    database.write(lambda s: s.execute(update(DeviceAddress).values(address="192.0.2.9")))
    identity = own_identity(None, None, tmp_path / "ours", "HUREN", datetime.now(UTC))
    secure = server_context(identity, lambda: database.read(trusted_certificates), ticks=count().__next__)
    intake = Intake(database, lambda: datetime.now(UTC))
    door = MllpDoor(intake, LOOPBACK, 0, Limits(handshake_seconds=1.5), secure)
    door.start()
    made = make(tmp_path / "his", "his")
    county = Secure(database, door, device_id, tmp_path, made)
    county.trust(made)
    try:
        yield county
    finally:
        door.stop()
        database.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_sender_is_known_by_its_certificate_and_name(county: Secure, version: ssl.TLSVersion) -> None:
    with county.connect(county.his, version=version) as connection:
        assert connection.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        for n in range(3):
            assert msa(county.say(connection, order(f"C{n}", placer=f"P{n}"))) == ("ACK", "AA", f"C{n}")
        long = order("C9", placer="P9", also="NTE|1||" + "长" * 60_000)
        assert msa(county.say(connection, long)) == ("ACK", "AA", "C9")
    assert county.count(Order) == 4


def test_another_name_under_a_good_certificate_is_a_stranger(county: Secure) -> None:
    with county.connect(county.his) as connection:
        assert msa(county.say(connection, order("C1", sender="OTHER|TOWN"))) == ("ACK", "AR", "C1")
    assert county.refusals() == ["unknown_sender"]
    assert county.count(Order) == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("shown", "reason"),
    [("none", "certificate_missing"), ("strange", "certificate_unknown"), ("expired", "certificate_expired")],
)
def test_who_shows_no_good_certificate_is_sent_away_and_shown(
    county: Secure, shown: str, reason: str, version: ssl.TLSVersion
) -> None:
    made = None
    if shown == "strange":
        made = make(county.folder / "strange", "his")
    elif shown == "expired":
        made = make(county.folder / "expired", "his", begins=-9 * DAY, ends=-DAY)
        county.trust(made)
    with pytest.raises((ssl.SSLError, ConnectionError)), county.connect(made, version=version) as connection:
        county.say(connection, order("C1"))
    assert county.refusals() == [reason]
    assert county.count(Order) == 0


def test_a_certificate_counts_as_long_as_it_is_on_record(county: Secure) -> None:
    county.distrust()
    with pytest.raises((ssl.SSLError, ConnectionError)), county.connect(county.his) as connection:
        county.say(connection, order("C1"))
    county.trust(county.his)
    with county.connect(county.his) as connection:
        assert msa(county.say(connection, order("C1"))) == ("ACK", "AA", "C1")
        county.distrust()  # also on a connection that is open
        assert msa(county.say(connection, order("C2"))) == ("ACK", "AR", "C2")


def test_whoever_does_not_begin_a_handshake_is_sent_away_in_time(county: Secure) -> None:
    began = time.monotonic()
    with socket.create_connection((LOOPBACK, county.door.port), timeout=20) as silent:
        assert silent.recv(1) == b""
    assert time.monotonic() - began < 10
    with socket.create_connection((LOOPBACK, county.door.port), timeout=20) as plain:
        plain.sendall(wrap(order("C1").encode()))
        assert b"MSA" not in plain.recv(65536)
    assert county.refusals() == ["tls_failed"]
    assert county.count(Order) == 0


def test_openssl_s_client_as_a_peer(county: Secure) -> None:
    command = (
        *("openssl", "s_client", "-quiet", "-connect", f"{LOOPBACK}:{county.door.port}"),
        *("-cert", str(county.his.certificate), "-key", str(county.his.key)),
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(wrap(order("C1").encode()))
        peer.stdin.flush()
        answer = b""
        while b"\x1c" not in answer and (piece := os.read(peer.stdout.fileno(), 65_536)):
            answer += piece
        peer.kill()
    assert b"MSA|AA|C1" in answer


def test_a_server_opens_the_port_and_says_when_it_is_taken(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        data=tmp_path / "data", dimse_port=0, dimse_tls_port=0, mllp_port=0, mllp_tls_port=port, web_port=0, reserve=0
    )
    with doors(settings) as parts:
        made = (settings.tls_folder / "trial.pem").read_text("ascii")
        with (
            socket.create_connection((LOOPBACK, port), timeout=10) as raw,
            client_context(None, made).wrap_socket(raw) as caller,
            suppress(OSError),
        ):
            assert caller.recv(1) == b"", "asyncio closes before it says why"
        for _ in range(100):
            if refused := parts.database.read(lambda s: s.query(RefusedCaller.reason).all()):
                break
            time.sleep(0.05)
        assert [row.reason for row in refused] == ["certificate_missing"]
    with (
        socket.create_server((LOOPBACK, port)),
        pytest.raises(CannotServe, match=rf"{LOOPBACK}:{port}.*HUREN_MLLP_TLS_PORT"),
        doors(settings),
    ):
        pass
