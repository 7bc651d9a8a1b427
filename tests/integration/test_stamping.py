"""Time stamps of the register by a real authority (OpenSSL's): asked later, checked by both, and never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from gateway import stamping as door
from huren.cli import app
from huren.jobs import jobs
from huren.workers import Worker
from tests.integration.api_desk import Desk, open_desk
from tests.peers.stamping_authority import StampingAuthority
from worklist import register
from worklist.actions import stamping
from worklist.errors import Broken, TryLater
from worklist.tables import OutboxRow

DIGEST = bytes(range(32))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampingAuthority]:
    with StampingAuthority(tmp_path_factory.mktemp("tsa")) as made:
        yield made


@pytest.fixture
def asked(authority: StampingAuthority) -> door.Authority:
    authority.status = 0
    return door.Authority(authority.url, tuple(x509.load_pem_x509_certificates(authority.certificate.read_bytes())))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        yield desk


def test_a_stamp_holds_for_both(authority: StampingAuthority, asked: door.Authority) -> None:
    stamp = door.ask(asked, DIGEST)
    assert door.check(stamp.token, DIGEST, asked.trusted) == stamp.at
    assert authority.holds(stamp.token, DIGEST.hex())
    other = bytes(32)
    assert door.check(stamp.token, other, asked.trusted) is None
    assert not authority.holds(stamp.token, other.hex())
    assert door.check(stamp.token, DIGEST, ()) is None
    assert door.check(b"", DIGEST, asked.trusted) is None
    assert door.check(stamp.token[:-1], DIGEST, asked.trusted) is None


def test_a_stamp_of_somebody_else_is_refused(asked: door.Authority, tmp_path: Path) -> None:
    with StampingAuthority(tmp_path) as other, pytest.raises(Broken, match="time_stamp_wrong"):
        door.ask(door.Authority(other.url, asked.trusted), DIGEST)


def test_an_authority_that_is_away_or_says_nonsense(authority: StampingAuthority, asked: door.Authority) -> None:
    for status, kind in ((503, TryLater), (403, Broken)):
        authority.status = status
        with pytest.raises(kind):
            door.ask(asked, DIGEST)
    with pytest.raises(TryLater):
        door.ask(door.Authority("http://127.0.0.1:1/", asked.trusted), DIGEST)


def _worker(desk: Desk, asked: door.Authority | None) -> Worker:
    clock = desk.web.clock
    return Worker(desk.world.database, clock, jobs(desk.world.database, desk.web.store, clock, authority=asked))


def _waiting(desk: Desk) -> int:
    return len(desk.world.rows(OutboxRow, OutboxRow.kind == register.STAMP_JOB, OutboxRow.stage == "due"))


def test_signing_goes_on_without_the_authority_and_all_is_stamped_later(
    desk: Desk, authority: StampingAuthority, asked: door.Authority, tmp_path: Path
) -> None:
    desk.signed()
    assert _waiting(desk) == 0  # nobody wants time stamps
    desk.world.do(stamping.configure, desk.now, wanted=True)
    assert _waiting(desk) == 1
    authority.status = 503
    worker = _worker(desk, asked)
    for _ in range(3):  # signed while the authority is away
        desk.signed()
        worker.run_due()
        desk.later(minutes=15)
    worker.run_due()
    assert desk.world.ask(stamping.stamps) == []
    assert _waiting(desk) == 1
    assert desk.world.ask(register.check).rows == 4

    authority.status, before = 0, authority.stamped
    desk.later(minutes=15)
    while worker.run_due():
        pass
    assert authority.stamped == before + 1  # one stamp speaks for all four
    (held,) = desk.world.ask(stamping.stamps)
    assert (held.seq, held.digest) == (4, desk.world.ask(register.check).digest)
    assert authority.holds(held.token, held.digest)
    assert (desk.world.ask(stamping.unstamped), _waiting(desk)) == (None, 0)

    env = {
        "HUREN_DATA": str(tmp_path),
        "HUREN_DATABASE": f"sqlite:///{tmp_path / 'huren.db'}",
        "HUREN_TSA_URL": authority.url,
        "HUREN_TSA_TRUSTED": str(authority.certificate),
    }
    said = CliRunner().invoke(app, ["verify", "--register"], env=env)
    assert (said.exit_code, "all up to row 4 existed at" in said.stdout) == (0, True), said.output
    desk.signed()
    said = CliRunner().invoke(app, ["verify", "--register"], env=env)
    assert (said.exit_code, "rows up to 5 wait" in said.stdout) == (0, True), said.output
    other = tmp_path / "other.pem"
    with StampingAuthority(tmp_path / "other") as stranger:
        other.write_bytes(stranger.certificate.read_bytes())
    said = CliRunner().invoke(app, ["verify", "--register"], env=env | {"HUREN_TSA_TRUSTED": str(other)})
    assert (said.exit_code, "that of row 4 does NOT hold" in said.stdout) == (1, True), said.output


def test_without_the_setting_nothing_waits_any_more(desk: Desk, asked: door.Authority) -> None:
    desk.world.do(stamping.configure, desk.now, wanted=True)
    desk.signed()
    assert _waiting(desk) == 1
    desk.world.do(stamping.configure, desk.now, wanted=False)
    desk.later(minutes=2)
    worker = _worker(desk, None)
    while worker.run_due():
        pass
    desk.signed()
    assert _waiting(desk) == 0
    assert desk.world.ask(stamping.unstamped) is not None
    desk.world.do(stamping.configure, desk.now + timedelta(minutes=1), wanted=True)  # the old ones, too
    assert _waiting(desk) == 1
