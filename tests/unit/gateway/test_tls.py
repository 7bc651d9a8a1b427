"""TLS of the doors: who is trusted, from when, until when; and the trial certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.tls import (
    TRIAL_VALID,
    TRUST_SECONDS,
    Identity,
    client_context,
    fingerprint,
    fingerprints,
    own_identity,
    refusal_reason,
    server_context,
)
from tests.peers import certificates
from tests.peers.certificates import DAY, Made
from worklist.errors import Broken, TryLater

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return own_identity(None, None, tmp_path_factory.mktemp("tls"), "HUREN", NOW)


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return certificates.make(tmp_path_factory.mktemp("ct"), "CT1")


def meet(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The fingerprint that the server saw, or why it refused."""
    ours, theirs = socket.socketpair()
    heard: list[str] = []

    def serve() -> None:
        ours.settimeout(5)
        try:
            with server.wrap_socket(ours, server_side=True) as connection:
                heard.append(fingerprint(connection.getpeercert(binary_form=True) or b""))
                connection.sendall(b"x")
        except OSError as error:
            heard.append(refusal_reason(error))
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    theirs.settimeout(5)
    try:
        with client.wrap_socket(theirs) as connection:
            connection.recv(1)
    except OSError:
        theirs.close()
    thread.join(10)
    return heard[0]


def calling(made: Made | None, ours: Identity) -> ssl.SSLContext:
    identity = Identity(made.certificate, made.key) if made else None
    return client_context(identity, ours.certificate.read_text("ascii"))


def test_parts_that_start_together_make_one_trial_certificate(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:  # each opens the folder itself, as processes do
        made = pool.map(lambda _: own_identity(None, None, tmp_path / "tls", "HUREN", NOW).key.read_bytes(), range(4))
        assert len(set(made)) == 1
    assert sorted(path.name for path in (tmp_path / "tls").iterdir()) == ["trial.key", "trial.pem"]


def test_a_trial_certificate_is_made_once_for_us_alone_to_read(tmp_path: Path) -> None:
    first = own_identity(None, None, tmp_path / "tls", "HUREN", NOW)
    made = first.certificate.read_bytes()
    assert first.key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    assert own_identity(None, None, tmp_path / "tls", "HUREN", NOW + timedelta(days=500)) == first
    assert first.certificate.read_bytes() == made
    own_identity(None, None, tmp_path / "tls", "HUREN", NOW + TRIAL_VALID)
    assert first.certificate.read_bytes() != made


def test_files_that_do_not_fit_are_broken(tmp_path: Path, ct: Made, ours: Identity) -> None:
    with pytest.raises(Broken, match="tls_unusable"):
        own_identity(ct.certificate, ours.key, tmp_path, "HUREN", NOW)
    with pytest.raises(Broken, match="tls_unusable"):
        own_identity(tmp_path / "absent.pem", ct.key, tmp_path, "HUREN", NOW)


def test_a_certificate_counts_from_when_it_is_entered_until_it_is_removed(ours: Identity, ct: Made) -> None:
    trusted, ticks = [""], [0.0]
    server = server_context(ours, lambda: trusted[0], ticks=lambda: ticks[0])
    client = calling(ct, ours)
    assert meet(server, client) == "certificate_unknown"
    trusted[0], ticks[0] = ct.pem, ticks[0] + TRUST_SECONDS
    assert {meet(server, client)} == fingerprints(ct.pem)
    trusted[0], ticks[0] = "", ticks[0] + TRUST_SECONDS
    assert meet(server, client) == "certificate_unknown"


def test_a_crowd_of_handshakes_asks_once_a_second_whom_we_trust(ours: Identity, ct: Made) -> None:
    asked, ticks = [0], [0.0]

    def trusted() -> str:
        asked[0] += 1
        if asked[0] > 1:
            raise TryLater("database_away")
        return ct.pem

    server = server_context(ours, trusted, ticks=lambda: ticks[0])
    for _ in range(3):
        assert {meet(server, calling(ct, ours))} == fingerprints(ct.pem)
    assert asked == [1]
    ticks[0] += TRUST_SECONDS
    for _ in range(3):
        assert meet(server, calling(ct, ours)) == "tls_failed"
    assert asked == [2], "that it could not be known is kept as long"


def test_one_certificate_that_cannot_be_read_shuts_out_nobody_else(
    ours: Identity, ct: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    second = certificates.make(tmp_path, "DR1")
    spoilt = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
    half = second.pem[: len(second.pem) // 2] + "\n"
    ticks = [0.0]
    rows = [spoilt + half, ct.pem, second.pem]
    server = server_context(ours, lambda: "".join(rows), ticks=lambda: ticks[0])
    assert {meet(server, calling(ct, ours))} == fingerprints(ct.pem)
    assert {meet(server, calling(second, ours))} == fingerprints(second.pem)
    rows.pop()
    ticks[0] += TRUST_SECONDS
    assert {meet(server, calling(ct, ours))} == fingerprints(ct.pem)
    assert meet(server, calling(second, ours)) == "certificate_unknown"
    assert "".join(capfd.readouterr()).count("tls_certificate_unreadable") == 1, "told of once"


def test_who_shows_none_or_an_old_one_or_another_is_refused(ours: Identity, ct: Made, tmp_path: Path) -> None:
    old = certificates.make(tmp_path, "OLD", begins=-3 * DAY, ends=-DAY)
    early = certificates.make(tmp_path, "EARLY", begins=DAY)
    other = certificates.make(tmp_path, "CT1")  # the same name, another key
    server = server_context(ours, lambda: ct.pem + old.pem + early.pem)
    assert meet(server, calling(None, ours)) == "certificate_missing"
    assert meet(server, calling(old, ours)) == "certificate_expired"
    assert meet(server, calling(early, ours)) == "certificate_expired"
    assert meet(server, calling(other, ours)) == "certificate_unknown"


def test_what_is_no_tls_or_too_old_a_version_is_refused(ours: Identity, ct: Made) -> None:
    server = server_context(ours, lambda: ct.pem)
    client = calling(ct, ours)
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    assert meet(server, client) == "tls_failed"


def test_nobody_is_trusted_while_the_database_is_away(ours: Identity, ct: Made) -> None:
    def away() -> str:
        raise TryLater("database_away")

    assert meet(server_context(ours, away), calling(ct, ours)) == "tls_failed"


def test_a_server_that_we_call_must_be_the_one_on_record(ours: Identity, ct: Made, tmp_path: Path) -> None:
    other = certificates.make(tmp_path, "PACS")
    server = server_context(ours, lambda: ct.pem)
    wrong = client_context(Identity(ct.certificate, ct.key), other.pem)
    assert meet(server, wrong) == "tls_failed"
    with pytest.raises(Broken, match="tls_unusable"):
        client_context(None, "no certificate")
