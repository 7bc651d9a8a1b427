"""The web door: uvicorn with the application, as one process or one of several behind a port."""

from __future__ import annotations

import socket
import threading
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from gateway.http import SignInProvider, Web
from gateway.outgoing import Allowed
from huren.app import create_app
from huren.parts import Ground, keep_what_is_loaded
from huren.patience import PatientProtocol
from huren.running import EVERY, Sign
from huren.settings import Settings
from reading_room.live import hub_of


def run_web(on: Ground, listener: socket.socket, asked_to_end: threading.Event, sign: Sign, *, is_alone: bool) -> None:
    """Serve the pages and the HTTP doors on `listener` until the process is asked to end; `sign` is given by the loop
    that serves. `is_alone`: no other process listens there."""

    async def give_sign() -> None:
        sign.give()
        on.clock()  # which sees a jump while nobody else asks

    settings = on.settings
    web = Web(
        database=on.database,
        store=on.store,
        clock=on.clock,
        secure_cookies=settings.secure_cookies,
        seals=settings.seals,
        public_url=settings.reached_at,
        identifier_systems=dict(settings.identifier_systems),
        largest_object=settings.largest_object << 20,
        spool=settings.data / "spool",
        reserve=settings.reserve << 20,
        ae_title=settings.ae_title,
        identity=on.identity,
        second_factor_roles=frozenset(settings.second_factor_roles),
        notice_hosts=Allowed.read(settings.notice_hosts),
        provider=sign_in_provider(settings),
    )
    config = uvicorn.Config(
        create_app(web, settings, is_alone=is_alone),
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        callback_notify=give_sign,
        timeout_notify=int(EVERY),
    )
    keep_what_is_loaded()
    if not asked_to_end.is_set():  # while the doors were opened
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Waits for answers that are under way; those that have no end are ended first."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        hub_of(self.config.app).close()
        super().handle_exit(sig, frame)


def sign_in_provider(settings: Settings) -> SignInProvider | None:
    """The OpenID Connect provider of the settings."""
    if not settings.oidc_issuer:
        return None
    name = settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or settings.oidc_issuer
    return SignInProvider(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, name)
