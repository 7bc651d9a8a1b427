"""A signing service that holds an institution's key: a hospital CA's server, or a hardware module behind one.

It speaks the API of the Cloud Signature Consortium (CSC API 1.0.4, ``credentials/authorize`` and
``signatures/signHash``) with RSA and SHA-256. Only a digest of 32 bytes leaves the house, never a report. Files in the
folder of the seals:

- ``ID.service.toml``: ``url`` (up to and with its version, such as ``https://sign.example/csc/v1``), ``credential``;
  where the service wants them ``token`` (bearer) and ``pin``; ``trusted``, a PEM file in the same folder, for a service
  whose own certificate no known authority signed. Mode 0600.
- ``ID.service.pem``: the credential's certificate, and the chain above it.

Each signature is checked here before it is used: a service that signs something else signs nothing for us.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from reading_room.documents.pades import seal_pdf
from reading_room.documents.signer import RSA_SHA256
from worklist.errors import Broken, TryLater

SECONDS: Final = 10.0
"""For each of the two calls of a signature; the doctor waits, and nothing is locked meanwhile."""
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_SHA256_RSA: Final = "1.2.840.113549.1.1.11"
_KNOWN: Final = frozenset({"url", "credential", "token", "pin", "trusted"})


@dataclass(frozen=True)
class SigningService:
    """A `Signer` whose key lies elsewhere."""

    name: str  # of its file, for whoever mends it
    url: str
    credential: str
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()
    token: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)
    trusted: Path | None = None
    trial: bool = False
    algorithm: str = RSA_SHA256

    def sign(self, data: bytes) -> bytes:
        """The bare signature over `data`.

        Raises
        ------
        TryLater
            ``signing_service_away``: it does not answer, or says that it cannot now.
        Broken
            ``seal_unusable``: it refuses, or signs otherwise than its certificate says.
        """
        digest = hashlib.sha256(data).digest()
        hashed = [base64.b64encode(digest).decode()]
        asked: dict[str, object] = {"credentialID": self.credential, "numSignatures": 1, "hash": hashed}
        try:
            with httpx.Client(timeout=SECONDS, verify=self._context(), trust_env=False) as client:
                allowed = self._post(client, "credentials/authorize", asked | ({"PIN": self.pin} if self.pin else {}))
                said = self._post(
                    client,
                    "signatures/signHash",
                    {
                        "credentialID": self.credential,
                        "SAD": allowed["SAD"],
                        "hash": hashed,
                        "hashAlgo": _SHA256,
                        "signAlgo": _SHA256_RSA,
                    },
                )
            signature = base64.b64decode(said["signatures"][0], validate=True)
            key = self.certificate.public_key()
            assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - `load` looked
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except httpx.HTTPError as error:
            raise TryLater("signing_service_away") from error
        except (InvalidSignature, KeyError, IndexError, TypeError, ValueError, binascii.Error, OSError) as error:
            raise Broken("seal_unusable", file=self.name) from error
        return signature

    def seal(self, pdf: bytes, reason: str, now: datetime) -> bytes:
        """As `pades.seal_pdf`."""
        return seal_pdf(self, pdf, reason, now)

    def _post(self, client: httpx.Client, method: str, body: dict[str, object]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = client.post(f"{self.url}/{method}", json=body, headers=headers)
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise TryLater("signing_service_away")
        if answer.status_code != 200:
            raise Broken("seal_unusable", file=self.name)
        said = answer.json()
        if not isinstance(said, dict):
            raise TypeError(method)
        return said

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.trusted) if self.trusted else None)


def load(settings: Path, certificates: Path) -> SigningService:
    """The service that these two files describe.

    Raises
    ------
    Broken
        ``seal_unusable`` with the file that is wrong.
    """
    try:
        said = tomllib.loads(settings.read_text("utf-8"))
        if not said.keys() <= _KNOWN or not all(isinstance(value, str) for value in said.values()):
            raise ValueError("unknown settings")
        url, credential = said["url"].rstrip("/"), said["credential"]
        if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")) or not credential:
            raise ValueError("no address")
        trusted = settings.parent / Path(said["trusted"]).name if said.get("trusted") else None
    except (OSError, KeyError, ValueError) as error:
        raise Broken("seal_unusable", file=settings.name) from error
    try:
        own, *chain = x509.load_pem_x509_certificates(certificates.read_bytes())
        if not isinstance(own.public_key(), rsa.RSAPublicKey):
            raise TypeError("not an RSA key")
    except (OSError, TypeError, ValueError) as error:
        raise Broken("seal_unusable", file=certificates.name) from error
    return SigningService(
        settings.name,
        url,
        credential,
        own,
        tuple(chain),
        token=said.get("token", ""),
        pin=said.get("pin", ""),
        trusted=trusted,
    )
