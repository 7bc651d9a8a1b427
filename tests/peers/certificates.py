"""Certificates that devices make for themselves, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate and its key in two files."""

    certificate: Path
    key: Path
    subject: str
    not_after: datetime

    @property
    def pem(self) -> str:
        """The certificate's text."""
        return self.certificate.read_text("ascii")


def make(folder: Path, name: str, *, begins: timedelta = -DAY, ends: timedelta = 30 * DAY) -> Made:
    """Make a self-signed certificate `name` in `folder`, valid between two moments as seen from now."""
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    files = Made(folder / f"{name}.pem", folder / f"{name}.key", subject.rfc4514_string(), now + ends)
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return files
