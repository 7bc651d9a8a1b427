"""A small, strict OpenID Connect provider on a real port: everybody who comes is somebody it is told to know.

It checks what a provider checks (client, redirect address, PKCE, single use of codes) and signs with RS256. `twist`
lets a test spoil what it says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.peers.ports import LOOPBACK, free_port

CLIENT = "huren"
SECRET = "a secret between two servers"
Twist = Callable[[dict[str, Any], dict[str, Any]], str | None]
"""Alters the header and claims of an ID token; or returns the whole token."""


@dataclass
class Provider:
    """A running provider. `subject` is who signs in at it."""

    issuer: str
    clock: Callable[[], datetime]
    subject: str = "u-4711"
    methods: list[str] = field(default_factory=lambda: ["pwd"])
    twist: Twist = field(default=lambda _header, _claims: None)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def token(self, nonce: str) -> str:
        """An ID token for whoever asked with this nonce."""
        now = int(self.clock().timestamp())
        header: dict[str, Any] = {"alg": "RS256", "kid": self.key.kid}
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "amr": self.methods,
            "email": "doc1@example.org",
        }
        return self.twist(header, claims) or jwt.encode(header, claims, self.key)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token that nobody signed (alg "none")."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header | {'alg': 'none'})}.{part(claims)}."


def _app(provider: Provider) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    def about() -> dict[str, Any]:
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/jwks",
        }

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        provider.asked.append(asked)
        right = asked.get("client_id") == CLIENT and asked.get("response_type") == "code"
        if not right or asked.get("code_challenge_method") != "S256" or "openid" not in asked.get("scope", "").split():
            return Response(status_code=400)
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": provider.issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}")

    @app.post("/token")
    async def token(request: Request) -> Response:
        form = await request.form()
        said = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ") or b"").decode()
        asked = provider.codes.pop(str(form.get("code", "")), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest())
        if (
            asked is None
            or said != f"{CLIENT}:{SECRET}"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse(
            {"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": provider.token(asked["nonce"])}
        )

    return app


@contextmanager
def running(clock: Callable[[], datetime]) -> Iterator[Provider]:
    """The provider, for the length of the block."""
    port = free_port()
    provider = Provider(f"http://{LOOPBACK}:{port}", clock)
    config = uvicorn.Config(_app(provider), host=LOOPBACK, port=port, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="provider")
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "the provider did not start"
            time.sleep(0.02)
        yield provider
    finally:
        server.should_exit = True
        thread.join()
