"""Ten townships, each with a HIS and its devices, and enough people at the center; set up by the admins' actions."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.integration.topology import Topology
from tests.peers.his import Answer, His
from tests.soak.day import CT_TOWNS, KINDS, TOWNS
from tests.world import LOOPBACK
from worklist.actions import configuration, device_settings, users
from worklist.people import HUREN
from worklist.tables import Center

READERS, SENIORS = 6, 4


class Hospital(His):
    """A HIS that notes when each message came."""

    def __init__(self) -> None:
        self.came: list[tuple[float, bytes]] = []  # time.monotonic(), message
        super().__init__()

    def take(self, raw: bytes) -> Answer:
        """Keep one message and say what to do with it."""
        self.came.append((time.monotonic(), raw))
        return super().take(raw)


def device_of(town: str, kind: str) -> str:
    """The AE title of a township's device."""
    return f"{town}{kind}"


def furnish(county: Topology, quiet_seconds: int) -> tuple[dict[str, Hospital], list[str], list[str]]:
    """Everything that the day needs beside what `tests.world` makes: the HIS by town, and the logins of readers and
    senior readers."""
    hospitals = {town: Hospital() for town in TOWNS}
    readers = [f"reader{n}" for n in range(1, READERS + 1)]
    seniors = [f"senior{n}" for n in range(1, SENIORS + 1)]
    county.database.write(lambda s: _furnish(s, county, hospitals, readers, seniors, quiet_seconds))
    return hospitals, readers, seniors


def _furnish(
    session: Session,
    county: Topology,
    hospitals: dict[str, Hospital],
    readers: list[str],
    seniors: list[str],
    quiet_seconds: int,
) -> None:
    world = county.world
    session.execute(update(Center).values(quiet_seconds=quiet_seconds))
    for town, hospital in hospitals.items():
        if town not in world.institutions:
            fields: dict[str, Any] = {"code": town, "name": f"{town}乡卫生院", "level": "township"}
            fields["parent_id"] = world.institutions["CH01"]
            world.institutions[town] = configuration.save_institution(session, HUREN, fields, world.now).id
        kinds = [kind.name for kind in KINDS if kind.name != "CT" or town in CT_TOWNS]
        for kind in kinds:
            _device(session, county, town, device_of(town, kind), "dimse", {"modality": kind})
        his = {"kind": "his", "answers_with": "order response"}
        _device(session, county, town, f"HIS|{town}", "mllp", his)
        fields = {"institution_id": world.institutions[town], "name": f"HIS of {town}", "host": LOOPBACK}
        fields |= {"port": hospital.port, "receiving_facility": town}
        configuration.save_endpoint(session, HUREN, fields, world.now, id=world.endpoints.get(town))
    fields = {
        "code": "ECG-12",
        "name": "十二导联心电图",
        "name_en": "12-lead ECG",
        "modality": "ECG",
        "body_part": "HEART",
    }
    configuration.save_procedure(session, HUREN, fields, world.now)
    center = world.centers["CH01"]
    for login in (*readers, *seniors):
        if login not in world.users:
            role = "senior reader" if login in seniors else "reader"
            world.users[login] = users.save_user(
                session,
                HUREN,
                world.now,
                login=login,
                name=login,
                institution_id=world.institutions["CH01"],
                roles=[(role, center)],
                group_ids=[world.groups["CT"]],
                must_change_password=False,
            ).id


def _device(session: Session, county: Topology, town: str, name: str, door: str, settings: dict[str, str]) -> None:
    world = county.world
    fields = {
        "name": name,
        "institution_ids": [world.institutions[town]],
        "addresses": [{"door": door, "address": LOOPBACK, "claimed": name}],
        **settings,
    }
    world.devices[name] = device_settings.save_device(session, HUREN, fields, world.now, id=world.devices.get(name)).id
