"""PAdES-B-B over a PDF (ETSI EN 319 142-1) with the RSA key of any `Signer`.

RSA and not ECDSA, because pyHanko then leaves the file at PDF 1.7, as PDF/A-2b wants.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import Signer as CmsSigner
from pyhanko.sign.signers.pdf_signer import PdfSigningSession
from pyhanko_certvalidator.registry import CertificateStore, SimpleCertificateStore

from reading_room.documents.signer import RSA_SHA256, Signer
from worklist.errors import Broken

DIGEST: Final = "sha256"
FIELD: Final = "HurenSeal"


def seal_pdf(signer: Signer, pdf: bytes, reason: str, now: datetime) -> bytes:
    """Append a PAdES-B-B signature over the whole file, without a visible field, with the RSA key of `signer`.

    Parameters
    ----------
    pdf
        A complete, unsigned file.
    reason
        A few words for the signature's dictionary, such as the report's number and version.
    now
        Aware; the time that the signature claims.

    Raises
    ------
    Broken
        ``seal_unusable`` where the key is not RSA: such a signer brings a form of its own.
    """
    if signer.algorithm != RSA_SHA256:
        raise Broken("seal_unusable", file="")
    said = PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm=DIGEST,
        subfilter=SigSeedSubFilter.PADES,
        reason=reason or None,
        name=_common_name(signer.certificate),
    )
    out = io.BytesIO()
    _SignerAt(said, _Signer(signer), now).sign_pdf(_Appended(io.BytesIO(pdf)), output=out)
    return out.getvalue()


class _Signer(CmsSigner):
    """Lets our signer sign. pyHanko's own reads its key anew for each signature, and OpenSSL proves it each time, which
    takes longer than all the rest of a seal."""

    def __init__(self, signer: Signer) -> None:
        super().__init__(signing_cert=_asn1(signer.certificate), cert_registry=_store(signer.chain), embed_roots=True)
        self._ours = signer

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """The signature over the digest that `seal_pdf` asks for; a dry run asks only for its length."""
        key = self._ours.certificate.public_key()
        if digest_algorithm != DIGEST or not isinstance(key, rsa.RSAPublicKey):
            raise ValueError(digest_algorithm)
        return bytes(key.key_size // 8) if dry_run else self._ours.sign(data)


class _Appended(IncrementalPdfFileWriter):
    """What is appended to a finished file. Its metadata stays as it is: Info and XMP agree, as PDF/A wants."""

    def _update_meta(self) -> None:
        """pyHanko would name itself the producer, and the computer's time the time of change."""


class _SignerAt(PdfSigner):
    """pyHanko's signer with our clock; by itself it reads the computer's."""

    def __init__(self, said: PdfSignatureMetadata, signer: CmsSigner, now: datetime) -> None:
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
