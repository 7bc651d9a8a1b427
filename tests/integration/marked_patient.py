"""A patient of TS01 with everything that can hang on one, in words by which they are known wherever they appear."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import httpx2
from sqlalchemy import RowMapping, Table, select
from sqlalchemy.orm import Session

from tests.integration.api_desk import Desk
from tests.pages.site import phantom
from worklist.actions import archiving, critical, demographics, merging, uploads
from worklist.facts import PersonName, ReportText
from worklist.tables import Base, Order
from worklist.tables.base import table_of

NAME, NUMBER = "独孤求败", "77001234"
MARKS: Final = (NAME, NUMBER, "独病史", "独问题", "独所见", "独结论", "独危急", "DUGU^", "dugu")


def fill(desk: Desk) -> None:
    """Orders, images, reports, a critical result, merged rows: all of them of that patient."""
    world, now = desk.world, desk.now
    world.do(archiving.configure, ("archive",), now)
    facts = world.patient(NUMBER, NAME)
    placed = world.order(patient=facts, clinical_information="独病史", reason="独问题")
    study_facts = world.facts(placed, patient_name=PersonName(NAME, "DUGU^QIUBAI"))
    stored = desk.web.store.put([phantom(study_facts, 0.5)])
    world.receive(study_facts, stored, at=now)
    world.end_step(world.begin_step(placed), [study_facts.sop_instance_uid])
    reading = world.reading_of(placed).id
    words = ReportText("独所见", "独结论", "")
    world.write("reader1", reading, words, now)
    world.do(critical.mark, world.actor("reader1"), reading, "独危急", now)
    world.submit("reader1", reading, at=now)
    world.claim("senior1", reading, at=now)
    signed = desk.program("senior1").post(f"/api/readings/{reading}/sign")
    assert signed.status_code == 200, signed.text
    drafted = world.ready(world.order(patient=facts, clinical_information="独病史"), at=now)
    world.write("reader1", drafted, words, now)
    world.receive(world.facts(None, patient_id=NUMBER, patient_name=PersonName(NAME, "DUGU^QIUBAI")))  # unmatched
    world.do(uploads.begin_upload, world.actor("tech1"), "own equipment", "独病史", 3, now)
    tech, admin = world.actor("tech1"), world.actor("admin")
    patient = world.one(Order, Order.id == placed.id).patient_id
    world.do(demographics.add_document, tech, patient, "BC", "Q420123456", "因为", now)
    others = [world.order(patient=world.patient(f"7700{n}", f"{NAME}{n}")) for n in (1, 2)]
    one, other = (world.one(Order, Order.id == o.id).patient_id for o in others)
    world.do(merging.merge, admin, one, other, "因为", now, sure=True)


def marks_in(answer: httpx2.Response) -> list[str]:
    """What of that patient an answer says."""
    text = answer.content.decode("utf-8", "replace")
    return [mark for mark in MARKS if mark in text]


OWN: Final = {
    "audit",
    "audit_seal",
    "web_session",
    "sign_in_failure",
    "counter",
    "user_setting",
    "saved_view",
    "api_token",
}
"""Tables that a person writes about themselves."""


def rows(desk: Desk, people: Collection[str]) -> dict[tuple[str, str], str]:
    """Every row that these people must not touch, by table and key; their own accounts are left out."""
    found = {}
    for mapper in Base.registry.mappers:
        table = table_of(mapper.class_)
        if table.name in OWN:
            continue
        keys = [c.name for c in table.primary_key]
        for row in desk.world.ask(_all_of, table):
            if table.name == "user" and row["login"] in people:
                continue  # their own language, and wrong passwords that they gave
            found[table.name, "|".join(str(row[k]) for k in keys)] = str(dict(row))
    return found


def _all_of(session: Session, table: Table) -> Sequence[RowMapping]:
    return session.execute(select(table)).mappings().all()
