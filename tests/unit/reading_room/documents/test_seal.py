"""The seals of a folder: made once, also by processes that race; the operator's own wins."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from reading_room.documents.checking import check_pdf
from reading_room.documents.paper import render
from reading_room.documents.seal import KEY_BITS, Seal, Seals
from tests.sheets import PAGE, REPORT
from worklist.errors import Broken

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
MAKE = (
    "import sys; from pathlib import Path; from reading_room.documents.seal import Seals;"
    "sys.stdin.readline();"
    "print(Seals(Path(sys.argv[1])).of('01k0hospital', '云岭县人民医院').certificate.serial_number)"
)


def own_seal(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, with_chain: bool = True) -> bytes:
    """A PEM file as an operator places it: key, certificate, and the authority above it."""
    authority_key = rsa.generate_private_key(65537, 2048)

    def certificate(subject: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "County CA")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=30))
            .sign(authority_key, hashes.SHA256())
        )

    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate("Hospital", key.public_key()).public_bytes(serialization.Encoding.PEM)
    if with_chain:
        text += certificate("County CA", authority_key.public_key()).public_bytes(serialization.Encoding.PEM)
    return text


def test_processes_that_race_get_the_same_seal(tmp_path: Path) -> None:
    folder = tmp_path / "seals"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    serials = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert serials == {str(Seals(folder).of("01k0hospital", "").certificate.serial_number)}
    (only,) = folder.iterdir()  # no temporary file is left
    assert only.stat().st_mode & 0o777 == 0o600


def test_a_trial_seal(tmp_path: Path) -> None:
    seals = Seals(tmp_path)
    seal = seals.of("01k0hospital", "云岭县人民医院")
    assert seal.trial
    assert isinstance(seal, Seal)
    assert seal.key.key_size == KEY_BITS == 3072
    assert seals.of("01k0hospital", "云岭县人民医院") is seal
    assert seals.of("01k0other", "清溪镇中心卫生院").certificate != seal.certificate
    assert len(seals.certificates()) == 2


def test_the_operators_own_seal_wins_and_old_sheets_stay_genuine(tmp_path: Path) -> None:
    seals = Seals(tmp_path)
    old = seals.of("01k0hospital", "云岭县人民医院")
    pdf = render(REPORT, verify_url=PAGE, trial=True)
    before = old.seal(pdf, "v1", NOW)
    (tmp_path / "01k0hospital.pem").write_bytes(own_seal(rsa.generate_private_key(65537, 2048)))
    own = seals.of("01k0hospital", "云岭县人民医院")
    assert not own.trial
    after = own.seal(pdf, "v1", NOW)
    assert check_pdf(before, seals.certificates()).certificate == old.certificate
    assert check_pdf(after, seals.certificates()).certificate == own.certificate


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        own_seal(ec.generate_private_key(ec.SECP256R1())),
        own_seal(rsa.generate_private_key(65537, 2048)).replace(b"\n", b"\nA", 2),
    ],
)
def test_a_file_that_is_no_seal_is_said(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "01k0hospital.pem").write_bytes(text)
    with pytest.raises(Broken) as caught:
        Seals(tmp_path).of("01k0hospital", "云岭县人民医院")
    assert caught.value.code == "seal_unusable"


@pytest.mark.parametrize("institution_id", ["", "../x", "a/b", "x" * 65, "a.b"])
def test_an_id_is_no_path(institution_id: str, tmp_path: Path) -> None:
    with pytest.raises(Broken):
        Seals(tmp_path).of(institution_id, "x")
    assert list(tmp_path.iterdir()) == []
