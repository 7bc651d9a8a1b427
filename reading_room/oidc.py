"""Signing in with an OpenID Connect provider (Core 1.0): authorization code flow with PKCE, state and nonce.

The provider says who somebody is by issuer and subject. That opens an account only where it was connected before, by
the person with their password or by the security admin: an e-mail address or a name says nothing here. What the
browser carries between the steps is sealed with the installation's key.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.http import SignInProvider, Web
from reading_room import sealing
from worklist.errors import Forbidden, TryLater

log = structlog.get_logger(__name__)

RETURN: Final = "/sign-in/provider/return"
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signatures by a key that only the provider has: neither "none" nor a shared secret."""
LEEWAY: Final = 60  # seconds that clocks may differ
SECONDS: Final = 10.0  # for each answer of the provider
KNOWN_FOR: Final = timedelta(hours=1)  # its addresses and keys
ASK_AGAIN: Final = timedelta(minutes=1)  # at the soonest, when a token names a key that is not known
TWO_FACTORS: Final = frozenset({"mfa", "otp", "hwk", "sc", "pop"})
"""Authentication methods (RFC 8176) that make a second factor of ours needless."""
_ASKED: Final = "a question to the sign-in provider"
_PROVED: Final = "an account of the sign-in provider"


@dataclass(frozen=True)
class Proof:
    """Who the provider says it is: "issuer|sub". `strong`: it asked for two factors."""

    subject: str
    strong: bool
    next: str


@dataclass
class _Known:
    """What the provider published, and when it was fetched."""

    at: datetime
    about: dict[str, Any]
    keys: KeySet = field(default_factory=lambda: KeySet([]))


_known: dict[str, _Known] = {}
_fetching: Final = threading.Lock()


def ask(web: Web, next: str, now: datetime) -> tuple[str, str]:
    """Where to send the browser, and the sealed note that it brings back.

    Raises
    ------
    TryLater
        ``provider_away``.
    """
    provider = _provider(web)
    about = _published(provider, now).about
    note = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    with _client(web, provider) as client:
        address, _state = client.create_authorization_url(
            about["authorization_endpoint"], state=note["state"], nonce=note["nonce"], code_verifier=note["verifier"]
        )
    until = now + sealing.NOTE_LIFE
    return str(address), sealing.seal_note(web.seals, _ASKED, note | {"next": next}, until)


def understand(web: Web, said: dict[str, str], carried: str, now: datetime) -> Proof:
    """Check what the browser brought from the provider, `said` in the address, against the note that it carried.

    Raises
    ------
    Forbidden
        ``provider_refused``: the provider, or the person there, said no. ``provider_answer_wrong``: not an answer to
        our question, or a token that is not for us, not signed, or over.
    TryLater
        ``provider_away``.
    """
    provider = _provider(web)
    note = sealing.unseal_note(web.seals, _ASKED, carried, now)
    if note is None or not secrets.compare_digest(said.get("state", "").encode(), note["state"].encode()):
        raise _wrong("state")
    if said.get("iss", provider.issuer) != provider.issuer:  # RFC 9207
        raise _wrong("iss of the answer")
    if "error" in said or not said.get("code"):
        raise Forbidden("provider_refused")
    about = _published(provider, now).about
    try:
        with _client(web, provider) as client:
            answer = client.fetch_token(
                about["token_endpoint"],
                code=said["code"],
                code_verifier=note["verifier"],
                grant_type="authorization_code",
            )
    except AuthlibBaseError as error:
        raise _wrong("code") from error
    except (httpx.HTTPError, ValueError) as error:
        raise TryLater("provider_away") from error
    claims = _claims(provider, str(answer.get("id_token", "")), note["nonce"], now)
    methods = claims.get("amr", [])
    strong = isinstance(methods, list) and bool(TWO_FACTORS & {str(m) for m in methods})
    return Proof(f"{provider.issuer}|{claims['sub']}", strong, note["next"])


def seal_proof(web: Web, proof: Proof, now: datetime) -> str:
    """A note that says whose account of the provider the browser proved, for connecting it after the password."""
    return sealing.seal_note(web.seals, _PROVED, {"subject": proof.subject}, now + sealing.NOTE_LIFE)


def proved(web: Web, carried: str, now: datetime) -> str:
    """The subject of `seal_proof`, or ""."""
    note = sealing.unseal_note(web.seals, _PROVED, carried, now) if web.provider is not None else None
    return note["subject"] if note is not None else ""


def _claims(provider: SignInProvider, token: str, nonce: str, now: datetime) -> dict[str, Any]:
    """The claims of an ID token after all checks of OpenID Connect Core 3.1.3.7."""
    known = _published(provider, now)
    try:
        try:
            decoded = jwt.decode(token, known.keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # The provider may have changed its keys.
            decoded = jwt.decode(token, _published(provider, now, afresh=True).keys, algorithms=ALGORITHMS)
        rules = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        rules.validate(decoded.claims)
    except (JoseError, ValueError, TypeError) as error:
        raise _wrong(type(error).__name__) from error
    claims = dict(decoded.claims)
    audience = claims["aud"]
    others = isinstance(audience, list) and len(audience) > 1
    if (others or "azp" in claims) and claims.get("azp") != provider.client_id:
        raise _wrong("azp")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise _wrong("sub")
    return claims


def _published(provider: SignInProvider, now: datetime, *, afresh: bool = False) -> _Known:
    """The provider's addresses and keys (OpenID Connect Discovery 1.0), fetched when they are old."""
    with _fetching:
        known = _known.get(provider.issuer)
        good_for = ASK_AGAIN if afresh else KNOWN_FOR
        if known is not None and timedelta() <= now - known.at < good_for:
            return known
        try:
            with httpx.Client(timeout=SECONDS, follow_redirects=False) as client:
                about = _json(client, f"{provider.issuer}/.well-known/openid-configuration")
                if about.get("issuer") != provider.issuer:
                    raise ValueError("another issuer")
                keys = KeySet.import_key_set(_json(client, str(about["jwks_uri"])))  # type: ignore[arg-type]
            for name in ("authorization_endpoint", "token_endpoint"):
                if not isinstance(about.get(name), str):
                    raise TypeError(f"no {name}")
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("sign-in provider away", issuer=provider.issuer, error=type(error).__name__)
            raise TryLater("provider_away") from error
        fresh = _Known(now, about, keys)
        _known[provider.issuer] = fresh
        return fresh


def _json(client: httpx.Client, address: str) -> dict[str, Any]:
    answer = client.get(address)
    answer.raise_for_status()
    body = answer.json()
    if not isinstance(body, dict):
        raise TypeError("no object")
    return body


def _client(web: Web, provider: SignInProvider) -> OAuth2Client:
    return OAuth2Client(
        provider.client_id,
        provider.client_secret,
        scope="openid",
        redirect_uri=web.public_url + RETURN,
        code_challenge_method="S256",
        timeout=SECONDS,
        follow_redirects=False,
    )


def _provider(web: Web) -> SignInProvider:
    if web.provider is None:
        raise Forbidden("no_provider")
    return web.provider


def _wrong(what: str) -> Forbidden:
    log.warning("sign-in provider's answer refused", what=what)
    return Forbidden("provider_answer_wrong")
