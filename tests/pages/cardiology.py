"""An ECG center in the county of the pages: a cart in the township, a cardiologist and their senior, recordings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Protocol

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from gateway.store import FolderStore
from interfaces.dicom.objects import part10
from interfaces.ecg.recording import Recording
from interfaces.ecg.waveforms import TWELVE_LEAD
from interfaces.ecg.writing import filing_of, write
from reading_room.passwords import hash_password
from tests.pages.site import CHEAP, PASSWORD
from tests.world import Placed, World
from worklist.actions import configuration, device_settings, users
from worklist.people import HUREN
from worklist.tables import Instance

CART = "TS01ECG"


def open_center(world: World) -> str:
    """What reads ECGs: center, procedure, cart, and the people `heart1` (reader) and `heart2` (senior reader).

    Returns the id of the center.
    """
    county, town = world.institutions["CH01"], world.institutions["TS01"]
    fields = {"institution_id": county, "name": "县心电诊断中心", "discipline": "ecg"}
    center = world.do(configuration.save_center, HUREN, fields, world.now).id
    procedure = {
        "code": "ECG12",
        "name": "十二导联心电图",
        "name_en": "12-lead ECG",
        "modality": "ECG",
        "discipline": "ecg",
    }
    world.do(configuration.save_procedure, HUREN, procedure, world.now)
    cart = {
        "name": CART,
        "institution_ids": [town],
        "addresses": [{"door": "dimse", "address": "127.0.0.1", "claimed": CART}],
        "modality": "ECG",
    }
    world.do(device_settings.save_device, HUREN, cart, world.now)
    hashed = hash_password(PASSWORD, CHEAP)
    for login, name, role in (("heart1", "何医师", "reader"), ("heart2", "唐主任", "senior reader")):
        made = world.do(
            users.save_user,
            HUREN,
            world.now,
            login=login,
            name=name,
            institution_id=county,
            roles=[(role, center)],
            group_ids=[],
            password_hash=hashed,
            must_change_password=False,
        )
        world.users[login] = made.id
    return center


class Place(Protocol):
    """A county, its store and its clock."""

    @property
    def world(self) -> World: ...
    @property
    def store(self) -> FolderStore: ...
    def clock(self) -> datetime: ...


def waveform(recording: Recording, **says: str) -> Dataset:
    """A recording as a cart sends it; `says` replaces elements."""
    uid = generate_uid()
    made = write(recording, filing_of(recording.subject, uid), uid)
    head = part10(sop_class=TWELVE_LEAD, sop_instance=uid, transfer_syntax=made.transfer_syntax)
    ds = dcmread(BytesIO(head + made.dataset))
    for name, value in says.items():
        setattr(ds, name, value)
    return ds


def record(
    site: Place, placed: Placed | None, recording: Recording, change: Callable[[Dataset], None] = lambda _ds: None
) -> str:
    """A recording of an order, or of nobody's, received from the cart at the door; the id of its instance. `change`
    alters the object that is written of it."""
    world = site.world
    at = recording.recorded_at
    assert at is not None
    facts = world.facts(
        placed,
        modality="ECG",
        body_part="",
        rows=None,
        columns=None,
        study_date=f"{at:%Y%m%d}",
        study_time=f"{at:%H%M%S}",
        sop_class_uid=TWELVE_LEAD,
    )
    filing = filing_of(recording.subject, facts.sop_instance_uid)
    made = write(recording, filing, facts.sop_instance_uid)
    head = part10(sop_class=TWELVE_LEAD, sop_instance=facts.sop_instance_uid, transfer_syntax=made.transfer_syntax)
    ds = dcmread(BytesIO(head + made.dataset))
    change(ds)
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    step = world.begin_step(placed, device=CART, at=site.clock()) if placed else ""
    receipt = world.receive(facts, site.store.put([out.getvalue()]), device=CART, at=site.clock())
    assert receipt.outcome == "stored"
    if placed:
        world.end_step(step, [facts.sop_instance_uid], device=CART, at=site.clock())
    return world.one(Instance, Instance.sop_instance_uid == facts.sop_instance_uid).id
