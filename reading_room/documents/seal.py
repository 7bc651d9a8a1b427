"""The seal of an institution: PAdES-B-B over a PDF (ETSI EN 319 142-1), with an RSA key in a folder.

On first need an institution gets a trial seal: RSA-3072 with a certificate that it signed itself. It shows that a
file is unaltered and came from this server; it is no legal electronic signature, and every sheet says so. RSA and not
ECDSA, because pyHanko then leaves the file at PDF 1.7, as PDF/A-2b wants.

Files of the folder (0600, in a folder of 0700), named by the institution's id:

- ``ID.pem``: placed by the operator, a private RSA key, its certificate and the chain above it, all in PEM without
  password. It wins over the trial seal, and the sheets no longer say "trial".
- ``ID.trial.pem``: made here.
- ``ID.*.certificate.pem``: certificates of former seals; what they signed is still checked against them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_signer import PdfSigningSession
from pyhanko_certvalidator.registry import CertificateStore, SimpleCertificateStore

from worklist.errors import Broken

KEY_BITS: Final = 3072
VALID: Final = timedelta(days=3650)
FIELD: Final = "HurenSeal"
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


class Signer(Protocol):
    """Who puts a signature on a finished PDF.

    `Seal` is the one that is built in. A hospital CA's signing server, an SM2/SM3 service or one with RFC 3161 time
    stamps is plugged in as another class with these members: it computes the digest over the PDF with a placeholder
    (pyHanko's external signing does that), asks the service, and returns the whole file. `trial` is false only
    where the operator answers for the certificate. What such a service signs is checked with its own tools;
    `checking.check_pdf` knows the form that `Seal` writes. No implementation may claim a cryptographic assessment.
    """

    @property
    def trial(self) -> bool:
        """Whether the sheets have to say that this is no legal electronic signature."""

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that the signature is checked against."""

    def sign(self, pdf: bytes, reason: str, now: datetime) -> bytes:
        """`pdf` with a signature appended; `now` is aware."""


@dataclass(frozen=True)
class Seal:
    """An institution's key and certificate; `chain` are the certificates above it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    trial: bool
    chain: tuple[x509.Certificate, ...] = ()

    def sign(self, pdf: bytes, reason: str, now: datetime) -> bytes:
        """Append a PAdES-B-B signature over the whole file, without a visible field.

        Parameters
        ----------
        pdf
            A complete, unsigned file.
        reason
            A few words for the signature's dictionary, such as the report's number and version.
        now
            Aware; the time that the signature claims.
        """
        signer = SimpleSigner(
            signing_cert=_asn1(self.certificate),
            signing_key=asn1_keys.PrivateKeyInfo.load(
                self.key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            ),
            cert_registry=_store(self.chain),
            embed_roots=True,
        )
        said = PdfSignatureMetadata(
            field_name=FIELD,
            md_algorithm="sha256",
            subfilter=SigSeedSubFilter.PADES,
            reason=reason or None,
            name=_common_name(self.certificate),
        )
        out = io.BytesIO()
        _SignerAt(said, signer, now).sign_pdf(_Appended(io.BytesIO(pdf)), output=out)
        return out.getvalue()


class Seals:
    """The seals of one installation, in a folder that every process may read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[float, Seal]] = {}
        self._lock = threading.Lock()

    def of(self, institution_id: str, name: str) -> Seal:
        """The seal of an institution: the operator's own, else the trial seal, made on first need.

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
            own = self.folder / f"{institution_id}.pem"
            trial = self.folder / f"{institution_id}.trial.pem"
            path = own if own.exists() else trial
            if not path.exists():
                _make_trial(path, institution_id, name)
            changed = path.stat().st_mtime
            known = self._known.get(path.name)
            if known is None or known[0] != changed:
                known = (changed, _load(path, trial=path == trial))
                self._known[path.name] = known
            return known[1]

    def certificates(self) -> list[x509.Certificate]:
        """Every certificate in the folder, those above and former ones too: what `checking.check_pdf` trusts."""
        found: list[x509.Certificate] = []
        for path in sorted(self.folder.glob("*.pem")):
            with contextlib.suppress(ValueError, OSError):  # a file that is broken seals nothing either
                found += x509.load_pem_x509_certificates(path.read_bytes())
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


def _load(path: Path, *, trial: bool) -> Seal:
    try:
        text = path.read_bytes()
        key = serialization.load_pem_private_key(text, password=None)
        certificates = x509.load_pem_x509_certificates(text)
    except (ValueError, TypeError, OSError) as error:
        raise Broken("seal_unusable", file=path.name) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificates[0].public_key():
        raise Broken("seal_unusable", file=path.name)
    return Seal(key, certificates[0], trial, tuple(certificates[1:]))


class _Appended(IncrementalPdfFileWriter):
    """What is appended to a finished file. Its metadata stays as it is: Info and XMP agree, as PDF/A wants."""

    def _update_meta(self) -> None:
        """pyHanko would name itself the producer, and the computer's time the time of change."""


class _SignerAt(PdfSigner):
    """pyHanko's signer with our clock; by itself it reads the computer's."""

    def __init__(self, said: PdfSignatureMetadata, signer: SimpleSigner, now: datetime) -> None:
        super().__init__(said, signer)
        self._now = now

    def init_signing_session(self, pdf_out: BasePdfFileWriter, existing_fields_only: bool = False) -> PdfSigningSession:
        session = super().init_signing_session(pdf_out, existing_fields_only)
        session.system_time = self._now
        return session


def _store(chain: Sequence[x509.Certificate]) -> CertificateStore:
    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple([_asn1(certificate) for certificate in chain])
    return store


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))


def _common_name(certificate: x509.Certificate) -> str:
    return next((str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def _short(text: str) -> str:
    return text[:64]  # X.520 allows no more
