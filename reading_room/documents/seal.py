"""The seals of institutions: RSA keys and certificates in a folder.

On first need an institution gets a trial seal: RSA-3072 with a certificate that it signed itself. It shows that a
file is unaltered and came from this server; it is no legal electronic signature, and every sheet says so.

Files of the folder (0600, in a folder of 0700), named by the institution's id:

- ``ID.service.toml``, ``ID.service.pem``: a service that holds the key (`service`). It wins over the others.
- ``ID.pem``: placed by the operator, a private RSA key, its certificate and the chain above it, all in PEM without
  password. It wins over the trial seal, and the sheets no longer say "trial".
- ``ID.trial.pem``: made here.
- ``ID.*.certificate.pem``: certificates of former seals; what they signed is still checked against them.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reading_room.documents import service
from reading_room.documents.keys import PublicKey
from reading_room.documents.pades import seal_pdf
from reading_room.documents.signer import RSA_SHA256, Signer
from worklist.errors import Broken

KEY_BITS: Final = 3072
VALID: Final = timedelta(days=3650)
TRIAL: Final = ".trial.pem"
SERVICE: Final = ".service.toml"
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True)
class Seal:
    """A `Signer` whose key lies in a file of ours; `chain` are the certificates above its own."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    trial: bool
    chain: tuple[x509.Certificate, ...] = ()
    algorithm: str = RSA_SHA256

    def sign(self, data: bytes) -> bytes:
        """The bare signature over `data` (RFC 8017 section 8.2)."""
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def seal(self, pdf: bytes, reason: str, now: datetime) -> bytes:
        """As `pades.seal_pdf`."""
        return seal_pdf(self, pdf, reason, now)


class Seals:
    """The seals of one installation, in a folder that every process may read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[list[float], Signer]] = {}
        self._lock = threading.Lock()

    def of(self, institution_id: str, name: str) -> Signer:
        """Who signs for an institution: a service, else the operator's own key, else the trial seal, made on need.

        Parameters
        ----------
        institution_id
            Our own opaque id.
        name
            The institution's name, which goes into a new certificate.

        Raises
        ------
        Broken
            ``seal_unusable`` for an id that is none, or a file that does not hold a matching RSA key and certificate.
        """
        if not _ID.fullmatch(institution_id):
            raise Broken("seal_unusable", file="")
        with self._lock:
            path = self._path(institution_id)
            if path is None:
                path = self.folder / f"{institution_id}{TRIAL}"
                _make_trial(path, institution_id, name)
            files = (path, path.with_suffix(".pem"))  # of a service both count
            changed = [file.stat().st_mtime for file in files if file.exists()]
            known = self._known.get(path.name)
            if known is None or known[0] != changed:
                known = (changed, service.load(*files) if path.suffix == ".toml" else _load(path))
                self._known[path.name] = known
            return known[1]

    def _path(self, institution_id: str) -> Path | None:
        names = (f"{institution_id}{SERVICE}", f"{institution_id}.pem", f"{institution_id}{TRIAL}")
        return next((path for name in names if (path := self.folder / name).exists()), None)

    def certificates(self) -> list[x509.Certificate]:
        """Every certificate in the folder, those above and former ones too: what `checking.check_pdf` trusts."""
        return [certificate for key in self.public_keys() for certificate in key.certificates]

    def public_keys(self) -> list[PublicKey]:
        """The same as they are published, key by key."""
        found: list[PublicKey] = []
        for path in sorted(self.folder.glob("*.pem")):
            with contextlib.suppress(ValueError, OSError):  # a file that is broken seals nothing either
                certificates = x509.load_pem_x509_certificates(path.read_bytes())
                found.append(PublicKey(certificates, trial=path.name.endswith(TRIAL)))
        return found


def _make_trial(path: Path, institution_id: str, name: str) -> None:
    """Write a new trial seal. Of two processes that do so at once, one file wins and both use it."""
    now = datetime.now(UTC)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, _short(f"{name} 试用签名" if name else "试用签名")),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _short(name or institution_id)),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, institution_id),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # somebody was faster: theirs is the seal
            os.link(ours, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # a seal that has signed must not be gone after a power cut
        finally:
            os.close(folder)
    finally:
        ours.unlink(missing_ok=True)


def _load(path: Path) -> Seal:
    try:
        text = path.read_bytes()
        key = serialization.load_pem_private_key(text, password=None)
        certificates = x509.load_pem_x509_certificates(text)
    except (ValueError, TypeError, OSError) as error:
        raise Broken("seal_unusable", file=path.name) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificates[0].public_key():
        raise Broken("seal_unusable", file=path.name)
    return Seal(key, certificates[0], path.name.endswith(TRIAL), tuple(certificates[1:]))


def _short(text: str) -> str:
    return text[:64]  # X.520 allows no more
