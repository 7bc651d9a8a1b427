"""The demo county: a county hospital that reads images and ECGs, three townships that examine, two villages that order.

Every name is invented. The sign-ins (the passwords are made at the first run and kept with mode 0600):

================== =========================================================================================
admin              PACS admin: institutions, devices, routes, messages, the unmatched bin
security           security admin: people and roles
auditor            auditor
manager            manager of the imaging center and of the ECG center
reader1, reader2   readers; reader1 is in the emergency and chest groups, reader2 in the general one
senior1, senior2   senior readers: they review and sign, and are on duty for critical results
heart1, heart2     reader and senior reader of the ECG center
tech1, tech2, tech3        technicians of the townships TS01, TS02 and TS03
doctor1, doctor2, doctor3  doctors there
village1, village2         doctors of the villages V0101 and V0102, which send their patients to TS01
================== =========================================================================================
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from reading_room.passwords import hash_password, make_password
from worklist.actions import aids, device_settings
from worklist.actions import configuration as conf
from worklist.actions.routes import save_routes
from worklist.actions.users import make_token, save_user
from worklist.database import Database
from worklist.people import HUREN
from worklist.queries import administration

LOOPBACK: Final = "127.0.0.1"
TOKENS_FILE: Final = "demo-tokens.json"
PASSWORDS_FILE: Final = "first-run-passwords.txt"


@dataclass(frozen=True)
class Place:
    """A member of the consortium. The code stands in MSH-4 and is the issuer of its patient numbers."""

    code: str
    name: str
    name_en: str
    level: str
    parent: str
    uscc: str  # of the right form (GB 32100) in a region that does not exist


@dataclass(frozen=True)
class Center:
    """A diagnostic center at the county hospital."""

    discipline: str
    name: str
    name_en: str
    on_duty: tuple[str, ...]  # logins of who answers for critical results
    first_words: tuple[str, ...] = ()  # what makes an order the first of all to be read


@dataclass(frozen=True)
class Person:
    """Somebody who signs in. `token` lists the scopes of the token with which `huren demo` plays them, `centers` the
    disciplines in which a reader or manager works."""

    login: str
    name: str
    place: str
    role: str
    groups: tuple[str, ...] = ()
    token: tuple[str, ...] = ()
    centers: tuple[str, ...] = ("imaging",)


@dataclass(frozen=True)
class Scanner:
    """A modality, its AE title, and the character set that it sends and is answered in."""

    ae_title: str
    name: str
    modality: str
    character_set: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class HisSystem:
    """A township's HIS: it orders for its institutions, named in MSH-4, and listens for reports on `port`."""

    place: str
    name: str
    places: tuple[str, ...]
    character_set: str
    port: int
    answers_with: str


PLACES: Final = (
    Place("COUNTY", "临禾县人民医院", "Linhe County People's Hospital", "county", "", "12990099DEM000001D"),
    Place("TS01", "青石镇卫生院", "Qingshi Township Hospital", "township", "COUNTY", "12990099DEM000002G"),
    Place("TS02", "河西乡卫生院", "Hexi Township Hospital", "township", "COUNTY", "12990099DEM000003K"),
    Place("TS03", "柳林中心卫生院", "Liulin Central Township Hospital", "township", "COUNTY", "12990099DEM000004N"),
    Place("V0101", "青石镇上湾村卫生室", "Shangwan Village Clinic", "village", "TS01", "12990099DEM000005R"),
    Place("V0102", "青石镇梨园村卫生室", "Liyuan Village Clinic", "village", "TS01", "12990099DEM000006W"),
)

IMAGING: Final = Center("imaging", "临禾县医学影像诊断中心", "Linhe County Imaging Center", ("senior1", "senior2"))
ECG: Final = Center("ecg", "临禾县心电诊断中心", "Linhe County ECG Center", ("heart2",), ("胸痛", "胸闷", "chest pain"))
CENTERS: Final = (IMAGING, ECG)

GROUPS: Final = {"emergency": ("急诊组", "Emergency"), "chest": ("胸部组", "Chest"), "general": ("综合组", "General")}

_READS: Final = ("read", "read cases", "report")
_ORDERS: Final = ("read", "order")

PEOPLE: Final = (
    Person("admin", "周启航", "COUNTY", "PACS admin", token=("read", "admin")),
    Person("security", "沈若澜", "COUNTY", "security admin"),
    Person("auditor", "顾清和", "COUNTY", "auditor"),
    Person("manager", "韩承志", "COUNTY", "manager", centers=("imaging", "ecg")),
    Person("reader1", "林知远", "COUNTY", "reader", ("emergency", "chest"), _READS),
    Person("reader2", "苏映雪", "COUNTY", "reader", ("general",), _READS),
    Person("senior1", "陈柏年", "COUNTY", "senior reader", tuple(GROUPS), (*_READS, "sign")),
    Person("senior2", "方慕云", "COUNTY", "senior reader", tuple(GROUPS), (*_READS, "sign")),
    Person("heart1", "许知衡", "COUNTY", "reader", (), _READS, ("ecg",)),
    Person("heart2", "江砚秋", "COUNTY", "senior reader", (), (*_READS, "sign"), ("ecg",)),
    Person("tech1", "何禾田", "TS01", "technician"),
    Person("tech2", "罗小满", "TS02", "technician"),
    Person("tech3", "秦立夏", "TS03", "technician"),
    Person("doctor1", "叶长青", "TS01", "doctor", token=_ORDERS),
    Person("doctor2", "孟书禾", "TS02", "doctor", token=_ORDERS),
    Person("doctor3", "白云舟", "TS03", "doctor", token=_ORDERS),
    Person("village1", "田有粮", "V0101", "doctor", token=_ORDERS),
    Person("village2", "麦知秋", "V0102", "doctor", token=_ORDERS),
)

SCANNERS: Final = (
    Scanner("TS01CT", "青石 CT", "CT", "GB18030", ("TS01",)),
    Scanner("TS01DR", "青石 DR", "DX", "GB18030", ("TS01", "V0101", "V0102")),
    Scanner("TS01ECG", "青石心电图机", "ECG", "GB18030", ("TS01", "V0101", "V0102")),
    Scanner("TS02ECG", "河西心电图机", "ECG", "UTF-8", ("TS02",)),
    Scanner("TS02DR", "河西 DR", "DX", "UTF-8", ("TS02",)),
    Scanner("TS03US", "柳林彩超", "US", "ISO 2022 IR 58", ("TS03",)),
    Scanner("TS03MR", "柳林 MR", "MR", "ISO 2022 IR 58", ("TS03",)),
)

HIS_SYSTEMS: Final = (
    HisSystem("TS01", "青石 HIS", ("TS01", "V0101", "V0102"), "GB18030", 2581, "order response"),
    HisSystem("TS02", "河西 HIS", ("TS02",), "UTF-8", 2582, "ACK"),
    HisSystem("TS03", "柳林 HIS", ("TS03",), "UTF-8", 2583, "order response"),
)

# Minutes from the complete study to the report: emergency CT and MR 60, head 30; emergency X-ray 30, X-ray two
# hours; outpatient CT and MR four hours; ultrasound 30; ECG 30, in an emergency 10.
_XRAY: Final = {"STAT": 30, "URGENT": 60, "ROUTINE": 120}
_SLICES: Final = {"STAT": 60, "URGENT": 120, "ROUTINE": 240}
_ECG: Final = {"STAT": 10, "URGENT": 30, "ROUTINE": 30}
_ULTRASOUND: Final = {"STAT": 30, "URGENT": 30, "ROUTINE": 30}

PROCEDURES: Final[tuple[tuple[str, str, str, str, str, Mapping[str, int]], ...]] = (
    ("CTHEAD", "头颅CT平扫", "CT head, plain", "CT", "HEAD", {**_SLICES, "STAT": 30}),
    ("CTCHEST", "胸部CT平扫", "CT chest, plain", "CT", "CHEST", _SLICES),
    ("CTABD", "上腹部CT平扫", "CT upper abdomen, plain", "CT", "ABDOMEN", _SLICES),
    ("DRCHEST", "胸部正侧位DR", "DR chest, two views", "DX", "CHEST", _XRAY),
    ("DRKNEE", "膝关节正侧位DR", "DR knee, two views", "DX", "KNEE", _XRAY),
    ("DRHAND", "手正斜位DR", "DR hand, two views", "DX", "HAND", _XRAY),
    ("USHEART", "超声心动图", "Echocardiography", "US", "HEART", _ULTRASOUND),
    ("USNODE", "浅表淋巴结超声", "Ultrasound of superficial lymph nodes", "US", "NECK", _ULTRASOUND),
    ("USABD", "腹部超声", "Ultrasound of the abdomen", "US", "ABDOMEN", _ULTRASOUND),
    ("MRABD", "上腹部MR增强", "MR upper abdomen, enhanced", "MR", "ABDOMEN", _SLICES),
    ("ECG12", "十二导联心电图", "12-lead ECG", "ECG", "", _ECG),
)

ROUTES: Final[tuple[tuple[int, str, Mapping[str, Any], str], ...]] = (  # the last is a group of the imaging center
    (5, "心电图", {"modalities": ["ECG"]}, ""),
    (10, "急诊头颅CT优先", {"modalities": ["CT"], "body_parts": ["HEAD"], "priorities": ["STAT"]}, "emergency"),
    (20, "其他急诊", {"priorities": ["STAT"]}, "emergency"),
    (30, "胸部DR", {"modalities": ["DX", "CR", "DR"], "body_parts": ["CHEST"]}, "chest"),
    (100, "默认", {}, "general"),
)


def seed(database: Database, now: datetime, data: Path) -> dict[str, str]:
    """Set the county up in an empty database; return each login's first-run password, nothing if it is not empty.

    The passwords are random and made here, one for each person, so nobody has to change theirs at the first sign-in.
    They are kept in `data`, readable by its owner alone, and so are the tokens with which `huren demo` plays the
    readers and the doctors. `now` is aware UTC.
    """
    if database.read(lambda session: administration.institutions(session, HUREN)):
        return {}
    passwords = {person.login: make_password() for person in PEOPLE}
    # Before the rows exist, so that there is no moment at which nobody knows how to sign in.
    keep_secret(data / PASSWORDS_FILE, "".join(f"{login}\t{word}\n" for login, word in passwords.items()))
    hashes = {login: hash_password(word) for login, word in passwords.items()}
    tokens = database.write(lambda session: _plant(session, hashes, now))
    keep_secret(data / TOKENS_FILE, json.dumps(tokens, indent=2) + "\n")
    return passwords


def keep_secret(file: Path, text: str) -> None:
    """Replace `file` by `text` with mode 0600; it is never there half-written or readable by others."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as writing:
        writing.write(text)
        writing.flush()
        os.fsync(writing.fileno())
    Path(name).replace(file)


def _plant(session: Session, hashes: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Write all rows; return the tokens by login."""
    places: dict[str, str] = {}
    for place in PLACES:
        fields = {
            "code": place.code,
            "name": place.name,
            "name_en": place.name_en,
            "level": place.level,
            "parent_id": places.get(place.parent),
            "uscc": place.uscc,
        }
        places[place.code] = conf.save_institution(session, HUREN, fields, now).id
    centers = {center.discipline: _plant_center(session, places["COUNTY"], center, now) for center in CENTERS}
    groups = {
        key: conf.save_group(
            session, HUREN, {"center_id": centers["imaging"], "name": name, "name_en": name_en}, now
        ).id
        for key, (name, name_en) in GROUPS.items()
    }
    _plant_work(session, centers, groups, now)
    _plant_devices(session, places, now)
    return _plant_people(session, places, centers, groups, hashes, now)


def _plant_center(session: Session, institution_id: str, center: Center, now: datetime) -> str:
    fields = {
        "institution_id": institution_id,
        "discipline": center.discipline,
        "name": center.name,
        "name_en": center.name_en,
        "two_people": True,
        "preliminary_hours": [["17:30", "08:00"]],  # one reader alone at night
        "quiet_seconds": 30,
        "first_words": list(center.first_words),
    }
    made = conf.save_center(session, HUREN, fields, now).id
    aids.add_starter(session, HUREN, made, now)
    return made


def _plant_work(session: Session, centers: Mapping[str, str], groups: Mapping[str, str], now: datetime) -> None:
    for code, name, name_en, modality, body_part, limits in PROCEDURES:
        discipline = "ecg" if modality == "ECG" else "imaging"
        procedure = {"code": code, "name": name, "name_en": name_en, "modality": modality, "body_part": body_part}
        conf.save_procedure(session, HUREN, {**procedure, "discipline": discipline, "limits": dict(limits)}, now)
    rules = [
        {
            "place": place,
            "name": name,
            "conditions": dict(conditions),
            "center_id": centers["imaging" if group else "ecg"],
            "group_id": groups.get(group),
        }
        for place, name, conditions, group in ROUTES
    ]
    save_routes(session, HUREN, rules, "演示", now)


def _plant_devices(session: Session, places: Mapping[str, str], now: datetime) -> None:
    for scanner in SCANNERS:
        fields: dict[str, Any] = {
            "name": scanner.name,
            "kind": "modality",
            "modality": scanner.modality,
            "character_set_in": scanner.character_set,
            "character_set_out": scanner.character_set,
            "institution_ids": [places[code] for code in scanner.places],
            "addresses": [{"door": "dimse", "address": LOOPBACK, "claimed": scanner.ae_title}],
        }
        device_settings.save_device(session, HUREN, fields, now)
    for his in HIS_SYSTEMS:
        fields = {
            "name": his.name,
            "kind": "his",
            "institution_field": "MSH-4",
            "character_set_in": his.character_set,
            "character_set_out": his.character_set,
            "answers_with": his.answers_with,
            "institution_ids": [places[code] for code in his.places],
            "addresses": [{"door": "mllp", "address": LOOPBACK, "claimed": f"HIS|{code}"} for code in his.places],
        }
        device_settings.save_device(session, HUREN, fields, now)
        for code in his.places:  # the reports of a village go to the HIS of its township
            endpoint = {
                "institution_id": places[code],
                "name": his.name,
                "host": LOOPBACK,
                "port": his.port,
                "receiving_application": "HIS",
                "receiving_facility": code,
                "character_set": his.character_set,
            }
            conf.save_endpoint(session, HUREN, endpoint, now)


def _plant_people(
    session: Session,
    places: Mapping[str, str],
    centers: Mapping[str, str],
    groups: Mapping[str, str],
    hashes: Mapping[str, str],
    now: datetime,
) -> dict[str, str]:
    ids: dict[str, str] = {}
    tokens: dict[str, str] = {}
    for person in PEOPLE:
        in_center = person.role in ("reader", "senior reader", "manager")
        ids[person.login] = save_user(
            session,
            HUREN,
            now,
            login=person.login,
            name=person.name,
            institution_id=places[person.place],
            roles=[(person.role, centers[one]) for one in person.centers] if in_center else [(person.role, "")],
            group_ids=[groups[group] for group in person.groups],
            enabled=True,
            password_hash=hashes[person.login],
            must_change_password=False,
        ).id
        if person.token:
            tokens[person.login] = make_token(session, HUREN, person.login, "huren demo", person.token, now, None)
    for center in CENTERS:
        conf.set_on_duty(session, HUREN, centers[center.discipline], [ids[login] for login in center.on_duty], now)
    return tokens
