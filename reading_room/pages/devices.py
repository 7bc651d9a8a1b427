"""Devices: a list that is read at one look, and of each device its day, settings, certificates and codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from gateway.certificates import LONGEST_PEM
from gateway.http import Acting, Served, Web
from reading_room.equipment import add_certificates, call_device
from reading_room.pages.configuration import menu, options_of
from reading_room.pages.device_fields import FIELDS, GROUPS, NEW
from reading_room.pages.forms import read_field, shown_fields, typed_values
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from reading_room.words import N_
from worklist.actions import code_mapping, device_settings
from worklist.errors import BadInput, HurenError
from worklist.people import Actor
from worklist.queries import administration as held
from worklist.queries import device_days
from worklist.queries.views import DeviceRow

router = new_router()

SOON: Final = timedelta(days=30)
"""So long before its end a certificate is shown as one that needs a person."""


@dataclass(frozen=True)
class Here:
    """Where the menu of the configuration stands."""

    name: str = "devices"


TABS: Final = (
    ("", N_("Today")),
    ("settings", N_("Settings")),
    ("certificates", N_("Certificates")),
    ("codes", N_("Codes")),
)


@router.get("/admin/devices")
def device_list(request: Request, web: Served, actor: Acting) -> Response:
    """All devices with their day, and who was sent away."""
    actor.require("PACS admin")
    view = View(request, actor)
    now = web.clock()

    def read(session: Session) -> tuple[Any, Any, Any]:
        since = device_days.midnight(session, actor, now)
        return (
            held.devices(session, actor),
            device_days.days(session, actor, since),
            held.refused_callers(session, actor),
        )

    rows, days, refused = web.database.read(read)
    return view.page(
        "admin/devices.html",
        section=Here(),
        menu=menu(view),
        rows=sorted(rows, key=lambda row: not row.enabled),
        days=days,
        refused=refused,
        soon=now + SOON,
    )


@router.get("/admin/devices/new")
def new_device(request: Request, web: Served, actor: Acting, caller: str = "") -> Response:
    """The form of a new device; a refused caller fills it."""
    actor.require("PACS admin")
    start = dict(NEW)
    if caller:
        found = web.database.read(lambda session: held.refused_callers(session, actor))
        row = next((r for r in found if r.id == caller), None)
        if row is not None:
            start["addresses"] = ({"door": row.door, "address": row.address, "claimed": row.claimed},)
            start["name"] = row.claimed
            start["kind"] = "modality" if row.door == "dimse" else "his"
    return _settings(View(request, actor), web, actor, None, start)


@router.post("/admin/devices/new")
def make_device(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Make a device of what was typed; a refusal shows it again."""
    return _save(request, web, actor, None, typed)


@router.get("/admin/devices/{device_id}")
def device_day(request: Request, web: Served, actor: Acting, device_id: str) -> Response:
    """What the device did today, and what waits for a person."""
    actor.require("PACS admin")
    view = View(request, actor)
    now = web.clock()

    def read(session: Session) -> dict[str, Any]:
        row = device_days.device(session, actor, device_id)
        since = device_days.midnight(session, actor, now)
        return {
            "row": row,
            "day": device_days.days(session, actor, since)[row.id],
            "studies": device_days.studies_of(session, actor, row.id, since),
            "messages": device_days.messages_of(session, actor, row.id, since),
            "aside": device_days.set_asides_of(session, actor, row.id),
            "lookalikes": device_days.lookalikes(session, actor, row.id),
        }

    found = web.database.read(read)
    return _page(view, "admin/device.html", "", found.pop("row"), soon=now + SOON, **found)


@router.get("/admin/devices/{device_id}/settings")
def device_settings_page(request: Request, web: Served, actor: Acting, device_id: str) -> Response:
    """The form of a device."""
    actor.require("PACS admin")
    row = web.database.read(lambda session: device_days.device(session, actor, device_id))
    return _settings(View(request, actor), web, actor, row, {f.name: getattr(row, f.name) for f in FIELDS})


@router.post("/admin/devices/{device_id}/settings")
def save_device(request: Request, web: Served, actor: Acting, device_id: str, typed: Typed) -> Response:
    """Keep what was typed; a refusal shows it again."""
    return _save(request, web, actor, device_id, typed)


@router.post("/admin/devices/{device_id}/echo")
def echo_device(web: Served, actor: Acting, device_id: str) -> Response:
    """Call the device at each of its ports; the answer stands on its page."""
    call_device(web, actor, device_id)
    return go_on(f"/admin/devices/{device_id}", "echoed")


@router.get("/admin/devices/{device_id}/certificates")
def certificates_page(request: Request, web: Served, actor: Acting, device_id: str) -> Response:
    """The certificates by which a device is known over TLS."""
    actor.require("PACS admin")
    return _certificates(View(request, actor), web, device_id)


async def _pem(request: Request) -> str:
    """The PEM text of the form: pasted, or of a file.

    Raises
    ------
    BadInput
        ``certificate_unreadable`` for a file that is no text or far too long.
    """
    form = await request.form(max_files=1, max_fields=8)
    try:
        pasted, file = form.get("pem", ""), form.get("file")
        text = pasted if isinstance(pasted, str) else ""
        if isinstance(file, UploadFile) and file.filename:
            text += "\n" + (await file.read(LONGEST_PEM + 1)).decode("ascii")
    except UnicodeDecodeError as error:
        raise BadInput("certificate_unreadable") from error
    finally:
        await form.close()
    return text


@router.post("/admin/devices/{device_id}/certificates")
def add_certificate(
    request: Request, web: Served, actor: Acting, device_id: str, pem: Annotated[str, Depends(_pem)]
) -> Response:
    """From now on the device is known by what was pasted or chosen."""
    try:
        add_certificates(web, actor, device_id, pem)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _certificates(view, web, device_id, pem=pem[:LONGEST_PEM], status=status, error=words)
    return go_on(f"/admin/devices/{device_id}/certificates", "saved")


@router.post("/admin/devices/{device_id}/certificates/{fingerprint}/remove")
def remove_certificate(web: Served, actor: Acting, device_id: str, fingerprint: str) -> Response:
    """The device is not known by it any more."""
    now = web.clock()
    web.database.write(lambda s: device_settings.remove_certificate(s, actor, device_id, fingerprint, now))
    return go_on(f"/admin/devices/{device_id}/certificates", "saved")


@router.get("/admin/devices/{device_id}/codes")
def codes_page(request: Request, web: Served, actor: Acting, device_id: str) -> Response:
    """What the sender's procedure codes mean."""
    actor.require("PACS admin")
    return _codes(View(request, actor), web, device_id)


@router.post("/admin/devices/{device_id}/codes")
def map_code(request: Request, web: Served, actor: Acting, device_id: str, typed: Typed) -> Response:
    """Say what a code means; orders that waited for it go on."""
    now = web.clock()
    try:
        if not typed.code.strip():
            raise BadInput("field_missing", field="code")
        web.database.write(
            lambda s: code_mapping.map_code(s, actor, device_id, typed.code.strip(), typed.procedure, now)
        )
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _codes(view, web, device_id, status=status, error=words)
    return go_on(f"/admin/devices/{device_id}/codes", "mapped")


@router.post("/admin/devices/{device_id}/codes/remove")
def unmap_code(web: Served, actor: Acting, device_id: str, typed: Typed) -> Response:
    """Take a meaning back; orders that were placed with it keep it."""
    now = web.clock()
    web.database.write(lambda s: code_mapping.unmap_code(s, actor, device_id, typed.code, now))
    return go_on(f"/admin/devices/{device_id}/codes", "unmapped")


def _save(request: Request, web: Web, actor: Actor, device_id: str | None, typed: Any) -> Response:
    actor.require("PACS admin")
    now = web.clock()
    try:
        values = {spec.name: read_field(spec, typed) for spec in FIELDS}
        saved = web.database.write(lambda s: device_settings.save_device(s, actor, values, now, device_id).id)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        row = None
        if device_id is not None:
            row = web.database.read(lambda session: device_days.device(session, actor, device_id))
        return _settings(view, web, actor, row, typed_values(FIELDS, typed), status=status, error=words)
    return go_on(f"/admin/devices/{saved}", "saved")


def _settings(
    view: View,
    web: Web,
    actor: Actor,
    row: DeviceRow | None,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    error: str = "",
) -> Response:
    options = web.database.read(lambda session: options_of(session, actor, view))
    groups = [
        {
            "name": group.name,
            "title": view.words(group.title),
            "hint": view.words(group.hint),
            "fields": shown_fields(view, group.fields, options, values, is_new=row is None),
        }
        for group in GROUPS
    ]
    return _page(view, "admin/device_settings.html", "settings", row, status=status, error=error, groups=groups)


def _certificates(
    view: View, web: Web, device_id: str, *, pem: str = "", status: int = 200, error: str = ""
) -> Response:
    actor = _actor(view)
    row, certificates = web.database.read(
        lambda s: (device_days.device(s, actor, device_id), device_days.certificates(s, actor, device_id))
    )
    return _page(
        view,
        "admin/device_certificates.html",
        "certificates",
        row,
        status=status,
        error=error,
        certificates=certificates,
        pem=pem,
        soon=web.clock() + SOON,
    )


def _codes(view: View, web: Web, device_id: str, *, status: int = 200, error: str = "") -> Response:
    actor = _actor(view)

    def read(session: Session) -> tuple[Any, Any, Any]:
        procedures = [p for p in held.procedures(session, actor) if p.enabled]
        return (
            device_days.device(session, actor, device_id),
            device_days.codes(session, actor, device_id),
            procedures,
        )

    row, codes, procedures = web.database.read(read)
    return _page(
        view,
        "admin/device_codes.html",
        "codes",
        row,
        status=status,
        error=error,
        codes=codes,
        procedures=procedures,
    )


def _page(
    view: View, template: str, tab: str, row: DeviceRow | None, *, status: int = 200, error: str = "", **more: Any
) -> Response:
    tabs = []
    if row is not None:
        base = f"/admin/devices/{row.id}"
        sends_orders = any(address["door"] == "mllp" for address in row.addresses)
        tabs = [
            (f"{base}/{name}" if name else base, view.words(title), name == tab)
            for name, title in TABS
            if name != "codes" or sends_orders or tab == "codes"
        ]
    return view.page(template, status=status, error=error, section=Here(), menu=menu(view), row=row, tabs=tabs, **more)


def _actor(view: View) -> Actor:
    assert view.actor is not None  # noqa: S101 - the callers have one
    return view.actor
