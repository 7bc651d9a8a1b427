"""Whether a PDF is exactly what an institution's seal signed. Offline: no database, no network, no PDF parser.

Common readers forgive: `pdfsig` accepts changed padding and hex case inside /Contents, and any reader takes bytes
after the end. Here every byte counts. The signature must cover the whole file except its own hex string; that string
must be, byte for byte, the one encoding that `seal` writes; the certificate must be one of those that are trusted.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from reading_room.documents.pades import FIELD
from reading_room.documents.paper import CODE_KEYWORD, VERSION_KEYWORD
from worklist.errors import BadInput

LONGEST_SEAL: Final = 128 * 1024  # characters of its hex string; a chain of certificates takes some 20,000
MOST_RANGES: Final = 8  # byte ranges that are looked at: a stranger's file may name thousands
MOST_KEY_BITS: Final = 8192
BIGGEST: Final = 20 * 1024 * 1024  # bytes of a file that is looked at
_RANGE: Final = re.compile(rb"/ByteRange \[0 ([1-9]\d{0,8}) ([1-9]\d{0,8}) ([1-9]\d{0,8})\]")
_HEX: Final = re.compile(rb"<((?:[0-9A-F]{2})+)>")
_SAID: Final = re.compile(rb"%b=([0-9A-Z]{16}), %b=(\d{1,6})\b" % (CODE_KEYWORD.encode(), VERSION_KEYWORD.encode()))
_TIME: Final = re.compile(rb"/M \(D(?::|\\072)(\d{14})Z\)")

_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.47"  # ESS signing-certificate-v2, RFC 5035


@dataclass(frozen=True)
class Checked:
    """What an unaltered file says of itself. Whether its version is still the current one, only the server knows."""

    certificate: x509.Certificate
    institution: str  # as the certificate names it
    signed_at: datetime | None  # aware UTC, as the signature claims
    code: str  # verification code, "" where the file names none
    version: int  # 0 where the file names none


def check_pdf(data: bytes, trusted: Sequence[x509.Certificate]) -> Checked:
    """Check a sealed PDF.

    Parameters
    ----------
    data
        The whole file.
    trusted
        Certificates of the seals that count, and those above them: every certificate in the file must be among them.

    Raises
    ------
    BadInput
        ``pdf_not_sealed``: no PDF, or one that is none of ours; ``pdf_altered``: it is one of ours by what it says,
        and a byte differs or the seal is gone; ``pdf_seal_unknown``: sound, but sealed with a certificate that is
        not trusted; ``pdf_too_large``.
    """
    if len(data) > BIGGEST:
        raise BadInput("pdf_too_large", megabytes=BIGGEST // (1024 * 1024))
    seal = _seal(data) if data.startswith(b"%PDF-") else None
    if seal is None:
        raise _unsound(data)
    start, end, wrapped = seal
    try:
        certificate, certificates = _verified(wrapped, hashlib.sha256(data[:start] + data[end:]).digest())
    except Exception as error:  # strangers' bytes: whatever a parser stumbles over, this seal is not whole
        raise _unsound(data) from error
    if not certificates <= {known.public_bytes(serialization.Encoding.DER) for known in trusted}:
        raise BadInput("pdf_seal_unknown")
    code, version = said_version(data)
    return Checked(certificate, _institution(certificate), _time(data[end:]), code, version)


def said_version(data: bytes) -> tuple[str, int]:
    """The verification code and version that a file's metadata names, unchecked; ("", 0) for none or several."""
    found = set(_SAID.findall(data))
    if len(found) != 1:
        return "", 0
    code, version = found.pop()
    return code.decode(), int(version)


def _unsound(data: bytes) -> BadInput:
    """Altered, if a trace of us is left in it; another program's signature is none of ours to judge."""
    ours = CODE_KEYWORD.encode() in data or FIELD.encode() in data
    return BadInput("pdf_altered" if ours else "pdf_not_sealed")


def _seal(data: bytes) -> tuple[int, int, bytes] | None:
    """Where the hex string of the signature that covers all the rest begins and ends, and the DER within."""
    found: list[tuple[int, int, bytes]] = []
    for match in itertools.islice(_RANGE.finditer(data), MOST_RANGES):
        start, end, rest = (int(number) for number in match.groups())
        fits = 0 < end - start <= LONGEST_SEAL and end + rest == len(data)
        if fits and (hexed := _HEX.fullmatch(data, start, end)):
            found.append((start, end, bytes.fromhex(hexed[1].decode())))
    if len(found) != 1:
        return None
    start, end, padded = found[0]
    if len(padded) < 4 or padded[:2] != b"\x30\x82":
        return None
    size = 4 + int.from_bytes(padded[2:4])
    if size > len(padded) or any(padded[size:]):
        return None
    return start, end, padded[:size]


def _verified(wrapped: bytes, digest: bytes) -> tuple[x509.Certificate, set[bytes]]:
    """The certificate that signed a CMS container over `digest`, and all certificates within (DER).

    Only signed attributes and signature are taken from the container; all else is built anew and must be the same.
    Raises whatever a parser raises; `check_pdf` turns it into a refusal.
    """
    content = cms.ContentInfo.load(wrapped, strict=True)["content"]
    (signer,) = content["signer_infos"]
    inside = [choice.chosen for choice in content["certificates"]]
    named = signer["sid"].chosen
    (own,) = [c for c in inside if c.issuer == named["issuer"] and c.serial_number == named["serial_number"].native]
    attributes, signature = signer["signed_attrs"].dump(), signer["signature"].native
    if _container(own, inside, attributes, signature) != wrapped or not _says(attributes, digest, own):
        raise ValueError("another container")
    certificate = x509.load_der_x509_certificate(own.dump())
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size > MOST_KEY_BITS:
        raise ValueError("another key")
    # Signed as a SET OF, stored under the tag [0] (RFC 5652 5.4).
    key.verify(signature, b"\x31" + attributes[1:], padding.PKCS1v15(), hashes.SHA256())
    return certificate, {c.dump() for c in inside}


def _container(own: Any, inside: list[Any], attributes: bytes, signature: bytes) -> bytes:
    """The container as `seal` writes it: version 1, SHA-256 with RSA, nothing unsigned (RFC 5652 5.1)."""
    sha256 = {"algorithm": "sha256"}
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": {"issuer_and_serial_number": {"issuer": own.issuer, "serial_number": own.serial_number}},
            "digest_algorithm": sha256,
            "signed_attrs": cms.CMSAttributes.load(b"\x31" + attributes[1:], strict=True),
            "signature_algorithm": {"algorithm": "sha256_rsa"},
            "signature": signature,
        }
    )
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [sha256],
            "encap_content_info": {"content_type": "data"},
            "certificates": inside,
            "signer_infos": [signer],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())


def _says(attributes: bytes, digest: bytes, own: Any) -> bool:
    """Whether the signed attributes name this digest and this certificate, each once (ETSI EN 319 122-1 5.2)."""
    said = [(a["type"].dotted, list(a["values"])) for a in cms.CMSAttributes.load(b"\x31" + attributes[1:])]
    by_type = {kind: values[0] for kind, values in said if len(values) == 1}
    if len(by_type) != len(said):
        return False
    named = tsp.SigningCertificateV2.load(by_type[_SIGNING_CERTIFICATE].dump())["certs"][0]
    return bool(
        by_type[_CONTENT_TYPE].native == "data"
        and by_type[_MESSAGE_DIGEST].native == digest
        and named["hash_algorithm"]["algorithm"].native == "sha256"
        and named["cert_hash"].native == hashlib.sha256(own.dump()).digest()
    )


def _institution(certificate: x509.Certificate) -> str:
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(kind):
            return str(attribute.value)
    return ""


def _time(tail: bytes) -> datetime | None:
    found = _TIME.search(tail)
    try:
        return datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
