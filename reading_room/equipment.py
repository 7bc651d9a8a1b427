"""What pages and API do with devices beside their settings: call them, and take their certificates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sqlalchemy.orm import Session

from gateway.certificates import read_certificates
from gateway.dimse.echo import echo
from gateway.http import Web
from worklist.actions import device_settings
from worklist.errors import Conflict
from worklist.facts import Reached
from worklist.people import Actor
from worklist.queries import device_days
from worklist.queries.views import DeviceRow

MOST_CALLS: Final = 8  # ports of one device that are called at once, and at all


def call_device(web: Web, by: Actor, device_id: str) -> list[Reached]:
    """C-ECHO to every DICOM port of a device, all at once; the results are kept beside it.

    Blocks for as long as the slowest takes, a few seconds at most. No transaction is open meanwhile.

    Raises
    ------
    NotFound, Forbidden, Conflict
        ``device_has_no_port``.
    """

    def read(session: Session) -> tuple[DeviceRow, str]:
        row = device_days.device(session, by, device_id)
        return row, device_days.certificate_texts(session, by, device_id)

    row, certificates = web.database.read(read)
    ports = [a for a in row.addresses if a["door"] == "dimse" and a["port"]][:MOST_CALLS]
    if not ports:
        raise Conflict("device_has_no_port")

    def call(address: dict[str, str | int | bool | None]) -> Reached:
        return echo(
            web.ae_title,
            str(address["claimed"]),
            str(address["address"]),
            int(address["port"] or 0),
            tls=bool(address["tls"]),
            certificates=certificates,
            identity=web.identity,
        )

    with ThreadPoolExecutor(len(ports), thread_name_prefix="echo") as calling:
        results = list(calling.map(call, ports))
    now = web.clock()
    web.database.write(lambda s: device_settings.note_echo(s, by, device_id, results, now))
    return results


def add_certificates(web: Web, by: Actor, device_id: str, pem: str) -> None:
    """Let a device be known by every certificate of a PEM text: all of them, or none where one is refused.

    Raises
    ------
    BadInput, NotFound, Conflict
        as `gateway.certificates.read_certificates` and `device_settings.add_certificate`.
    """
    read = read_certificates(pem)
    now = web.clock()

    def work(session: Session) -> None:
        for one in read:
            device_settings.add_certificate(
                session,
                by,
                device_id,
                one.pem,
                now,
                fingerprint=one.fingerprint,
                subject=one.subject,
                not_after=one.not_after,
            )

    web.database.write(work)
