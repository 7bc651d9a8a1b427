"""The administrators' work in the browser: devices, routes, codes, messages, stuck deliveries, people, tokens."""

from __future__ import annotations

from datetime import timedelta

from playwright.sync_api import expect
from sqlalchemy import select

from gateway.intake import ObjectIntake
from interfaces.dicom.objects import open_part10
from tests import discs
from tests.pages.site import Site
from worklist import people
from worklist.actions import configuration, deliveries, devices, messages, users
from worklist.actions.deliveries import Outcome
from worklist.facts import Caller, KnownDevice, MessageHeader, OrderMessage, OrderRequest
from worklist.tables import ApiToken, AuditRow, Delivery, Device, DeviceAddress, Message, OnDuty, Route, SetAside, Study

RAW = "MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302||ORM^O01|M1|P|2.4|||||CHN|GB 18030-2000\rPID|1||7||王^小东\r"


def _send(site: Site, code: str, control_id: str) -> str:
    """An order message with a procedure code at the HL7 door; returns the message's id."""
    world = site.world
    header = MessageHeader("HIS", "TS01", control_id=control_id, message_code="ORM", trigger_event="O01")
    order = OrderRequest("NW", f"P-{control_id}", procedure_code=code, procedure_text="特殊检查")
    content = OrderMessage(header, world.patient("40001", "孙浩"), (order,))
    raw = RAW.replace("|M1|", f"|{control_id}|").encode("gb18030")
    caller = Caller("mllp", "127.0.0.1", "HIS|TS01")
    device = world.device("HIS|TS01")
    return _take(site, device, caller, raw, header, content)


def _take(
    site: Site, device: KnownDevice, caller: Caller, raw: bytes, header: MessageHeader, content: OrderMessage
) -> str:
    """A message as its door hands it over; returns its id."""
    received = messages.Received(raw, header.control_id, header, content)
    answer = b"MSH|^~\\&|HUREN\rMSA|AA|1\r"
    outcome, _answer = site.world.do(
        messages.take_message, device, caller, received, site.clock(), lambda _outcome: answer
    )
    return outcome.message_id


def test_a_refused_caller_becomes_a_device(site: Site) -> None:
    site.world.do(
        devices.refuse_caller, Caller("dimse", "10.3.0.7", "CT_NEW", "HUREN"), "calling_ae_unknown", site.clock()
    )
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/devices")
        assert "没有设备使用此地址和 AE 名称" in page.locator("main").inner_text()
        page.click("text=登记为设备")
        first = page.locator("#addresses tbody tr").first
        assert first.locator("select").first.input_value() == "dimse"
        assert [first.locator("input").nth(n).input_value() for n in range(3)] == ["10.3.0.7", "CT_NEW", ""]
        page.fill("#modality", "CT")
        page.click("main form button.btn-primary")
        assert "所代表的机构" in page.locator("[role=alert]").inner_text()  # none was chosen; what was typed stays
        assert page.input_value("#modality") == "CT"
        page.check(f"input[value='{site.world.institutions['TS01']}']")
        page.click("main form button.btn-primary")
        page.wait_for_url("**/admin/devices/*?done=saved")
    address = site.world.one(DeviceAddress, DeviceAddress.claimed == "CT_NEW")
    assert site.world.one(Device, Device.id == address.device_id).modality == "CT"


def test_a_route_is_written_as_data_and_read_as_a_sentence(site: Site) -> None:
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/routes")
        page.click("button[value=add]")
        page.fill("#name", "夜间急诊")
        page.select_option("#center_id", site.world.centers["CH01"])
        page.check("input[name=priorities][value=STAT]")
        page.fill("#hours", "17:30 to eight")
        page.press("#hours", "Enter")
        assert "时段须为成对的时间" in page.locator("[role=alert]").inner_text()
        assert page.input_value("#hours") == "17:30 to eight"
        page.fill("#hours", "17:30-08:00")
        page.fill("#modalities", "ct, mr")
        page.click("#rule-open ~ .actions button[value=done]")
        assert "CT 或 MR，且 急诊，且 17:30–08:00" in page.locator("main").inner_text()
        assert site.world.rows(Route, Route.name == "夜间急诊") == []  # nothing is kept before it is saved
        page.click("button[value=save]")
        page.wait_for_url("**/admin/routes?done=routes")
    saved = site.world.one(Route, Route.name == "夜间急诊")
    assert saved.conditions == {"modalities": ["CT", "MR"], "priorities": ["STAT"], "hours": [["17:30", "08:00"]]}


def test_an_unknown_code_is_mapped_in_one_click(site: Site) -> None:
    _send(site, "ZZ-99", "SA1")
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders")
        assert "尚未受理" in page.locator("#heeded").inner_text()
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/set-aside")
        page.select_option("select[name=procedure]", site.world.procedures["CT-HEAD"])
        page.click("button:has-text('对照编码')")
        page.wait_for_url("**/admin/set-aside?done=mapped")
        assert "没有待处理" in page.locator("main").inner_text()
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders")
        assert page.locator("#heeded").count() == 0


def test_a_message_is_read_by_segment_and_the_look_is_recorded(site: Site) -> None:
    message_id = _send(site, "CT-HEAD", "RD1")
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/messages?q=RD1")
        page.click("table a.main")
        assert page.url == f"{site.address}/admin/messages/{message_id}"
        text = page.locator("main").inner_text()
        assert "王^小东" in text
        assert "GB 18030-2000" in text
        assert "MSA" in text
    with site.visit("auditor") as page:
        page.goto(f"{site.address}/audit?q={message_id}")
        assert "查看消息" in page.locator("main").inner_text()


def test_a_stuck_delivery_is_on_top_and_sent_again(site: Site) -> None:
    world = site.world
    reading = world.ready(patient=world.patient("40002", "李秀英"), at=site.clock())
    world.signed(reading, at=site.clock())
    owed = world.one(Delivery, Delivery.reading_id == reading)
    world.do(deliveries.begin_attempt, owed.id, site.clock())
    refused = Outcome("stuck", "receiver_rejected", "AR")
    world.do(deliveries.finish_attempt, owed.id, b"MSH|x", b"MSA|AR", refused, site.clock())
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/")
        assert page.locator("header .count.loud").inner_text() == "1"
        assert "The receiver refuses the message" in page.locator(".urgent-list").inner_text()
        page.click("button:has-text('Send again')")
        page.wait_for_url("**/admin/deliveries?done=replayed")
    assert world.one(Delivery, Delivery.id == owed.id).state == "due"


def test_a_message_whose_sender_is_unclear_is_taken_for_one_institution(site: Site) -> None:
    world = site.world
    header = MessageHeader("HIS", "SHARED", control_id="UC1", message_code="ORM", trigger_event="O01")
    raw = (
        "MSH|^~\\&|HIS|SHARED|HUREN|CH01|20260302100000||ORM^O01|UC1|P|2.4|||||CHN|UNICODE UTF-8\r"
        "PID|1||40003^^^^MR||陈^桂兰||19600102|F\rORC|NW|P-UC1\rOBR|1|P-UC1||CT-HEAD^头颅CT平扫\r"
    ).encode()
    content = OrderMessage(
        header, world.patient("40003", "陈桂兰"), (OrderRequest("NW", "P-UC1", procedure_code="CT-HEAD"),)
    )
    caller = Caller("mllp", "127.0.0.1", "HIS|SHARED")
    _take(site, world.device("HIS|SHARED"), caller, raw, header, content)
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/set-aside")
        page.select_option("td select[name=institution]", world.institutions["TS02"])
        page.click("button:has-text('按此机构接收')")
        page.wait_for_url("**/admin/set-aside?done=settled")
    assert world.one(Message, Message.control_id == "UC1").outcome == "processed"
    with site.visit("tech2") as page:
        page.goto(f"{site.address}/orders")
        assert "陈桂兰" in page.locator("main").inner_text()


def test_images_of_another_patient_in_a_study_are_filed_where_the_admin_says(site: Site) -> None:
    world, uid = site.world, "1.2.826.0.4001"
    intake = ObjectIntake(world.database, site.store, site.clock)

    def receive(number: int, patient: str) -> str:
        syntax, data = open_part10(discs.image(number, study=uid, PatientID=patient))
        return intake.take(world.device("TS01CT"), bytes(data), syntax).study_id

    study_id = receive(4001, "40010")
    for number, (patient, button) in enumerate(
        (("4001O", "form[action$='/join'] > button"), ("40011", "button[formaction$='/split']"))
    ):
        receive(4002 + number, patient)
        row = world.one(SetAside, SetAside.state == "waiting", SetAside.reason == "patient_differs_in_study")
        with site.visit("admin", language="en" if number else "zh_CN") as page:
            page.goto(f"{site.address}/admin/set-aside?reason=patient_differs_in_study")
            form = page.locator(f"form[action='/admin/set-aside/{row.id}/join']")
            form.locator("input[name=why]").fill("问过操作者")
            page.locator(button).first.click()
            page.wait_for_url("**/admin/set-aside?done=settled")
        assert world.one(SetAside, SetAside.id == row.id).state == "settled"
    assert world.study_now(study_id).instances == 2
    own = world.one(Study, Study.sent_patient_id == "40011")
    assert (own.link, own.instances) == ("unmatched", 1)
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/admin/unmatched")
        assert page.locator(f"a[href*='{own.id}']").count()


def test_rights_tokens_and_first_passwords(site: Site) -> None:
    world = site.world
    with site.visit("security") as page:
        page.goto(f"{site.address}/people/{world.users['reader2']}")
        page.check("input[value='PACS admin|']")
        page.check("input[value='auditor|']")
        page.click(f"form[action='/people/{world.users['reader2']}'] button")
        assert "不能兼任" in page.locator("[role=alert]").inner_text()
        page.goto(f"{site.address}/people/{world.users['reader2']}")
        page.fill("#token_name", "脚本")
        page.check("input[name=scopes][value=read]")
        page.click("button:has-text('生成令牌')")
        assert page.locator("#secret").inner_text().startswith("huren_")
        page.goto(f"{site.address}/people/{world.users['reader2']}")
        page.click("button:has-text('重置初始密码')")
        assert len(page.locator("#secret").inner_text()) >= 10
    made = world.database.read(lambda s: s.scalars(select(ApiToken.scopes).where(ApiToken.name == "脚本")).all())
    assert made == [["read"]]


def test_a_token_is_listed_and_revoked_on_its_person_only(site: Site) -> None:
    world = site.world
    doctor, other = world.users["doc1"], world.users["doc2"]
    made = (world.actor("security"), "doc1", "旧脚本", ("read", "order"), site.clock(), timedelta(days=30))
    secret = world.do(users.make_token, *made)
    token = world.one(ApiToken, ApiToken.name == "旧脚本")
    with site.visit("security") as page:
        page.goto(f"{site.address}/people/{other}")
        assert page.locator("#tokens").count() == 0
        page.goto(f"{site.address}/people/{doctor}")
        assert "旧脚本" in page.locator("#tokens").inner_text()
        assert secret not in page.content()
        assert token.token_hash not in page.content()
        csrf = page.locator("meta[name=csrf]").get_attribute("content") or ""
        through_another = f"{site.address}/people/{other}/tokens/{token.id}/revoke"
        assert page.request.post(through_another, form={"csrf": csrf}).status == 404
        assert world.one(ApiToken, ApiToken.id == token.id).revoked_at is None
        page.click("#tokens button:has-text('吊销')")
        page.wait_for_url(f"**/people/{doctor}?done=revoked")
        assert "已吊销" in page.locator("#tokens").inner_text()
        assert page.locator("#tokens button").count() == 0
    assert world.ask(people.token_actor, secret, "", site.clock()) is None


def test_the_on_duty_list_is_kept_in_the_order_of_calling(site: Site) -> None:
    world = site.world
    center, address = world.centers["CH01"], f"{site.address}/admin/centers/{world.centers['CH01']}"
    senior1, senior2, reader1 = (world.users[login] for login in ("senior1", "senior2", "reader1"))

    def on_duty() -> list[str]:
        held = sorted(world.rows(OnDuty, OnDuty.center_id == center), key=lambda row: row.place)
        return [row.user_id for row in held]

    with site.visit("admin") as page:
        page.goto(address)
        places = page.locator("select[name=on_duty]")
        assert [places.nth(n).input_value() for n in range(places.count())] == [senior1, senior2, ""]
        offered = places.first.locator("option").evaluate_all("all => all.map(o => o.value)")
        assert world.users["doc1"] in offered
        assert not {world.users["security"], world.users["tech1"]} & set(offered)
        places.nth(0).select_option(reader1)
        places.nth(1).select_option("")
        places.nth(2).select_option(senior1)
        page.fill("#lease_minutes", "soon")
        page.click("main form button.btn-primary")
        expect(page.locator("[role=alert]")).to_have_count(1)
        assert on_duty() == [senior1, senior2]
        assert [places.nth(n).input_value() for n in range(places.count())] == [reader1, senior1, ""]
        page.fill("#lease_minutes", "30")
        page.click("main form button.btn-primary")
        page.wait_for_url("**/admin/centers?done=saved")
        assert on_duty() == [reader1, senior1]
        page.goto(address)
        page.click("main form button.btn-primary")  # nothing changed
        page.wait_for_url("**/admin/centers?done=saved")
    assert on_duty() == [reader1, senior1]
    by_admin = (AuditRow.action == "on-duty list changed", AuditRow.actor == "admin")
    assert len(world.rows(AuditRow, *by_admin)) == 1


def test_who_left_stays_on_the_on_duty_list_until_somebody_else_is_chosen(site: Site) -> None:
    world = site.world
    center, left = world.centers["CITY"], world.users["citysenior"]
    world.do(configuration.set_on_duty, world.actor("admin"), center, [left], site.clock())
    world.do(users.save_user, world.actor("security"), site.clock(), id=left, enabled=False)
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/centers/{center}")
        first = page.locator("select[name=on_duty]").first
        assert first.input_value() == left
        assert first.locator("option:checked").inner_text() == "停用"


def test_no_browser_complained(site: Site) -> None:
    assert not [text for text in site.heard if "the server responded with a status of 4" not in text]
