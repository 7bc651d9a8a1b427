"""Results for people without an account: what a link or a slip opens, for how long, and what it never opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reading_room import sharing
from tests.integration.api_desk import Desk, open_desk, text_of
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.queries import shares
from worklist.tables import AuditRow, Order, Share, Study

CARD = "11010519491231002X"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def patient(number: str = "61001", card: str = CARD, name: str = "查小询") -> PatientFacts:
    """Somebody with an identity card, or none."""
    numbers = (Identifier("", number, "MR"), *([Identifier("CN", card, "NI")] if card else []))
    return PatientFacts(numbers, PersonName(name), "M", "19491231")


def order_of(desk: Desk, reading: str) -> Order:
    patient_id = desk.world.reading(reading).patient_id
    return desk.world.one(Order, Order.patient_id == patient_id)


def slip(desk: Desk, order: Order) -> str:
    return sharing.slip_code(desk.web, order.id)


def look_up(desk: Desk, number: str, code: str, client: TestClient | None = None) -> TestClient:
    """A patient's browser after the look-up, whatever came of it."""
    browser = client or desk.stranger()
    browser.post("/results", data={"number": number, "code": code}, follow_redirects=False)
    return browser


def opened(browser: TestClient, desk: Desk) -> bool:
    rows = desk.world.rows(Share)
    return any(browser.get(f"/results/{row.id}").status_code == 200 for row in rows)


def make_link(desk: Desk, order: Order, login: str = "tech1", **form: str) -> str:
    """The path of the newest link."""
    answer = desk.browser(login).post(f"/sharing/{order.id}", data={"holder": "", "days": "7", **form})
    assert answer.status_code == 200, answer.text
    return str(re.findall(r"(/s/[0-9a-z]{26}-[0-9a-z]{24})<", text_of(answer))[0])


def test_the_patient_looks_up_with_card_and_code(desk: Desk) -> None:
    report = desk.signed(patient=patient())
    order = order_of(desk, report)
    browser = look_up(desk, " 11010519491231002x ", slip(desk, order).lower())
    share = desk.world.one(Share)
    page = browser.get(f"/results/{share.id}")
    assert page.status_code == 200
    assert "查小询" in text_of(page)
    paper = browser.get(f"/results/{share.id}/{report}.pdf")
    assert paper.content.startswith(b"%PDF")
    assert paper.headers["cache-control"] == "private, no-store"
    [row] = desk.world.ask(shares.of_order, desk.world.actor("tech1"), order.id, desk.now)
    assert (row.made_by, row.is_open) == ("", True)
    assert {look.action for look in row.looks} == {"shared results opened", "shared report opened"}
    desk.later(hours=3)
    assert browser.get(f"/results/{share.id}").status_code == 404, "a look-up is over after a while"
    assert browser.get(f"/results/{share.id}/{report}.pdf").status_code == 404


def test_number_and_code_must_belong_together(desk: Desk) -> None:
    order = order_of(desk, desk.signed(patient=patient()))
    other = order_of(desk, desk.signed(patient=patient("61002", "", "别人")))
    for number, code in (
        (CARD, slip(desk, other)),  # another's slip
        ("61001", slip(desk, order)),  # the number on the slip itself, while a card is on record
        (CARD, "XXXX-XXXX"),
        ("", slip(desk, order)),
        ("%", slip(desk, order)),
    ):
        assert not opened(look_up(desk, number, code), desk), (number, code)
    assert desk.world.rows(Share) == []
    assert opened(look_up(desk, "61002", slip(desk, other)), desk), "who gave no card has the institution's number"


def test_who_guesses_has_to_wait(desk: Desk) -> None:
    order = order_of(desk, desk.signed(patient=patient()))
    for _ in range(11):
        look_up(desk, CARD, "0000-0000")
    answer = desk.stranger().post("/results", data={"number": CARD, "code": slip(desk, order)})
    assert answer.status_code == 403
    assert desk.world.rows(Share) == []
    desk.later(minutes=20)
    assert opened(look_up(desk, CARD, slip(desk, order)), desk)


def test_a_link_opens_one_order_until_it_is_closed(desk: Desk) -> None:
    report, other = desk.signed(patient=patient()), desk.signed(patient=patient())  # two orders of one person
    orders = desk.world.rows(Order)
    assert len({order.patient_id for order in orders}) == 1
    link = make_link(desk, orders[0], holder="市人民医院")
    guest = desk.stranger()
    page = guest.get(link)
    assert page.status_code == 200
    assert link not in str(page.url), "the secret does not stay in the address"
    share = desk.world.one(Share)
    assert guest.get(f"/results/{share.id}/{report}.pdf").status_code == 200
    assert guest.get(f"/results/{share.id}/{other}.pdf").status_code == 404
    for address in ("/orders", f"/reports/{report}", "/reading", f"/patients/{orders[0].patient_id}"):
        assert guest.get(address, follow_redirects=False).status_code in (303, 307, 401, 404), address
    assert guest.get("/api/orders").status_code == 401
    township = desk.browser("tech1")
    assert "市人民医院" in text_of(township.get(f"/sharing/{orders[0].id}"))
    assert township.post(f"/sharing/{orders[0].id}/end", data={"share": share.id}).status_code == 200
    assert guest.get(f"/results/{share.id}").status_code == 404
    assert desk.stranger().get(link).status_code == 404
    said = {row.action for row in desk.world.rows(AuditRow, AuditRow.thing_id == share.id)}
    assert said == {"results shared", "shared results opened", "shared report opened", "sharing ended"}


def test_images_of_the_order_and_no_others(desk: Desk) -> None:
    desk.signed(patient=patient())
    desk.signed(patient=patient())
    first, second = desk.world.rows(Order)
    guest = desk.stranger()
    guest.get(make_link(desk, first))
    share = desk.world.one(Share)
    root = f"/dicom-web/shares/{share.id}"
    found = guest.get(f"{root}/studies").json()
    assert [study["0020000D"]["Value"][0] for study in found] == [first.study_instance_uid]
    assert found[0]["00100010"]["Value"][0]
    assert guest.get(f"{root}/studies/{second.study_instance_uid}/series").status_code == 404
    series = guest.get(f"{root}/studies/{first.study_instance_uid}/series")
    assert series.status_code == 200
    assert guest.get("/dicom-web/studies").status_code == 401, "a guest is nobody under the other roots"
    study = desk.world.one(Study, Study.study_instance_uid == first.study_instance_uid)
    assert guest.get(f"/dicom-web/held/{study.id}/studies").status_code == 401
    assert desk.browser("reader1").get(f"{root}/studies").status_code == 404, "nor is an account a guest"
    stow = guest.post(f"{root}/studies", content=b"", headers={"Content-Type": "multipart/related; boundary=a"})
    assert stow.status_code == 405
    assert {row.action for row in desk.world.rows(AuditRow, AuditRow.thing_id == share.id)} >= {"shared images opened"}
    desk.later(days=8)
    assert guest.get(f"{root}/studies").status_code == 404


def test_what_is_not_signed_is_not_shown_and_a_withdrawal_is(desk: Desk) -> None:
    reading = desk.in_review(patient=patient())
    order = order_of(desk, reading)
    browser = look_up(desk, CARD, slip(desk, order))
    share = desk.world.one(Share)
    assert browser.get(f"/results/{share.id}/{reading}.pdf").status_code == 404
    assert desk.program("senior1").post(f"/api/readings/{reading}/sign").status_code == 200
    impression = "未见明显异常"
    before = text_of(browser.get(f"/results/{share.id}"))
    answer = desk.program("senior1").post(f"/api/reports/{reading}/withdraw", json={"reason": "患者有误"})
    assert answer.status_code == 200, answer.text
    after = text_of(browser.get(f"/results/{share.id}"))
    assert (impression in before) >= (impression in after)
    assert "/results/" not in re.sub(r'action="[^"]*"', "", after.partition("<main")[2]), "no paper is offered any more"


def test_only_the_ordering_institution_shares(desk: Desk) -> None:
    order = order_of(desk, desk.signed(patient=patient()))
    for login in ("tech2", "reader1", "senior1", "admin", "manager"):
        answer = desk.browser(login).post(f"/sharing/{order.id}", data={"days": "7"})
        assert answer.status_code in (403, 404), login
    assert desk.world.rows(Share) == []
    for form in ({"days": "365"}, {"days": "x"}, {"holder": "a\x00b"}, {"holder": "长" * 101}):
        answer = desk.browser("tech1").post(f"/sharing/{order.id}", data={"days": "7", "holder": "", **form})
        assert answer.status_code == 422, form
    assert desk.world.rows(Share) == []


def test_codes_and_secrets_are_not_kept_and_differ(desk: Desk) -> None:
    orders = [order_of(desk, desk.signed(patient=patient(f"6100{n}", ""))) for n in range(3)]
    codes = {slip(desk, order) for order in orders}
    assert len(codes) == 3
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", code) for code in codes)
    secret = make_link(desk, orders[0]).rpartition("-")[2]
    written = Path(desk.web.database.url.partition("///")[2])
    kept = b"".join(path.read_bytes() for path in written.parent.glob(f"{written.name}*"))
    assert desk.world.one(Share).token_hash.encode() in kept
    assert secret.encode() not in kept
    assert not any(code.replace("-", "").encode() in kept for code in codes)
