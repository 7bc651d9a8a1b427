"""The archive downstream, with a real Orthanc: what goes there, under which names, what stays here, what follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from interfaces.dicom.objects import open_part10, part10
from tests.integration.archive_desk import Archiving, open_archives
from tests.integration.dimse_county import wait_for
from tests.integration.image_desk import phantom, send
from worklist.actions import archiving, demographics, linking, merging
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.tables import Archival, ArchiveCopy, Instance, Order, OutboxRow, Study


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Archiving]:
    with open_archives(tmp_path) as opened:
        yield opened


def test_a_complete_study_is_copied_read_back_and_archived(county: Archiving) -> None:
    study, sent = county.scanned(county.desk.world.order(), 3)
    (row,) = county.archivals()
    assert (row.study_id, row.state, row.archive) == (study, "waiting", "archive")  # owed as the study completed
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.copies, row.kept_here, row.reason) == ("archived", 3, 0, "")
    assert county.peer.count == len(sent) == county.require_equal()
    assert county.peer.patients() == {"TS01^10001": 1}


def test_two_institutions_patients_with_one_number_stay_two(county: Archiving) -> None:
    world = county.desk.world
    county.scanned(world.order(patient=world.patient("P1", "王小东")))
    county.scanned(world.order(town="TS02", patient=world.patient("P1", "李小西")))
    county.drain()
    assert county.peer.patients() == {"TS01^P1": 1, "TS02^P1": 1}


def test_the_same_images_of_two_institutions_are_two_there_too(county: Archiving) -> None:
    """One Study Instance UID and one SOP Instance UID from two townships: Orthanc alone would keep the first."""
    for device in ("TS01CT", "TS02DR"):
        county.complete(send(county.desk, phantom(side=8, name=f"Of^{device}"), device).study_id)
    county.drain()
    assert county.peer.count == 2 == county.require_equal()


def test_what_lies_there_under_an_objects_names_is_compared_and_replaced(county: Archiving) -> None:
    """Orthanc says "AlreadyStored" and keeps what it has."""
    placed = county.desk.world.order()
    uid = placed.study_instance_uid
    strange = phantom(1, uid, side=4, PatientID="TS01^10001")
    place = county.peer.give(strange)
    county.scanned(placed, 1)
    county.drain()
    (copy,) = county.copies()
    assert copy.place == place
    assert copy.verified_at is not None
    assert county.peer.count == 1 == county.require_equal()


def nested(depth: int, study: str, number: int) -> bytes:
    """A readable object with `depth` sequences inside each other at its end, as no door of ours takes it."""
    syntax, data = open_part10(phantom(number, study, side=8))
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    inner = b""
    for _ in range(depth):
        head = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff"
        inner = head + item + inner + b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    at = bytes(data).index(b"\xe0\x7f\x10\x00")
    head = part10(sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance=f"{study}.1.{number}", transfer_syntax=syntax)
    return head + bytes(data[:at]) + inner + bytes(data[at:])


def test_what_it_is_kept_from_really_ends_it(county: Archiving) -> None:
    """Orthanc 1.10 dies of deep nesting; of what we let through it does not."""
    county.peer.give(nested(16, "1.2.77", 1))
    assert county.peer.is_alive
    with pytest.raises(httpx.HTTPError):
        county.peer.give(nested(60, "1.2.78", 1))
    wait_for(lambda: not county.peer.is_alive)


@pytest.mark.parametrize("depth", [17, 48, 200])
def test_poison_never_gets_there_and_holds_up_nothing(county: Archiving, depth: int) -> None:
    """Objects that came before the doors knew: their bytes are put under good ones."""
    placed = county.desk.world.order()
    study, sent = county.scanned(placed, 3)
    poison = nested(depth, placed.study_instance_uid, 2)
    county.store.path(sent[1].store_key).write_bytes(poison)
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.copies, row.kept_here) == ("archived", 2, 1)
    (kept,) = [copy for copy in county.copies(study) if copy.reason]
    assert (kept.reason, kept.place) == ("nested_too_deep", "")
    assert county.peer.is_alive
    assert county.peer.count == 2


@pytest.mark.parametrize("preamble", [b"PK\x03\x04" + bytes(124), b"II*\0" + b"x" * 124], ids=["zip", "tiff"])
def test_a_file_that_begins_as_another_kind_is_taken_as_dicom_there(county: Archiving, preamble: bytes) -> None:
    """Orthanc takes apart what begins as a ZIP file; the preamble means nothing, so it goes empty."""
    _study, sent = county.scanned(county.desk.world.order(), 2)
    path = county.store.path(sent[0].store_key)
    path.write_bytes(preamble + path.read_bytes()[128:])
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.copies, row.kept_here) == ("archived", 2, 0)
    assert county.peer.count == 2 == county.require_equal()


def test_an_object_that_silences_the_archive_is_set_apart_after_two_tries(county: Archiving) -> None:
    """A killer that nobody knows yet: Orthanc dies while it takes it, each time."""
    study, _sent = county.scanned(county.desk.world.order(), 3)
    killer = county.desk.world.rows(Instance, Instance.study_id == study)[1]
    put = county.peer.client.put

    def dying(body: object) -> object:
        if body.digest() == deadly:  # type: ignore[attr-defined]
            county.peer.kill()
        return put(body)  # type: ignore[arg-type]

    deadly = ""
    county.drain()  # it is archived once, so that its coerced digest is known
    deadly = next(copy.sha256 for copy in county.copies() if copy.instance_id == killer.id)
    for place in [copy.place for copy in county.copies()]:
        county.peer.client.remove(place)
    county.desk.world.database.write(lambda s: s.execute(delete(ArchiveCopy)))
    county.desk.world.do(archiving.owe, [study], county.desk.now)
    county.peer.client.put = dying  # type: ignore[method-assign,assignment]
    for _turn in range(6):
        county.drain()
        if not county.peer.is_alive:
            county.peer.start()
        if not county.step():
            break
    (row,) = county.archivals()
    assert (row.state, row.copies, row.kept_here) == ("archived", 2, 1)
    (kept,) = [copy for copy in county.copies() if copy.reason]
    assert (kept.instance_id, kept.reason) == (killer.id, "archive_lost_at_object")
    county.peer.client.put = put  # type: ignore[method-assign]
    county.desk.world.do(archiving.send_again, county.desk.world.actor("admin"), row.id, county.desk.now)
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.copies, row.kept_here) == ("archived", 3, 0)


def test_a_study_that_moves_to_another_patient_moves_there(county: Archiving) -> None:
    world, admin = county.desk.world, county.desk.world.actor("admin")
    study, _sent = county.scanned(world.order(patient=world.patient("A1", "王小东")), 2)
    county.drain()
    assert county.peer.patients() == {"TS01^A1": 1}
    right = world.order(patient=world.patient("B2", "李小西", sex="F"))
    world.do(linking.move_study, admin, study, [right.id], "拿错了", county.desk.now)
    assert [row.state for row in county.archivals()] == ["waiting"]
    county.drain()
    assert county.peer.patients() == {"TS01^B2": 1}
    assert county.peer.count == 2 == county.require_equal()
    said = county.peer.ask(f"instances/{county.copies()[0].place}/simplified-tags")
    assert "李" in str(said["PatientName"]) or said["PatientID"] == "TS01^B2"
    assert county.store.read(world.rows(Instance)[0].store_key)  # what is held says what it always said


def test_a_name_that_is_corrected_is_corrected_there(county: Archiving) -> None:
    """Orthanc's id stays the same, so a second upload alone would be dropped in silence."""
    world = county.desk.world
    study, _sent = county.scanned(world.order(patient=world.patient("A1", "王小冬")), 2)
    county.drain()
    before = {copy.instance_id: (copy.place, copy.sha256) for copy in county.copies()}
    patient = str(world.study_now(study).patient_id)
    facts = PatientFacts((Identifier("TS01", "A1", "MR"),), PersonName("王小东"), "M", "19600102")
    world.do(demographics.correct, world.actor("tech1"), patient, facts, "笔误", county.desk.now)
    county.drain()
    after = {copy.instance_id: (copy.place, copy.sha256) for copy in county.copies()}
    assert {id: place for id, (place, _sha) in before.items()} == {id: place for id, (place, _sha) in after.items()}
    assert all(before[id][1] != after[id][1] for id in before)
    assert county.peer.count == 2 == county.require_equal()


def test_merged_patients_are_one_there(county: Archiving) -> None:
    world = county.desk.world
    county.scanned(world.order(patient=world.patient("A1", "王小东")))
    county.scanned(world.order(patient=world.patient("A2", "王小东")))
    county.drain()
    assert county.peer.patients() == {"TS01^A1": 1, "TS01^A2": 1}
    survivor, retired = (world.one(Order, Order.patient_value == v).patient_id for v in ("A1", "A2"))
    world.do(merging.merge, world.actor("admin"), survivor, retired, "同一人", county.desk.now, sure=True)
    county.drain()
    assert county.peer.patients() == {"TS01^A1": 2}
    assert county.require_equal() == 4 == county.peer.count


def test_a_rejected_study_is_removed_there_and_stays_here(county: Archiving) -> None:
    world, admin = county.desk.world, county.desk.world.actor("admin")
    sent = send(county.desk, phantom(side=8))
    county.complete(sent.study_id)
    county.drain()
    assert county.peer.patients() == {"TS01^P1": 1}  # kept also while nobody knows whose it is
    world.do(linking.reject, admin, sent.study_id, "体模", county.desk.now)
    county.drain()
    assert county.peer.count == 0
    assert county.copies() == []
    assert county.store.is_here(sent.store_key)
    placed = world.order(patient=world.patient("P1", "王小东"))
    world.do(linking.link, admin, sent.study_id, [placed.id], "是他的", county.desk.now)
    county.drain()
    assert county.peer.count == 1 == county.require_equal()


def test_late_images_and_the_report_follow(county: Archiving) -> None:
    world = county.desk.world
    placed = world.order()
    study, _sent = county.scanned(placed, 2)
    county.drain()
    reading = world.reading_of(placed).id
    world.write("reader1", reading, at=county.desk.now)
    world.submit("reader1", reading, at=county.desk.now)
    world.claim("senior1", reading, at=county.desk.now)
    assert county.desk.program("senior1").post(f"/api/readings/{reading}/sign").status_code == 200
    county.drain()
    assert county.peer.count == 4 == county.require_equal()  # SR and PDF of the report
    late = phantom(3, placed.study_instance_uid, side=8, AccessionNumber=placed.accession_number, PatientID="10001")
    send(county.desk, late)
    county.complete(study)
    county.drain()
    assert county.peer.count == 5 == county.require_equal()


def test_a_killed_archive_gets_the_rest_when_it_is_back(county: Archiving) -> None:
    """Killed in the middle of a study: what it had is compared, the rest is sent, nothing twice."""
    county.scanned(county.desk.world.order(), 40)
    put, seen = county.peer.client.put, 0

    def counted(body: object) -> object:
        nonlocal seen
        seen += 1
        if seen == 21:
            county.peer.kill()
        return put(body)  # type: ignore[arg-type]

    county.peer.client.put = counted  # type: ignore[method-assign,assignment]
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.reason) == ("waiting", "archive_away")
    assert row.next_at is not None
    county.peer.start()
    assert county.step()
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.copies) == ("archived", 40)
    assert county.peer.count == 40 == county.require_equal()


def test_an_archive_that_is_away_is_asked_by_one_job_at_a_time(county: Archiving) -> None:
    world = county.desk.world
    county.peer.kill()
    for _ in range(10):
        county.scanned(world.order(), 1)
    asked = 0
    version, put = county.peer.client.version, county.peer.client.put

    def asking(*args: Any) -> object:
        nonlocal asked
        asked += 1
        return put(*args) if args else version()

    county.peer.client.version = county.peer.client.put = asking  # type: ignore[method-assign,assignment]
    for _hour in range(8):
        county.drain()
        county.step()
    assert asked <= 9, "each turn one job asks; the others wait for what it finds"
    county.peer.start()
    county.desk.later(minutes=11)
    county.drain()
    assert {row.state for row in county.archivals()} == {"archived"}


def test_a_study_that_changes_while_it_is_archived_is_archived_again(county: Archiving) -> None:
    world, admin = county.desk.world, county.desk.world.actor("admin")
    study, _sent = county.scanned(world.order(patient=world.patient("A1")), 2)
    right = world.order(patient=world.patient("B2", "李小西"))
    digest = county.peer.client.digest

    def moving(place: str) -> str:
        if world.study_now(study).link == "matched":
            world.do(linking.move_study, admin, study, [right.id], "拿错了", county.desk.now)
        return digest(place)

    county.peer.client.digest = moving  # type: ignore[method-assign]
    county.drain()
    assert county.peer.patients() == {"TS01^B2": 1}
    assert county.peer.count == 2 == county.require_equal()
    assert {row.state for row in county.archivals()} == {"archived"}


def test_what_was_sent_before_a_crash_does_not_stay_under_the_wrong_patient(county: Archiving) -> None:
    """Our process dies after the archive took the objects and before they were read back; then the study moves."""
    world, admin = county.desk.world, county.desk.world.actor("admin")
    study, _sent = county.scanned(world.order(patient=world.patient("A1")), 3)
    digest = county.peer.client.digest

    def dying(place: str) -> str:
        raise MemoryError

    county.peer.client.digest = dying  # type: ignore[method-assign]
    county.drain()
    assert county.peer.patients() == {"TS01^A1": 1}
    assert [row.state for row in county.archivals()] == ["sent"]
    right = world.order(patient=world.patient("B2", "李小西"))
    world.do(linking.move_study, admin, study, [right.id], "拿错了", county.desk.now)
    county.peer.client.digest = digest  # type: ignore[method-assign]
    county.step()
    county.drain()
    assert county.peer.patients() == {"TS01^B2": 1}
    assert county.peer.count == 3 == county.require_equal()
    assert [copy.stale for copy in county.copies()] == [[]] * 3


def test_a_wrong_password_says_so_and_loses_nothing(county: Archiving) -> None:
    county.scanned(county.desk.world.order(), 1)
    session = county.peer.client._client._http_session
    auth, session.auth = session.auth, ("huren", "wrong")
    county.drain()
    (row,) = county.archivals()
    assert (row.state, row.reason) == ("waiting", "archive_refuses_us")
    session.auth = auth
    county.step()
    county.drain()
    assert [row.state for row in county.archivals()] == ["archived"]


def test_two_archives_get_the_same_and_one_may_be_away(tmp_path: Path) -> None:
    with open_archives(tmp_path, replica=True) as county:
        county.peers["replica"].kill()
        county.scanned(county.desk.world.order(), 3)
        county.drain()
        assert {row.archive: row.state for row in county.archivals()} == {"archive": "archived", "replica": "waiting"}
        county.peers["replica"].start()
        county.step()
        county.drain()
        assert {row.archive: row.state for row in county.archivals()} == {"archive": "archived", "replica": "archived"}
        assert [peer.count for peer in county.peers.values()] == [3, 3]
        assert county.require_equal() == 6


def test_an_archive_that_is_set_up_later_gets_what_was_there_before(county: Archiving) -> None:
    world = county.desk.world
    world.do(archiving.configure, (), county.desk.now)
    county.scanned(world.order(), 2)
    county.drain()
    assert county.archivals() == []
    assert county.peer.count == 0
    assert not world.rows(OutboxRow, OutboxRow.kind == archiving.JOB)
    world.do(archiving.configure, ("archive",), county.desk.now)
    county.drain()
    assert county.peer.count == 2 == county.require_equal()
    assert world.rows(Study)[0].id == world.rows(Archival)[0].study_id
