"""Searching images: who sees what, as whom, and how pages follow each other, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import linking
from worklist.errors import Conflict, NotFound
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import image_search, imaging
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_search import Wanted
from worklist.queries.image_views import Found, Place, StudyHit
from worklist.queries.imaging import Root
from worklist.tables import Instance, Patient, Reading, ReadingStudy, ReportVersion, Series, Study

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
ALL = Root("all")
NOBODY = "0" * 26


def browser(world: World, login: str) -> Actor:
    """Somebody with a browser session."""
    return replace(world.actor(login), session_id="session")


def program(world: World, login: str) -> Actor:
    """Somebody's token."""
    return replace(world.actor(login), scopes=frozenset({"read"}))


def search(world: World, by: Actor, root: Root = ALL, at: datetime = NOW, **keys: object) -> list[StudyHit]:
    """The studies that match."""
    query = ImageQuery(**keys)  # type: ignore[arg-type]
    return list(world.ask(image_search.studies, Wanted(by, root, query, at, 100)).rows)


def ids(hits: list[StudyHit]) -> set[str]:
    """Our ids of studies."""
    return {hit.id for hit in hits}


def study_of(world: World, reading_id: str) -> str:
    """The only study of a case."""
    found = world.ask(
        image_search.studies, Wanted(world.actor("manager"), Root("reading", reading_id), ImageQuery(), NOW, 10)
    ).rows
    assert len(found) == 1
    return found[0].id


def test_everybody_sees_their_own(world: World) -> None:
    here, there = world.ready(), world.ready(town="TS02", procedure="DR-CHEST", patient=world.patient("20002"))
    first, second = study_of(world, here), study_of(world, there)
    for login, expected in (
        ("tech1", {first}),
        ("doc1", {first}),
        ("tech2", {second}),
        ("village", set()),
        ("reader1", {first, second}),
        ("manager", {first, second}),
        ("admin", {first, second}),
        ("cityreader", set()),
        ("security", set()),
        ("auditor", set()),
    ):
        for by in (browser(world, login), program(world, login)):
            assert ids(search(world, by)) == expected, login
            for study_id, reading_id in ((first, here), (second, there)):
                uid = world.study_now(study_id).study_instance_uid
                for root in (ALL, Root("held", study_id), Root("reading", reading_id)):
                    if study_id in expected and not (login == "admin" and root.kind == "reading"):
                        assert world.ask(imaging.open_study, by, root, uid, NOW).id == study_id
                        assert ids(search(world, by, root)) == (expected if root is ALL else {study_id})
                    else:
                        with pytest.raises(NotFound):
                            world.ask(imaging.open_study, by, root, uid, NOW)
                        if root.kind != "all":
                            with pytest.raises(NotFound):
                                search(world, by, root)
                assert ids(search(world, by, study_uids=(uid,))) == {study_id} & expected
    for root in (Root("held", NOBODY), Root("reading", NOBODY)):
        with pytest.raises(NotFound):
            search(world, world.actor("admin"), root)


def test_a_lease_opens_the_priors_of_its_patient_and_ends(world: World) -> None:
    facts = PatientFacts(
        (Identifier("NATIONAL", "N1", "NI"), Identifier("", "10001", "MR")), PersonName("王小东"), "M", "19600102"
    )
    prior = world.ready(patient=facts)
    case = world.ready(patient=facts)
    reader = browser(world, "cityreader")
    placed = world.one(Study, Study.id == study_of_case(world, prior))
    uid = placed.study_instance_uid
    with pytest.raises(NotFound):
        world.ask(imaging.open_study, reader, ALL, uid, NOW)

    def hold(session: Session) -> None:
        reading = session.get_one(Reading, case)
        reading.holder_id, reading.held_until = reader.id, NOW + timedelta(minutes=30)

    world.database.write(hold)
    assert world.ask(imaging.open_study, reader, ALL, uid, NOW).id == placed.id
    assert placed.id in ids(search(world, reader))
    later = NOW + timedelta(minutes=31)
    assert search(world, reader, at=later) == []
    with pytest.raises(NotFound):
        world.ask(imaging.open_study, reader, ALL, uid, later)


def study_of_case(world: World, reading_id: str) -> str:
    """The study that a case covers itself."""
    return world.one(ReadingStudy, ReadingStudy.reading_id == reading_id).study_id


def test_two_townships_with_one_number_are_two_patients(world: World) -> None:
    here = world.ready(patient=world.patient("P1", "王小东"))
    there = world.ready(town="TS02", procedure="DR-CHEST", patient=world.patient("P1", "李芳", "F"))
    reader = browser(world, "reader1")
    hits = search(world, reader)
    numbers = {hit.identity.patient_id for hit in hits}
    assert len(hits) == len(numbers) == 2
    assert {hit.identity.issuer for hit in hits} == {"HUREN"}
    assert search(world, reader, patient_id="P1") == []
    for hit in hits:
        assert ids(search(world, reader, patient_id=hit.identity.patient_id)) == {hit.id}
        assert ids(search(world, reader, patient_id=hit.identity.patient_id, issuer="HUREN")) == {hit.id}
        assert search(world, reader, patient_id=hit.identity.patient_id, issuer="TS01") == []
        assert search(world, browser(world, "village"), patient_id=hit.identity.patient_id) == []
    for reading_id in (here, there):
        assert len(search(world, reader, Root("reading", reading_id))) == 1
    # A program is told the number that the township uses, and whose it is.
    hits = search(world, program(world, "reader1"), patient_id="P1")
    assert {(h.identity.patient_id, h.identity.issuer) for h in hits} == {("P1", "TS01"), ("P1", "TS02")}
    assert len(search(world, program(world, "reader1"), patient_id="P1", issuer="TS02")) == 1


def test_one_uid_at_two_institutions_is_two_studies(world: World) -> None:
    first = world.receive(world.facts(study_instance_uid="1.2.3"), device="TS01CT").study_id
    second = world.receive(world.facts(study_instance_uid="1.2.3"), device="TS02DR").study_id
    admin = browser(world, "admin")
    assert ids(search(world, admin, study_uids=("1.2.3",))) == {first, second}
    with pytest.raises(Conflict, match="study_uid_ambiguous"):
        world.ask(imaging.open_study, admin, ALL, "1.2.3", NOW)
    for study_id in (first, second):
        assert world.ask(imaging.open_study, admin, Root("held", study_id), "1.2.3", NOW).id == study_id
    assert world.ask(imaging.open_study, browser(world, "tech1"), ALL, "1.2.3", NOW).id == first
    shown = {hit.identity.patient_id for hit in search(world, admin)}
    assert shown == {f"unlinked-{first}", f"unlinked-{second}"}
    assert ids(search(world, admin, patient_id=f"unlinked-{first}")) == {first}
    assert ids(search(world, admin, patient_id="unlinked-*")) == {first, second}


def test_a_case_opens_its_own_study_before_a_prior_with_the_same_uid(world: World) -> None:
    case, prior = world.ready(), world.ready(town="TS02", procedure="DR-CHEST")
    own = world.one(Study, Study.id == study_of_case(world, case))

    def same_patient_same_uid(session: Session) -> None:
        other = session.get_one(Study, study_of_case(world, prior))
        other.study_instance_uid, other.patient_id = own.study_instance_uid, own.patient_id
        reading = session.get_one(Reading, case)
        reading.holder_id, reading.held_until = world.users["reader1"], NOW + timedelta(minutes=30)

    world.database.write(same_patient_same_uid)
    reader = browser(world, "reader1")
    assert len(search(world, reader, Root("reading", case))) == 2
    assert world.ask(imaging.open_study, reader, Root("reading", case), own.study_instance_uid, NOW).id == own.id


def test_pages_follow_without_gap_or_double(world: World) -> None:
    made = [
        world.receive(
            world.facts(
                study_instance_uid=f"1.2.{n}",
                study_date=f"2026030{n % 3}" if n % 5 else "",
                series_number=None if n % 4 else n,
            )
        ).study_id
        for n in range(23)
    ]
    for n in (3, 4):
        for k in range(3):
            world.receive(
                world.facts(
                    study_instance_uid=f"1.2.{n}", series_instance_uid=f"1.2.{n}.9", instance_number=None if k else 1
                )
            )
    newer: list[str] = []
    for login in ("tech1", "admin"):
        searches: tuple[tuple[Callable[[Session, Wanted], Found[Any]], set[str] | None], ...] = (
            (image_search.studies, set(made)),
            (image_search.series, None),
            (image_search.instances, None),
        )
        for what, expected in searches:
            by = browser(world, login)
            whole: list[Any] = list(world.ask(what, Wanted(by, ALL, ImageQuery(), NOW, 1000)).rows)
            pages: list[object] = []
            after: Place | None = None
            for page in range(100):
                found = world.ask(what, Wanted(by, ALL, ImageQuery(), NOW, 4, after))
                pages += found.rows
                if found.next is None:
                    break
                assert len(found.rows) == 4
                after = found.next
                if page == 2:  # something newer comes in between, and changes nothing behind the place
                    fresh = world.facts(study_instance_uid=f"1.9.{len(newer)}", study_date="20260401")
                    newer.append(world.receive(fresh).study_id)
            assert pages == whole
            if expected is not None and login == "tech1":
                assert {row.id for row in whole} == expected
            by_offset = [
                row
                for n in range(0, 60, 7)
                for row in world.ask(what, Wanted(by, ALL, ImageQuery(), NOW, 7, None, n)).rows
            ]
            assert by_offset == list(world.ask(what, Wanted(by, ALL, ImageQuery(), NOW, 1000)).rows)


def test_texts_match_with_wild_cards_and_nothing_else(world: World) -> None:
    names = ("王^小东", "王小明", "100%", "a_b", "a\\b", "axb", "李^*")
    made = {
        name: world.receive(
            world.facts(
                patient_name=PersonName(name, f"Wang^X{n}"),
                patient_id=f"N{n}",
                study_instance_uid=f"1.2.{n}",
                study_description=name,
            )
        ).study_id
        for n, name in enumerate(names)
    }
    by = program(world, "tech1")

    def named(pattern: str) -> set[str]:
        found = ids(search(world, by, patient_name=pattern))
        return {name for name, study_id in made.items() if study_id in found}

    assert named("王*") == {"王^小东", "王小明"}
    assert named("王小东") == named("王^小东") == {"王^小东"}
    assert named("王?明") == {"王小明"}
    assert named("*东") == {"王^小东"}
    assert named("WANG^X1") == named("wang^x1") == {"王小明"}
    assert named("wang*") == named("*") == named("") == set(names)
    assert named("%") == named("_") == set()
    assert named("100%") == {"100%"}
    assert named("a_b") == {"a_b"}
    assert named("a\\b") == {"a\\b"}
    assert named("a?b") == {"a_b", "a\\b", "axb"}
    assert named("x=王小明") == {"王小明"}
    assert ids(search(world, by, description="A_B")) == {made["a_b"]}
    assert ids(search(world, by, patient_id="N?")) == set(made.values())
    assert ids(search(world, by, patient_id="N_")) == set()


def test_dates_times_and_other_keys(world: World) -> None:
    early = world.receive(
        world.facts(study_instance_uid="1.2.1", study_date="20260101", study_time="093000.5")
    ).study_id
    late = world.receive(
        world.facts(
            study_instance_uid="1.2.2",
            study_date="20260201",
            study_time="2130",
            modality="MR",
            sex="F",
            birth_date="19700101",
            accession_number="X2",
        )
    ).study_id
    none = world.receive(
        world.facts(study_instance_uid="1.2.3", study_date="", study_time="", sex="", birth_date="")
    ).study_id
    by = program(world, "tech1")
    for keys, expected in (
        ({"date_from": "20260101", "date_to": "20260101"}, {early}),
        ({"date_from": "20260102"}, {late}),
        ({"date_to": "20260131"}, {early}),
        ({"time_from": "0930", "time_to": "0930"}, {early}),
        ({"time_from": "093000", "time_to": "093000"}, {early}),
        ({"time_from": "2130", "time_to": "2130"}, {late}),
        ({"time_to": "2000"}, {early}),
        ({"modalities": ("MR",)}, {late}),
        ({"modalities": ("MR", "C?")}, {early, late, none}),
        ({"sex": "F"}, {late}),
        ({"birth_from": "19650101"}, {late}),
        ({"birth_to": "19650101"}, {early}),
        ({"accession_number": "X2"}, {late}),
        ({"accession_number": "X*"}, {late}),
        ({"study_uids": ("1.2.1", "1.2.3", "1.2.9")}, {early, none}),
        ({"series_uids": ("1.2.2.1",)}, {late}),
        ({"study_uids": ("1.2.1",), "modalities": ("MR",)}, set()),
    ):
        assert ids(search(world, by, **keys)) == expected, keys


def test_who_a_person_says_it_is_replaces_what_the_bytes_say(world: World) -> None:
    order = world.order(patient=world.patient("30003", "赵大海", "M", "19500505"))
    study_id = world.receive(world.facts(patient_id="WRONG", accession_number="TYPO")).study_id
    by, seen = program(world, "tech1"), browser(world, "tech1")
    assert ids(search(world, by, patient_name="王*")) == {study_id}
    world.do(linking.link, world.actor("tech1"), study_id, [order.id], "wrong pick", NOW)
    (hit,) = search(world, by)
    assert hit.identity == imaging.ShownIdentity("30003", "TS01", hit.identity.name, "M", "19500505", corrected=True)
    assert hit.identity.name.ideographic == "赵大海"
    assert hit.accession_number == order.accession_number
    assert search(world, by, patient_name="王*") == search(world, by, patient_id="WRONG") == []
    assert search(world, by, accession_number="TYPO") == search(world, by, birth_from="19600102") == []
    for keys in (
        {"patient_name": "赵*"},
        {"patient_id": "30003"},
        {"patient_id": "30003", "issuer": "TS01"},
        {"accession_number": order.accession_number},
        {"birth_to": "19500505"},
    ):
        assert ids(search(world, by, **keys)) == {study_id}, keys  # type: ignore[arg-type]
    patient = world.one(Patient, Patient.name == "赵大海")
    assert search(world, seen)[0].identity.patient_id == patient.id


def test_documents_of_superseded_versions_are_not_offered(world: World) -> None:
    reading_id = world.ready(images=2)
    study_id = study_of(world, reading_id)

    def file(session: Session) -> None:
        for number, state in ((1, "superseded"), (2, "corrected")):
            version = ReportVersion(
                id=f"version{number}",
                state=state,
                reading_id=reading_id,
                number=number,
                status="final",
                writer_id=world.users["reader1"],
                changed_at=NOW,
            )
            series = Series(
                id=f"series{number}",
                study_id=study_id,
                series_instance_uid=f"1.7.{number}",
                modality="SR",
                number=900 + number,
                instances=1,
            )
            session.add_all([version, series])
            session.flush()
            session.add(
                Instance(
                    study_id=study_id,
                    series_id=series.id,
                    sop_instance_uid=f"1.7.{number}.1",
                    number=1,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.22",
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    store_key=f"doc{number}",
                    size=1,
                    sha256="",
                    dataset_sha256="",
                    received_at=NOW,
                    version_id=version.id,
                )
            )

    world.database.write(file)
    by = program(world, "reader1")
    (hit,) = search(world, by)
    assert (hit.series, hit.instances, set(hit.modalities)) == (2, 3, {"CT", "SR"})
    series = world.ask(image_search.series, Wanted(by, ALL, ImageQuery(), NOW, 10)).rows
    assert [(s.modality, s.instances) for s in series] == [("CT", 2), ("SR", 1)]
    objects = world.ask(image_search.instances, Wanted(by, ALL, ImageQuery(modality=("SR",)), NOW, 10)).rows
    assert [o.sop_instance_uid for o in objects] == ["1.7.2.1"]
    assert len(world.ask(imaging.held_instances, study_id)) == 3
    assert world.ask(imaging.held_instances, study_id, sop_instance_uid="1.7.1.1") == []


def test_a_search_through_too_many_studies_answers_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        world.receive(
            world.facts(
                study_instance_uid=f"1.2.{n}",
                study_date=f"2026030{n}",
                sop_class_uid="1.2.3.4" if n == 1 else "1.2.840.10008.5.1.4.1.1.2",
            )
        )
    monkeypatch.setattr(image_search, "BUDGET", 3)
    wanted = Wanted(program(world, "tech1"), ALL, ImageQuery(sop_class_uids=("1.2.3.4",)), NOW, 10)
    counts: list[int] = []
    found: list[Any] = []
    for _ in range(10):
        page = world.ask(image_search.instances, wanted)
        counts.append(len(page.rows))
        found += page.rows
        if page.next is None:
            break
        wanted = replace(wanted, after=page.next)
    assert counts == [0, 1, 0]
    assert len(found) == 1
