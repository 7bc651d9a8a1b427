"""Patients whom one township had examined and who come to another: their results are offered, taken or declined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, cast

from huren.demo.days_words import ONE_PERSON, TARIFFS, Visit
from huren.demo.images import ZONE
from huren.demo.stories import STORIES, Story
from worklist.actions import orders, persons, recognising, recognition_rules, tariffs
from worklist.errors import Conflict
from worklist.facts import Identifier, OrderRequest, PatientFacts, Sex
from worklist.queries.views import OrderRow

Do = Callable[..., Any]
"""`Days.do`: an action, a login, and what it is about."""
GO_TO: Final = {"TS01": "doctor2", "V0101": "doctor2", "TS02": "doctor1"}
"""Whose doctor somebody who was examined at a place sees afterwards."""
CHEST: Final = "DRCHEST"
AT: Final = {"doctor1": ("TS01", "village-dr"), "doctor2": ("TS02", "chest-dr")}
"""Where that doctor is, and the story by which that place examines a chest."""


@dataclass
class Elsewhere:
    """The visits of the past days. Those who were examined are told to it as their reports are signed."""

    do: Do
    signed: list[tuple[Story, OrderRow]] = field(default_factory=list)
    came: set[str] = field(default_factory=set)  # patients by id

    def begin(self, institutions: dict[str, str], procedures: dict[str, str], now: datetime) -> None:
        """Quality assessments and tariffs; ids by codes."""
        since = f"{now.astimezone(ZONE).year}0101"
        ends = f"{now.astimezone(ZONE).year + 1}1231"
        for code in ("COUNTY", "TS01", "TS02", "TS03"):
            passed = {"institution_id": institutions[code], "valid_from": since, "valid_to": ends, "note": "演示"}
            self.do(recognition_rules.save_qualification, "manager", {**passed, "item": "DR", "mark": "HR"})
        for code, examination, reading in TARIFFS:
            price = {"procedure_id": procedures[code], "valid_from": since}
            self.do(tariffs.save_tariff, "manager", {**price, "examination": examination, "reading": reading})

    def visit(self, visit: Visit, examine: Callable[[Story, str], Iterator[datetime]]) -> Iterator[datetime]:
        """Somebody comes to the doctor of another place, who wants the same examination; `examine` plays it, by its
        story and accession number, where what there is does not serve."""
        found = self._of_another([CHEST] if visit.refusal else [CHEST, "CTHEAD"])
        if found is None:
            return
        seen, known = found
        doctor = GO_TO[seen.place]
        patient_id = self._registered(doctor, known)
        offered = [o.id for o in self.do(recognising.offer, doctor, patient_id, seen.procedure) if o.id]
        if not offered:
            return
        if not visit.refusal:
            self.do(recognising.accept, doctor, offered[0], read_anew=False)
            return
        wanted = OrderRequest("NW", "", procedure_code=CHEST, clinical_information=visit.clinical)
        order = self.do(orders.place, doctor, _facts(known), wanted)
        said = {"words": visit.words, "patient_told": True, "order_id": order.id}
        for each in offered:
            self.do(recognising.decline, doctor, each, visit.refusal, **said)
        place, story = AT[doctor]
        yield from examine(replace(STORIES[story], place=place), order.accession_number)

    def _of_another(self, procedures: Collection[str]) -> tuple[Story, OrderRow] | None:
        """Whose examination comes up, each person once; best somebody who was not examined so twice."""
        served = [one for one in self.signed if one[0].procedure in procedures]
        times = Counter(row.patient_id for _story, row in served)
        found = [one for one in reversed(served) if one[1].patient_id not in self.came]
        if not found:
            return None
        story, row = min(found, key=lambda one: times[one[1].patient_id])
        return story, row

    def _registered(self, doctor: str, known: OrderRow) -> str:
        """The patient under a number of the doctor's place; somebody has seen that it is the same person."""
        patient_id: str = self.do(recognising.patient_of, doctor, _facts(known))
        with suppress(Conflict):  # seen here before
            self.do(persons.link, "admin", patient_id, known.patient_id, ONE_PERSON)
        self.came |= {patient_id, known.patient_id}
        return patient_id


def _facts(known: OrderRow) -> PatientFacts:
    number = Identifier("", f"9{known.patient_identifier[-6:]}", "MR")
    sex = cast("Sex", known.patient_sex)
    return PatientFacts((number,), known.patient_name, sex, known.patient_birth_date)
