"""Notices outside the page: owed with the notice, sent to real webhooks and mail servers, naming no patient."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from gateway import webhook
from gateway.outgoing import NOWHERE, Allowed
from huren.app import create_app
from huren.workers import Worker
from reading_room.error_words import ERRORS
from reading_room.telling import Telling
from reading_room.words import Words
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.integration.killing import Server, utc_now
from tests.peers.certificates import make
from tests.peers.mail_server import MailServer, Plan
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.process import PeerFailed
from tests.peers.web_receiver import DRIP, SILENT, Got, WebReceiver
from tests.working import worker_of
from worklist.actions import critical, notices
from worklist.errors import TryLater
from worklist.tables import AuditRow, Notice, NoticeChannel, NoticeSending, OutboxRow

NAME, NUMBER, WORDS = "独孤求败", "77001234", "脑出血"


@dataclass
class Town:
    """A desk whose server may call this machine, and a worker that runs what is due."""

    desk: Desk
    worker: Worker
    secrets: dict[str, str] = field(default_factory=dict)  # of webhooks, by channel

    def channel(self, **fields: Any) -> str:
        """A new channel: its id."""
        made = self.desk.program("admin").post("/api/notice-channels", json={"name": "路"} | fields)
        assert made.status_code == 201, made.text
        self.secrets[made.json()["channel"]["id"]] = made.json()["secret"]
        return str(made.json()["channel"]["id"])

    def hook(self, port: int, **fields: Any) -> str:
        """A webhook at a port of this machine."""
        return self.channel(address=f"http://{LOOPBACK}:{port}/in?team=1", **fields)

    def post(self, port: int, **fields: Any) -> str:
        """A mail server at a port of this machine, without encryption unless said otherwise."""
        usual = {"way": "e-mail", "address": LOOPBACK, "port": port, "security": "none", "sender": "huren@ch01.example"}
        return self.channel(**(usual | fields))

    def wish(self, login: str, channel_id: str, *kinds: str, address: str = "") -> None:
        """Somebody chooses what goes out."""
        item = {"channel_id": channel_id, "kinds": list(kinds or ("critical",)), "address": address}
        answer = self.desk.program(login).put("/api/me/notice-wishes", json={"items": [item]})
        assert answer.status_code == 200, answer.text

    def alarm(self) -> str:
        """A critical result of a patient with a name that must not get out: its id."""
        world, now = self.desk.world, self.desk.now
        reading = world.ready(world.order(patient=world.patient(NUMBER, NAME)), at=now)
        world.claim("reader1", reading, at=now)
        return world.do(critical.mark, world.actor("reader1"), reading, WORDS, now).id

    @property
    def sendings(self) -> list[NoticeSending]:
        """Every notice on its way, in the order in which they were owed."""
        return self.desk.world.rows(NoticeSending)

    @property
    def sending(self) -> NoticeSending:
        """The only one."""
        (one,) = self.sendings
        return one

    def stuck(self) -> list[dict[str, Any]]:
        """What the admin is shown as stuck."""
        answer = self.desk.program("admin").get("/api/notice-sendings", params={"status": "stuck"})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_desk(tmp_path) as desk:
        yield _town(desk, Allowed.read([LOOPBACK]))


def _town(desk: Desk, allowed: Allowed) -> Town:
    desk.web = replace(desk.web, notice_hosts=allowed, public_url="https://huren.example")
    desk.app = create_app(desk.web)
    telling = Telling(desk.web.seals, allowed, "https://huren.example")
    return Town(desk, worker_of(desk.web.database, desk.web.store, lambda: desk.now, telling=telling))


def _is_ours(secret: str, got: Got) -> bool:
    """As a receiver checks it that knows nothing of our code (Standard Webhooks)."""
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{made}" == got.headers["webhook-signature"]


def _names_nobody(text: str, town: Town) -> None:
    accession = town.desk.world.rows(Notice)[0].params["accession_number"]
    for word in (NAME, NUMBER, WORDS, "陈医师", "李医生", accession):
        assert word not in text, word


def test_a_critical_result_goes_out_signed_and_names_nobody(town: Town) -> None:
    with WebReceiver() as receiver:
        channel = town.hook(receiver.port)
        town.wish("doc1", channel)
        result = town.alarm()
        assert [s.state for s in town.sendings] == ["due"]
        town.worker.run_due()
        (got,) = receiver.received
    assert got.path == "/in?team=1"
    assert got.headers["host"] == f"{LOOPBACK}:{receiver.port}"
    assert _is_ours(town.secrets[channel], got)
    assert not _is_ours(webhook.new_secret(), got)
    assert abs(int(got.headers["webhook-timestamp"]) - town.desk.now.timestamp()) < 1
    assert json.loads(got.body) == {
        "id": got.headers["webhook-id"],
        "kind": "critical",
        "at": town.desk.now.isoformat(),
        "drill": False,
        "to": {"id": town.desk.world.users["doc1"], "institution": "河西乡卫生院"},
        "page": f"https://huren.example/critical/{result}",
    }
    _names_nobody(got.body.decode(), town)
    assert (town.sending.state, town.sending.attempts, town.sending.sent_at) == ("sent", 1, town.desk.now)
    # The page has it too, whatever went out.
    bell = town.desk.program("doc1").get("/api/notices").json()["items"]
    assert [n["kind"] for n in bell] == ["critical"]


def test_what_is_owed_stands_and_falls_with_the_notice(town: Town) -> None:
    town.wish("doc1", town.hook(free_port()), "case assigned")

    def undone(session: Session) -> None:
        notices.tell(session, [town.desk.world.users["doc1"]], "case assigned", {}, "/reading/x", town.desk.now)
        session.flush()
        raise RuntimeError("the transaction fails")

    with pytest.raises(RuntimeError):
        town.desk.world.database.write(undone)
    assert town.sendings == []
    assert town.desk.world.rows(OutboxRow, OutboxRow.kind == "send_notice") == []


def test_only_what_somebody_chose_goes_to_them(town: Town) -> None:
    everything, only_referrals = town.hook(free_port()), town.hook(free_port(), kinds=["referral"])
    elsewhere = town.hook(free_port(), institution_id=town.desk.world.institutions["TS02"])
    town.wish("doc1", everything)
    town.wish("tech1", everything, "case returned")
    town.wish("doc1", only_referrals)
    foreign = town.desk.program("doc1").put(
        "/api/me/notice-wishes", json={"items": [{"channel_id": elsewhere, "kinds": ["critical"]}]}
    )
    assert code_of(foreign) == "no_such_notice_channel"
    assert [w["channel_id"] for w in town.desk.program("doc1").get("/api/me/notice-wishes").json()["items"]] == [
        everything,
        only_referrals,
    ]
    town.alarm()
    assert [(s.channel_id, s.state) for s in town.sendings] == [(everything, "due")]


def test_each_step_of_the_ladder_calls_again_and_an_answer_ends_it(town: Town) -> None:
    with WebReceiver() as receiver:
        town.wish("doc1", town.hook(receiver.port))
        result = town.alarm()
        town.worker.run_due()
        town.desk.later(minutes=5)
        town.worker.run_due()
        town.worker.run_due()
        assert len(receiver.received) == 2
        assert len({got.headers["webhook-id"] for got in receiver.received}) == 2
    town.desk.later(minutes=5)
    town.worker.run_due()  # the first on call; nobody of the township again
    town.wish("doc1", town.hook(free_port()))
    again = town.alarm()
    assert town.sendings[-1].state == "due"
    world = town.desk.world
    world.do(critical.acknowledge, world.actor("doc1"), again, "脑出血，已知", town.desk.now)
    town.worker.run_due()
    assert {(s.state, s.last_error) for s in town.sendings if s.attempts == 0} == {("lapsed", "notice_read")}
    assert result != again


def test_a_dead_receiver_is_tried_again_with_growing_pauses_until_a_person_looks(town: Town) -> None:
    port = free_port()
    channel = town.hook(port)
    town.wish("doc1", channel, "critical answered", "case assigned")
    doctor = town.desk.world.users["doc1"]
    town.desk.world.do(notices.tell, [doctor], "case assigned", {}, "/reading/x", town.desk.now)
    pauses = []
    while town.sending.state in ("due", "retrying"):
        before = town.desk.now
        assert town.worker.run_due() == 1
        if town.sending.next_at is not None:
            pauses.append(town.sending.next_at - before)
            town.desk.now = town.sending.next_at
    assert pauses[:4] == [timedelta(seconds=s) for s in (5, 10, 20, 40)]
    assert max(pauses) == timedelta(minutes=10)
    assert town.sending.attempts == len(pauses) + 1
    (shown,) = town.stuck()
    assert (shown["last_error"], shown["attempts"], shown["person"]) == ("peer_away", len(pauses) + 1, "李医生")
    page = town.desk.browser("admin").get("/admin/channels?lang=zh_CN").text
    assert Words("zh_CN")(ERRORS["peer_away"]) in page
    admin = town.desk.program("admin")
    assert {q["kind"] for q in admin.get("/api/waiting").json()["items"]} >= {"stuck notice"}
    assert admin.get("/api/jobs/stuck").json()["items"] == []
    with WebReceiver() as receiver:
        changed = admin.put(f"/api/notice-channels/{channel}", json={"address": f"http://{LOOPBACK}:{receiver.port}/"})
        assert (changed.status_code, changed.json()["secret"]) == (200, "")
        assert admin.post(f"/api/notice-sendings/{shown['id']}/again").status_code == 202
        town.worker.run_due()
        assert _is_ours(town.secrets[channel], receiver.received[0])
    assert town.sending.state == "sent"
    assert admin.post(f"/api/notice-sendings/{shown['id']}/again").status_code == 409


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (204, "sent", ""),
        (500, "retrying", "receiver_status"),
        (503, "retrying", "receiver_status"),
        (429, "retrying", "receiver_status"),
        (302, "stuck", "receiver_redirects"),
        (307, "stuck", "receiver_redirects"),
        (401, "stuck", "receiver_refused"),
        (410, "stuck", "receiver_refused"),
    ],
)
def test_what_an_answer_means(town: Town, status: int, state: str, error: str) -> None:
    with WebReceiver(lambda _: status) as receiver:
        town.wish("doc1", town.hook(receiver.port))
        town.alarm()
        town.worker.run_due()
        assert [got.path for got in receiver.received] == ["/in?team=1"], "a redirect was followed"
    assert (town.sending.state, town.sending.last_error) == (state, error)
    if state == "stuck":
        (shown,) = town.stuck()
        assert shown["params"] == {"status": str(status)}
        given_up = town.desk.program("admin").post(f"/api/notice-sendings/{shown['id']}/give-up")
        assert given_up.status_code == 204
        town.worker.run_due()
        assert town.sending.state == "given up"
        assert [row.stage for row in town.desk.world.rows(OutboxRow, OutboxRow.kind == "send_notice")] == ["done"]


@pytest.mark.parametrize("way", [SILENT, DRIP])
def test_a_slow_receiver_holds_nobody_longer_than_its_time(town: Town, way: int) -> None:
    with WebReceiver(lambda _: way) as receiver, pytest.raises(TryLater) as late:
        webhook.post(
            Allowed.read([LOOPBACK]),
            f"http://{LOOPBACK}:{receiver.port}/",
            b"{}",
            id="x",
            at=town.desk.now,
            secret=webhook.new_secret(),
            seconds=0.5,
        )
    assert late.value.code == "no_answer"


def test_https_needs_the_certificate_on_record(town: Town, tmp_path: Path) -> None:
    known, other = make(tmp_path, "known"), make(tmp_path, "other")
    with WebReceiver(certificate=known) as receiver:
        address = f"https://{LOOPBACK}:{receiver.port}/in"
        for trusted, state, error in (
            (known.pem, "sent", ""),
            (other.pem, "retrying", "receiver_certificate_unknown"),
            ("", "retrying", "receiver_certificate_unknown"),
        ):
            town.wish("doc1", town.channel(address=address, trusted=trusted))
            town.alarm()
            town.worker.run_due()
            assert (town.sendings[-1].state, town.sendings[-1].last_error) == (state, error)
            for row in town.sendings:  # the next one alone
                if row.state == "retrying":
                    admin = town.desk.program("admin")
                    assert admin.post(f"/api/notice-sendings/{row.id}/give-up").status_code == 204
            channel = town.sendings[-1].channel_id
            town.wish("doc1", channel, "referral")
        assert len(receiver.received) == 1


def test_where_the_operator_allows_nothing_nothing_is_called(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk, WebReceiver() as receiver:
        town = _town(desk, NOWHERE)
        channel = town.hook(receiver.port)
        town.wish("doc1", channel)
        town.alarm()
        town.worker.run_due()
        assert (town.sending.state, town.sending.last_error) == ("stuck", "host_not_allowed")
        tried = desk.program("admin").post(f"/api/notice-channels/{channel}/try", json={}).json()
        assert (tried["taken"], tried["code"]) == (False, "host_not_allowed")
        assert LOOPBACK in tried["message"]
        assert receiver.received == []


def test_a_trial_message_says_what_came_of_it(town: Town) -> None:
    admin = town.desk.program("admin")
    with WebReceiver(lambda n: 200 if n == 0 else 404) as receiver, MailServer() as server:
        channel = town.hook(receiver.port)
        assert admin.post(f"/api/notice-channels/{channel}/try", json={}).json()["taken"]
        assert json.loads(receiver.received[0].body)["kind"] == "trial"
        refused = admin.post(f"/api/notice-channels/{channel}/try", json={}).json()
        assert (refused["taken"], refused["code"]) == (False, "receiver_refused")
        post = town.post(server.port)
        wrong = admin.post(f"/api/notice-channels/{post}/try", json={"to": "nobody"})
        assert code_of(wrong) == "field_wrong"
        assert admin.post(f"/api/notice-channels/{post}/try", json={"to": "it@ch01.example"}).json()["taken"]
        assert [m.to for m in server.taken] == ["it@ch01.example"]
    assert town.desk.world.rows(AuditRow, AuditRow.action == "notice channel tried")
    assert town.sendings == []


def test_killed_between_sending_and_recording_it_comes_again_with_the_same_id(tmp_path: Path) -> None:
    """A whole server, killed with SIGKILL by the receiver while it waits for the answer to its first request."""
    server = _Calling(tmp_path)

    def plan(number: int) -> int:
        if number == 0:
            os.kill(server.pid, signal.SIGKILL)
        return 200

    with WebReceiver(plan) as receiver:
        try:
            for login in ("admin", "doc1"):
                server.token(login)
            server.start()
            with server.client("admin") as admin:
                address = f"http://{LOOPBACK}:{receiver.port}/"
                made = admin.post("/api/notice-channels", json={"name": "h", "address": address})
            secret, channel = made.json()["secret"], made.json()["channel"]["id"]
            wish = {"items": [{"channel_id": channel, "kinds": ["case assigned"]}]}
            with server.client("doc1") as doctor:
                assert doctor.put("/api/me/notice-wishes", json=wish).status_code == 200
            server.kill()
            user = server.world.users["doc1"]
            server.world.do(notices.tell, [user], "case assigned", {}, "/reading/x", utc_now())
            with suppress(PeerFailed):  # it may not live long enough to open all its doors
                server.start()
            server.wait_for_death()
            assert [row.state for row in server.world.rows(NoticeSending)] == ["due"], "nothing was recorded"
            server.start()
            server.until(lambda: server.world.rows(NoticeSending)[0].state == "sent")
            (row,) = server.world.rows(NoticeSending)
            assert [got.headers["webhook-id"] for got in receiver.received] == [row.id, row.id]
            assert len({got.body for got in receiver.received}) == 1
            assert all(_is_ours(secret, got) for got in receiver.received)
            assert row.attempts == 2
        finally:
            server.close()


class _Calling(Server):
    """A server that may call this machine."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"HUREN_NOTICE_HOSTS": LOOPBACK}

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait for something that the running server does."""
        assert self._process is not None
        self._process.wait_until(ready)


def test_a_mail_is_in_the_persons_language_and_names_nobody(town: Town) -> None:
    with MailServer() as server:
        channel = town.post(server.port)
        town.wish("doc1", channel, address="li@ts01.example")
        town.desk.program("tech1").put("/api/me/settings", json={"language": "en"})
        town.wish("tech1", channel, address="zhang@ts01.example")
        result = town.alarm()
        town.worker.run_due()
        by_person = {mail.to: mail for mail in server.taken}
    assert set(by_person) == {"li@ts01.example", "zhang@ts01.example"}
    english = by_person["zhang@ts01.example"].message
    assert english["subject"] == "Huren: A critical result waits for an answer"
    assert english["from"] == "huren@ch01.example"
    assert english["auto-submitted"] == "auto-generated"
    ids = {f"<{row.id}@ch01.example>" for row in town.sendings}
    assert {mail.message["message-id"] for mail in by_person.values()} == ids
    text = english.get_content()
    assert f"https://huren.example/critical/{result}" in text
    for mail in by_person.values():
        _names_nobody(mail.message.get_content() + str(mail.message["subject"]), town)
    assert {row.state for row in town.sendings} == {"sent"}


def test_mail_goes_over_tls_with_the_login(town: Town, tmp_path: Path) -> None:
    certificate = make(tmp_path, "mail")
    for security in ("starttls", "tls"):
        plan = Plan(security=security, logins={"huren": "geheim"})
        with MailServer(plan, certificate=certificate) as server:
            channel = town.post(
                server.port, security=security, login="huren", password="geheim", trusted=certificate.pem
            )
            tried = _try(town, channel)
            assert tried["taken"], tried
            (mail,) = server.taken
            assert (mail.was_encrypted, mail.login) == (True, "huren")
            town.desk.program("admin").put(f"/api/notice-channels/{channel}", json={"password": "falsch"})
            assert _try(town, channel)["code"] == "mail_sign_in_refused"
            town.desk.program("admin").put(f"/api/notice-channels/{channel}", json={"trusted": ""})
            assert _try(town, channel)["code"] == "receiver_certificate_unknown"


def test_a_password_never_travels_in_the_open(town: Town) -> None:
    with MailServer() as server:  # offers no STARTTLS, as if somebody on the way had taken it out
        channel = town.post(server.port, security="starttls", login="huren", password="geheim")
        assert _try(town, channel)["code"] == "mail_without_tls"
        assert server.taken == []
    refused = town.desk.program("admin").put(f"/api/notice-channels/{channel}", json={"security": "none"})
    assert code_of(refused) == "mail_password_needs_tls"


@pytest.mark.parametrize(
    ("answers", "silent", "state", "error"),
    [
        ({"RCPT": b"550 5.1.1 no such mailbox"}, False, "stuck", "mail_refused"),
        ({"RCPT": b"451 4.7.1 greylisted"}, False, "retrying", "mail_refused_now"),
        ({"MAIL": b"552 5.3.4 too large"}, False, "stuck", "mail_refused"),
        ({"END": b"452 4.3.1 full"}, False, "retrying", "mail_refused_now"),
        ({"GREETING": b"421 4.3.2 closing"}, False, "retrying", "mail_refused_now"),
        ({"QUIT": b"500 what"}, False, "sent", ""),
    ],
)
def test_what_a_mail_server_says_decides(
    town: Town, answers: dict[str, bytes], silent: bool, state: str, error: str
) -> None:
    with MailServer(Plan(answers=answers, is_silent=silent)) as server:
        town.wish("doc1", town.post(server.port), address="li@ts01.example")
        town.alarm()
        town.worker.run_due()
    assert (town.sending.state, town.sending.last_error) == (state, error)
    if state == "stuck":
        assert town.stuck()[0]["params"]["text"] in next(iter(answers.values())).decode()


def test_secrets_are_sealed_never_shown_and_for_one_server_only(town: Town) -> None:
    post = town.post(free_port(), security="tls", login="huren", password="geheim")
    hook = town.hook(free_port())
    for row in town.desk.world.rows(NoticeChannel):
        assert row.secret
        assert "geheim" not in row.secret
        assert town.secrets[hook] not in row.secret
    admin = town.desk.program("admin")
    shown = admin.get("/api/notice-channels").text
    assert "geheim" not in shown
    assert town.secrets[hook] not in shown
    fresh = admin.post(f"/api/notice-channels/{hook}/secret").json()["secret"]
    assert fresh != town.secrets[hook]
    assert code_of(admin.post(f"/api/notice-channels/{post}/secret")) == "field_wrong"

    def kept() -> bool:
        rows = admin.get("/api/notice-channels").json()["items"]
        return bool(next(row for row in rows if row["id"] == post)["has_secret"])

    assert admin.put(f"/api/notice-channels/{post}", json={"name": "anders"}).status_code == 200
    assert kept()
    assert admin.put(f"/api/notice-channels/{post}", json={"address": "evil.example"}).status_code == 200
    assert not kept(), "the password would go to another server"


@pytest.mark.parametrize(
    "fields",
    [
        {"address": "ftp://hook.example/"},
        {"address": "http://user:word@hook.example/"},
        {"address": "http://hook.example/#x"},
        {"address": "http:///x"},
        {"address": "http://hook.example:0/"},
        {"address": "http://hook.example/\r\nX: y"},
        {"address": "http://例.example/"},
        {"way": "e-mail", "address": "mail.example", "sender": "no address"},
        {"way": "e-mail", "address": "mail.example", "sender": "a@b.example\r\nBcc: c@d.example"},
        {"way": "e-mail", "address": "mail.example/x", "sender": "a@b.example"},
        {"address": "http://hook.example/", "kinds": ["nonsense"]},
    ],
)
def test_a_channel_that_cannot_be_is_refused(town: Town, fields: dict[str, Any]) -> None:
    answer = town.desk.program("admin").post("/api/notice-channels", json={"name": "x"} | fields)
    assert answer.status_code == 422, answer.text


def test_ones_wishes_are_ones_own_and_the_security_admins(town: Town) -> None:
    channel = town.post(free_port())
    doctor = town.desk.world.users["doc1"]
    item = {"channel_id": channel, "kinds": ["critical"], "address": "li@ts01.example"}
    for login, status in (("security", 200), ("admin", 403), ("tech1", 403), ("doc2", 403)):
        answer = town.desk.program(login).put(f"/api/users/{doctor}/notice-wishes", json={"items": [item]})
        assert answer.status_code == status, login
        assert town.desk.program(login).get(f"/api/users/{doctor}/notice-wishes").status_code == status
    own = town.desk.program("doc1").get("/api/me/notice-wishes").json()["items"]
    assert [(w["kinds"], w["address"]) for w in own] == [(["critical"], "li@ts01.example")]
    for wrong in ("", "li", "li@ts01.example, x@y.example", "li@ts01.example\nBcc: x@y.example"):
        bad = town.desk.program("doc1").put("/api/me/notice-wishes", json={"items": [item | {"address": wrong}]})
        assert bad.status_code == 422, wrong
    assert town.desk.program("doc1").get("/api/notice-channels").status_code == 403
    assert town.desk.program("doc1").get("/api/notice-sendings").status_code == 403


def test_whoever_is_switched_off_gets_nothing(town: Town) -> None:
    with WebReceiver() as receiver:
        channel = town.hook(receiver.port)
        town.wish("doc1", channel)
        town.alarm()
        town.desk.program("admin").put(f"/api/notice-channels/{channel}", json={"enabled": False})
        town.worker.run_due()
        assert (town.sending.state, town.sending.last_error) == ("lapsed", "channel_off")
        assert receiver.received == []


def test_the_secret_of_another_installation_is_a_persons_matter(town: Town) -> None:
    channel = town.hook(free_port())
    town.wish("doc1", channel)
    town.alarm()

    def spoil(session: Session) -> None:
        session.get_one(NoticeChannel, channel).secret = "AAAA"

    town.desk.world.database.write(spoil)
    town.worker.run_due()
    assert (town.sending.state, town.sending.last_error) == ("stuck", "sealed_elsewhere")


def _try(town: Town, channel: str) -> dict[str, Any]:
    answer = town.desk.program("admin").post(f"/api/notice-channels/{channel}/try", json={"to": "it@ch01.example"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
