"""Routes edited as one table and tried before they are saved; devices read at a look, set up, called, and known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pynetdicom import AE

from gateway.dimse.echo import VERIFICATION
from gateway.dimse.library import quieten
from tests.pages.site import START, Site
from tests.peers import certificates
from tests.peers.ports import LOOPBACK, free_port
from worklist.actions import code_mapping, device_settings, devices, routes
from worklist.facts import Caller
from worklist.tables import CodeMapping, Device, DeviceAddress, DeviceCertificate, Route, RouteTable


@contextmanager
def listening(title: str) -> Iterator[int]:
    """A device that answers an echo; its port."""
    quieten()
    ae = AE(title)
    ae.add_supported_context(VERIFICATION)
    ae.require_called_aet = True
    port = free_port()
    server = ae.start_server((LOOPBACK, port), block=False)
    try:
        yield port
    finally:
        assert server is not None
        server.shutdown()


def names(page: Page) -> list[str]:
    """The rules of the table on the page, in their order."""
    return page.locator("#rules tbody tr strong").all_inner_texts()


def test_a_table_is_rearranged_tried_and_saved_with_a_reason(site: Site) -> None:
    site.scan(site.world.order("CT-HEAD", at=site.clock()))
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/admin/routes")
        assert names(page) == ["CT", "rest"]
        page.click("button[value='down:0']")
        assert names(page) == ["rest", "CT"]
        assert "Rule CT is never asked" in page.locator("#rules").inner_text()
        assert "Save without trying" in page.locator("#saving").inner_text()
        page.click("button[value=try]")
        tried = page.locator("#tried")
        assert "县影像诊断中心 · CT组" in tried.inner_text()
        expect(page.locator("#tried-rows tbody tr")).to_have_count(1)
        assert tried.locator("dd").all_inner_texts() == ["1", "1", "0"]
        assert (page.locator("#tried-rows a").get_attribute("href") or "").startswith("/studies/")
        assert site.world.one(RouteTable).number == 1  # nothing is kept yet
        page.fill("input[name=note]", "the group is on holiday")
        page.click("button[value=save]")
        page.wait_for_url("**/admin/routes?done=routes")
        page.click("button[value='turn:1']")
        assert "switched off" in page.locator("#rules").inner_text()
        page.click("text=Give up the changes")
        assert "switched off" not in page.locator("#rules").inner_text()
        page.goto(f"{site.address}/admin/routes/versions")
        newest = page.locator("article").first.inner_text()
        assert "the group is on holiday" in newest
        assert "信息科" in newest
        assert "Order: rest, CT" in newest
        page.click("article:last-of-type summary.btn")
        page.click("article:last-of-type .panel button")
        page.wait_for_url("**/admin/routes?done=routes")
        assert names(page) == ["CT", "rest"]
    assert [t.note for t in sorted(site.world.rows(RouteTable), key=lambda t: t.number)][1:] == [
        "the group is on holiday",
        "As version 1",
    ]


def test_the_second_of_two_admins_loses_nothing_and_is_told(site: Site) -> None:
    world = site.world
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/admin/routes")
        page.click("button[value='remove:1']")
        rules = [{"name": "theirs", "place": 1, "center_id": world.centers["CH01"]}]
        world.do(routes.save_routes, world.actor("admin"), rules, "", site.clock())
        page.click("button[value=save]")
        assert "Somebody else saved meanwhile" in page.locator("[role=alert]").inner_text()
        assert names(page) == ["CT"]
        assert "your table replaces theirs" in page.locator("main").inner_text()
        page.click("button[value=save]")
        page.wait_for_url("**/admin/routes?done=routes")
    newest = max(world.rows(RouteTable), key=lambda t: t.number)
    assert [r.name for r in world.rows(Route, Route.table_id == newest.id)] == ["CT"]


def test_rules_that_this_page_did_not_write_are_refused(site: Site) -> None:
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/routes")
        csrf = page.locator("meta[name=csrf]").get_attribute("content") or ""
        for rule in ("[", "[]", '{"name": 1}', "9" * 5000, "null"):
            form: dict[str, str | float | bool] = {"csrf": csrf, "rule": rule, "do": "save"}
            assert page.request.post(f"{site.address}/admin/routes", form=form).status in (400, 422), rule


def test_a_device_is_set_up_with_widgets_and_loses_nothing(site: Site) -> None:
    world = site.world
    device, town = world.devices["MOBILE"], world.institutions["TS02"]
    own = {
        "door": "dimse",
        "address": "10.5.0.1",
        "claimed": "MOBILE2",
        "institution_id": town,
        "port": 104,
        "tls": True,
    }
    world.do(device_settings.save_device, world.actor("admin"), {"addresses": [own]}, site.clock(), device)
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/admin/devices/{device}/settings")
        page.fill("#receive_only_hours", "7:00-19:00，22:00-23:00")
        page.locator("#worklist_extras input").first.fill("ScheduledProcedureStepSequence.Modality")
        page.locator("#modality_equivalents input").nth(1).fill("ct, pt")
        page.select_option("#transfer_syntaxes-0", "1.2.840.10008.1.2.4.70")
        page.locator("#field_overrides input").nth(0).fill("pv1-3.4")
        page.locator("#field_overrides input").nth(1).fill("TS01")
        page.locator("#field_overrides input").nth(2).fill("ZZZ")
        page.click("form .below button.btn-primary")
        assert "no HL7 field" in page.locator("[role=alert]").inner_text()
        assert page.locator("#field_overrides input").nth(2).input_value() == "ZZZ"  # what was typed stays
        page.locator("#field_overrides input").nth(2).fill("")
        page.uncheck("input[value=results]")
        page.click("form .below button.btn-primary")
        page.wait_for_url(f"**/admin/devices/{device}?done=saved")
    row = world.one(Device, Device.id == device)
    assert row.receive_only_hours == [["07:00", "19:00"], ["22:00", "23:00"]]
    assert row.worklist_extras == ["00400100.00080060"]
    assert row.modality_equivalents == [["CR", "DX", "DR"], ["CT", "PT"]]
    assert row.transfer_syntaxes == ["1.2.840.10008.1.2.4.70"]
    assert row.field_overrides == [{"field": "PV1-3.4", "value": "TS01", "source": "", "only_empty": False}]
    assert "results" not in row.operations
    address = world.one(DeviceAddress, DeviceAddress.device_id == device)
    assert (address.institution_id, address.port, address.tls) == (town, 104, True)


def test_the_list_shows_the_day_and_the_echo(site: Site) -> None:
    world = site.world
    device = world.devices["TS01CT"]
    site.scan(world.order("CT-CHEST", patient=world.patient("70001", "何秀"), at=site.clock()), 4)
    world.do(devices.refuse_caller, Caller("dimse", "10.8.0.8", "TS01CT", "HUREN"), "calling_ae_unknown", site.clock())
    with listening("TS01CT") as port, site.visit("admin", language="en") as page:
        address = {"door": "dimse", "address": LOOPBACK, "claimed": "TS01CT", "port": port}
        world.do(device_settings.save_device, world.actor("admin"), {"addresses": [address]}, site.clock(), device)
        page.goto(f"{site.address}/admin/devices/{device}")
        assert "10.8.0.8" in page.locator("main").inner_text()
        page.click("form[action$='/echo'] button")
        page.wait_for_url("**?done=echoed")
        assert "answered in" in page.locator("#echo").inner_text()
        page.goto(f"{site.address}/admin/devices")
        line = page.locator(f"#devices tr[data-href='/admin/devices/{device}']").inner_text()
        assert "answered in" in line
        assert "studies · " in line or "study · " in line
        assert "1 sent away" in line


def test_certificates_are_pasted_shown_and_removed(site: Site, tmp_path: Path) -> None:
    device = site.world.devices["TS02DR"]
    made = certificates.make(tmp_path, "TS02DR")
    site.ahead = made.not_after - START - timedelta(days=10)  # ten days before its end
    try:
        with site.visit("admin", language="en") as page:
            page.goto(f"{site.address}/admin/devices/{device}/certificates")
            page.fill("#pem", "no certificate")
            page.click("form.card button.btn-primary")
            assert "no certificate in PEM" in page.locator("[role=alert]").inner_text()
            page.fill("#pem", "")
            page.set_input_files("#file", str(made.certificate))
            page.click("form.card button.btn-primary")
            page.wait_for_url("**/certificates?done=saved")
            text = page.locator("main").inner_text()
            assert "CN=TS02DR" in text
            assert "9 days left" in text
            page.goto(f"{site.address}/admin/devices")
            assert "9 days left" in page.locator(f"tr[data-href$='{device}']").inner_text()
            page.goto(f"{site.address}/admin/devices/{device}/certificates")
            page.click("main details.more summary")
            page.click("main details.more .btn-danger")
            page.wait_for_url("**/certificates?done=saved")
    finally:
        site.ahead = timedelta(0)
    assert site.world.rows(DeviceCertificate) == []


def test_a_code_is_taken_back_with_a_word_of_what_that_means(site: Site) -> None:
    world = site.world
    his = world.devices["HIS|TS01"]
    world.do(code_mapping.map_code, world.actor("admin"), his, "0712", world.procedures["CT-HEAD"], site.clock())
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/admin/devices/{his}/codes")
        page.fill("input[name=code]:not([type=hidden])", "0813")
        page.select_option("select[name=procedure]", world.procedures["DR-CHEST"])
        page.click("form.card button.btn-primary")
        page.wait_for_url("**/codes?done=mapped")
        row = page.locator("tr", has_text="0712")
        assert "CT head" in row.inner_text()
        assert "信息科" in row.inner_text()
        row.locator("summary").click()
        assert "later orders only" in row.inner_text()
        row.locator(".panel button").click()
        page.wait_for_url("**/codes?done=unmapped")
    assert [m.code for m in world.rows(CodeMapping)] == ["0813"]


def test_an_endpoint_says_whether_anything_listens(site: Site) -> None:
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}/admin/endpoints/{site.world.endpoints['TS02']}")
        page.click("form[action$='/reach'] button")
        assert "nothing listens at this port" in page.locator("[role=status]").inner_text()
        page.check("input[name=order_status]")
        page.fill("#trusted", "no PEM")
        page.click("main form.card button.btn-primary")
        assert "no certificate in PEM" in page.locator("[role=alert]").inner_text()


def test_a_new_endpoint_shows_the_fields_of_the_kind_that_is_chosen(site: Site) -> None:
    hl7, platform = (
        ("#receiving_application", "#version", "[name=order_status]"),
        ("#path", "#token", "[name=center_ids]"),
    )
    with site.visit("admin") as page:
        page.goto(f"{site.address}/admin/endpoints/new")
        for kind, shown, away in (("mllp", hl7, platform), ("wst500", platform, hl7), ("fhir", platform, hl7)):
            page.select_option("#kind", kind)
            for field in shown:
                expect(page.locator(field).first).to_be_visible()
            for field in away:
                expect(page.locator(field).first).to_be_hidden()
        page.fill("#name", "省平台")
        page.fill("#host", "192.0.2.7")
        page.fill("#port", "443")
        page.fill("#path", "fhir")
        page.click("main form.card button.btn-primary")
        assert page.locator("[role=alert]").count()
        expect(page.locator("#path")).to_have_value("fhir")
        expect(page.locator("#version")).to_be_hidden()
        page.fill("#path", "/fhir")
        page.click("main form.card button.btn-primary")
        page.click("main table a.main:has-text('省平台')")
        expect(page.locator("#path")).to_have_value("/fhir")
        assert not page.locator("#version").count()


@pytest.mark.parametrize("tab", ["", "/settings", "/certificates", "/codes"])
def test_a_device_is_for_the_admin_only(site: Site, tab: str) -> None:
    with site.visit("manager") as page:
        answer = page.goto(f"{site.address}/admin/devices/{site.world.devices['TS01CT']}{tab}")
        assert answer is not None
        assert answer.status == 403


def test_no_browser_complained(site: Site) -> None:
    assert not [text for text in site.heard if "the server responded with a status of 4" not in text]
