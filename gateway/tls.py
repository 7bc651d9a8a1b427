"""TLS of the device doors, both ways: our own certificate, and peers known by exactly the certificates on record.

After BCP 195, as the profiles of DICOM PS3.15 annex B ask: TLS 1.2 or later, OpenSSL's level 2. Nobody's authority is
trusted: a device's certificate was looked at by a person who entered it, so it counts as it is, signed by whom it may
(a device makes its own in most hospitals), and stops to count when it is removed or its time is over.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from worklist.errors import Broken, HurenError

log = structlog.get_logger(__name__)

TRIAL_VALID: Final = timedelta(days=825)
TRIAL_RENEWED: Final = timedelta(days=30)  # before its end

# OpenSSL's X509_V_ERR_…: the time is over, or has not come; the purpose is another one.
_EXPIRED: Final = {9, 10}
_UNFIT: Final = {26}

TRUST_SECONDS: Final = 1.0
"""For how long the answer to "whom do we trust?" is kept: a crowd of handshakes asks the database once."""

_ONE_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(?:(?!-----BEGIN ).)*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own certificate (with what lies between it and its authority) and its key: two PEM files."""

    certificate: Path
    key: Path


def own_identity(certificate: Path | None, key: Path | None, folder: Path, name: str, now: datetime) -> Identity:
    """The operator's certificate where there is one, else a trial one in `folder`, made when it is first needed.

    Parameters
    ----------
    name
        What a trial certificate calls us, such as our AE title.
    now
        Aware UTC; a trial certificate is made anew when it is near its end.

    Raises
    ------
    Broken
        ``tls_unusable``: the files are not a certificate and its key, or cannot be read or written.
    """
    if certificate is not None and key is not None:
        identity = Identity(certificate, key)
    else:
        identity = Identity(folder / "trial.pem", folder / "trial.key")
        try:
            with _turn(folder):
                if not _is_good(identity, now):
                    _make_trial(identity, name, now)
        except OSError as error:
            raise Broken("tls_unusable", file=error.filename) from error
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), identity)
    return identity


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate's DER form, in lower-case hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def fingerprints(pem: str) -> set[str]:
    """The fingerprints of every certificate in a PEM text."""
    found = x509.load_pem_x509_certificates(pem.encode()) if pem.strip() else []
    return {fingerprint(c.public_bytes(serialization.Encoding.DER)) for c in found}


def server_context(
    identity: Identity, trusted: Callable[[], str], *, ticks: Callable[[], float] = time.monotonic
) -> ssl.SSLContext:
    """A context for a listening socket: every caller must show one of the `trusted` certificates (PEM, any number).

    `trusted` is asked at a handshake, in its thread, at most once in `TRUST_SECONDS` of `ticks`, so that a certificate
    counts a second after it was entered. Whoever takes the connection must still ask whose the certificate is: no
    authority stands behind it.
    """
    context = _server_context(identity)
    trust = _Trust(identity, trusted, ticks, context)

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _base: ssl.SSLContext) -> int | None:
        chosen = trust.context()
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = chosen
        return None

    context.sni_callback = choose  # called for callers that name no server, too
    return context


class _Trust:
    """The context for those who are trusted now. Safe to use from many threads."""

    def __init__(
        self, identity: Identity, trusted: Callable[[], str], ticks: Callable[[], float], nobody: ssl.SSLContext
    ) -> None:
        self._identity, self._trusted, self._ticks = identity, trusted, ticks
        self._lock = threading.Lock()
        self._asked = -math.inf
        self._text, self._made = "", nobody
        self._known = False
        self._unreadable: set[str] = set()  # fingerprints of the texts that were told of

    def context(self) -> ssl.SSLContext | None:
        """None where it cannot be known whom we trust, which is kept as long as any other answer."""
        with self._lock:
            now = self._ticks()
            if now - self._asked >= TRUST_SECONDS:
                self._asked = now
                self._known = self._ask()
            return self._made if self._known else None

    def _ask(self) -> bool:
        try:
            text = self._trusted()
            if text != self._text:
                made = _server_context(self._identity)
                self._trust_each(made, text)
                self._text, self._made = text, made
        except HurenError as error:
            log.warning("tls_trust_unknown", error=error.code)
            return False
        return True

    def _trust_each(self, context: ssl.SSLContext, text: str) -> None:
        """Trust every certificate that can be read: one that cannot concerns its own device alone."""
        try:
            _trust(context, text)
        except Broken:
            for pem in _ONE_PEM.findall(text):
                try:
                    _trust(context, pem)
                except Broken:
                    mark = fingerprint(pem.encode())
                    if mark not in self._unreadable:
                        self._unreadable.add(mark)
                        log.error("tls_certificate_unreadable", text_sha256=mark)  # noqa: TRY400 - says nothing more


def client_context(identity: Identity | None, trusted: str) -> ssl.SSLContext:
    """A context for calling out; the peer must show one of the `trusted` certificates (PEM).

    Whoever is called by an address on record needs no name in its certificate. Without `trusted`, the system's
    authorities count and the name must fit.

    Raises
    ------
    Broken
        ``tls_unusable``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trusted.strip():
        context.check_hostname = False
        _trust(context, trusted)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if identity is not None:
        _load(context, identity)
    return context


def refusal_reason(error: OSError) -> str:
    """Why a handshake failed, as the code of a refused caller."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _EXPIRED:
            return "certificate_expired"
        return "certificate_unfit" if error.verify_code in _UNFIT else "certificate_unknown"
    if isinstance(error, ssl.SSLError) and error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "certificate_missing"
    return "tls_failed"


def _server_context(identity: Identity) -> ssl.SSLContext:
    """A context that trusts nobody yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A session taken up again would skip the look at the certificate, which may have been removed meanwhile.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load(context, identity)
    return context


def _trust(context: ssl.SSLContext, trusted: str) -> None:
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if trusted.strip():
        try:
            context.load_verify_locations(cadata=trusted)
        except (ssl.SSLError, ValueError) as error:
            raise Broken("tls_unusable") from error


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    try:
        context.load_cert_chain(identity.certificate, identity.key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Broken("tls_unusable", file=str(identity.certificate)) from error


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process at a time: the parts start together, and a certificate of one with a key of another fits nobody."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_good(identity: Identity, now: datetime) -> bool:
    """Whether there is a trial certificate that is valid for a while."""
    if not identity.key.exists() or not identity.certificate.exists():
        return False
    try:
        held = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    except ValueError:
        return False
    return now + TRIAL_RENEWED < held.not_valid_after_utc


def _make_trial(identity: Identity, name: str, now: datetime) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "trial certificate, made by itself"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    known_as = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + TRIAL_VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(known_as, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(identity.key, private)
    _write(identity.certificate, made.public_bytes(serialization.Encoding.PEM))
    log.warning("tls_trial_certificate_made", file=str(identity.certificate))


def _write(file: Path, content: bytes) -> None:
    """Put a file in place whole, readable by us alone."""
    temporary = file.with_name(file.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    temporary.rename(file)
