"""Records for other systems on both databases: each criterion finds and leaves out, and everybody sees their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.world import World
from worklist.errors import Broken
from worklist.facts import Criterion, DaySpan, Number, Sought, Span
from worklist.queries.records import orders, patients, reports, searching, studies
from worklist.queries.records.searching import Wanted
from worklist.tables import Order, Patient, ReportVersion, Study

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
NOBODY = "0" * 26
SEARCHES: dict[str, Any] = {
    "patients": patients.search,
    "orders": orders.search,
    "studies": studies.search,
    "reports": reports.search,
}
HIT, MISS = Span(NOW - timedelta(hours=1), NOW + timedelta(hours=1)), Span(None, NOW - timedelta(days=9))


def _found(world: World, what: str, login: str, *criteria: tuple[str, Sought], limit: int = 50, after: str = "") -> Any:
    asked = tuple(Criterion(name, (value,)) for name, value in criteria)
    return world.ask(SEARCHES[what], Wanted(world.actor(login), asked, limit, after))


def test_every_criterion_finds_and_leaves_out(world: World) -> None:
    """And there is none that is not tried here."""
    reading = world.ready(world.order(patient=world.patient("P1", "王小东")), images=2)
    version = world.signed(reading).id
    world.ready(world.order(patient=world.patient("P2", "李芳", "F"), procedure="DR-CHEST"))
    order = next(o for o in world.rows(Order) if o.patient_value == "P1")
    study = next(s for s in world.rows(Study) if s.patient_id == order.patient_id)
    number, unknown = Number("patient", "TS01", "P1"), Number("patient", "TS02", "P1")
    accession = Number("accession", None, order.accession_number)
    day, other = DaySpan("19600102", "19600102"), DaySpan("", "19591231")
    tries: dict[str, dict[str, tuple[Sought, Sought]]] = {
        "patients": {
            "id": (order.patient_id, NOBODY),
            "number": (number, unknown),
            "name": ("小东", "_"),
            "sex": ("M", "O"),
            "birth date": (day, other),
        },
        "orders": {
            "id": (order.id, NOBODY),
            "number": (accession, Number("placer", "TS02", order.placer_number)),
            "patient": (order.patient_id, NOBODY),
            "patient number": (number, unknown),
            "state": (order.state, "cancelled"),
            "placed": (HIT, MISS),
            "procedure": ("CT-HEAD", "US-ABDOMEN"),
            "priority": ("ROUTINE", "STAT"),
        },
        "studies": {
            "id": (study.id, NOBODY),
            "number": (Number("study", None, study.study_instance_uid), Number("study", None, "1.2.3")),
            "patient": (order.patient_id, NOBODY),
            "patient number": (number, unknown),
            "order": (order.id, NOBODY),
            "acquired": (HIT, MISS),
            "changed": (HIT, MISS),
            "modality": ("CT", "MR"),
        },
        "reports": {
            "id": (reading, NOBODY),
            "version": (version, NOBODY),
            "made of": (reading, NOBODY),
            "number": (accession, Number("report", None, NOBODY)),
            "patient": (order.patient_id, NOBODY),
            "patient number": (number, unknown),
            "order": (order.id, NOBODY),
            "issued": (Span(NOW, None), MISS),
            "observed": (HIT, MISS),
            "status": ("final", "corrected"),
            "procedure": ("CT-HEAD", "DR-CHEST"),
            "discipline": ("imaging", "ecg"),
        },
    }
    wanted = {"patients": order.patient_id, "orders": order.id, "studies": study.id, "reports": reading}
    for what, criteria in tries.items():
        for name, (hit, miss) in criteria.items():
            for login in ("doc1", "reader1"):
                found = _found(world, what, login, (name, hit)).items
                assert wanted[what] in {getattr(one, "report_id", getattr(one, "id", "")) for one in found}, (
                    what,
                    name,
                )
                assert _found(world, what, login, (name, miss)).items == (), (what, name)
            assert _found(world, what, "doc2", (name, hit)).items == (), (what, name)
        module = {"patients": patients, "orders": orders, "studies": studies, "reports": reports}[what]
        untried = set(module._KNOWN) - set(criteria)
        assert untried <= {"available"}, what
    with pytest.raises(Broken, match="criterion_unknown"):
        _found(world, "patients", "doc1", ("shoe size", "44"))


def test_many_rows_under_one_number_are_found_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _each in range(3):
        world.signed(world.ready(world.order(patient=world.patient("P1", "王小东")), images=1))
    by = ("patient number", Number("patient", "TS01", "P1"))
    few = {
        what: [getattr(r, "version_id", r.__dict__.get("id")) for r in _found(world, what, "doc1", by).items]
        for what in ("orders", "studies", "reports")
    }
    assert {len(ids) for ids in few.values()} == {3}
    monkeypatch.setattr(searching, "FEW", 1)
    for what, ids in few.items():
        assert ids == sorted(ids, reverse=True)
        walked, after = [], ""
        for _page in range(3):
            page = _found(world, what, "doc1", by, limit=1, after=after)
            (one,) = page.items
            after = getattr(one, "version_id", one.__dict__.get("id"))
            walked.append(after)
            assert page.more == (len(walked) < 3)
        assert walked == ids


def test_a_report_of_a_moved_study_points_at_no_stranger_s_images(world: World) -> None:
    reading = world.ready(world.order(patient=world.patient("P1", "王小东")), images=1)
    world.signed(reading)
    (record,) = _found(world, "reports", "doc1").items
    study = world.rows(Study)[0].id
    assert record.study_ids == (study,)
    world.order(patient=world.patient("P2", "李芳", "F"))
    other = next(o.patient_id for o in world.rows(Order) if o.patient_value == "P2")

    def move(session: Any) -> None:
        session.get_one(Study, study).patient_id = other

    world.database.write(move)
    (record,) = _found(world, "reports", "doc1").items
    assert (record.study_ids, record.withdrawn) == ((), False)


def test_versions_stand_one_behind_the_other(world: World) -> None:
    reading = world.ready(images=1)
    world.signed(reading)
    world.withdraw("senior2", reading)
    (current,) = _found(world, "reports", "doc1").items
    newest, first = world.ask(
        reports.search, Wanted(world.actor("doc1"), (Criterion("id", (reading,)),)), every_version=True
    ).items
    assert newest == current
    assert (newest.number, newest.former_id, newest.state) == (2, first.version_id, "withdrawal")
    assert (first.number, first.former_id, first.state) == (1, "", "superseded")
    assert newest.withdrawn
    assert first.withdrawn
    assert {v.id for v in world.rows(ReportVersion)} == {newest.version_id, first.version_id}
    assert world.rows(Patient)[0].id == newest.patient_id
