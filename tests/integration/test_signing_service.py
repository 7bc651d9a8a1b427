"""A second `Signer`: a service that holds the institution's key. What it signs is checked like everything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from reading_room import verifying
from reading_room.documents import keys
from reading_room.documents.seal import Seals
from reading_room.documents.service import SigningService
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.signing_service import CREDENTIAL, PIN, TOKEN, SigningServer
from tests.unit.reading_room.documents.test_seal import own_seal
from worklist import register
from worklist.errors import Broken
from worklist.queries import parts


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        yield desk


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def service(key: rsa.RSAPrivateKey) -> Iterator[SigningServer]:
    with SigningServer(key) as server:
        yield server


def _describe(folder: Path, institution_id: str, key: rsa.RSAPrivateKey, service: SigningServer, **more: str) -> None:
    """The two files that an operator places; the certificates alone, without the key."""
    said = {"url": service.url, "credential": CREDENTIAL, "token": TOKEN, "pin": PIN} | more
    folder.mkdir(exist_ok=True)
    lines = "".join(f'{name} = "{value}"\n' for name, value in said.items())
    (folder / f"{institution_id}.service.toml").write_text(lines)
    text = own_seal(key)
    (folder / f"{institution_id}.service.pem").write_bytes(text[text.index(b"-----BEGIN CERTIFICATE") :])


def test_a_report_is_signed_by_the_service(desk: Desk, key: rsa.RSAPrivateKey, service: SigningServer) -> None:
    trusted = keys.read_keys(keys.published(Seals(desk.web.seals).public_keys()))
    _describe(desk.web.seals, desk.world.institutions["CH01"], key, service)
    report = desk.signed()
    assert service.signed == 2  # the PDF, and the statement of all
    (version,) = desk.world.database.read(lambda s: parts.versions(s, report))
    held = desk.world.database.read(lambda s: parts.documents(s, version.id))
    documents = [desk.web.store.read(version.document_key), *(desk.web.store.read(d.store_key) for d in held.values())]
    published = keys.read_keys(keys.published(Seals(desk.web.seals).public_keys()))
    for data in documents:
        assert verifying.offline(published, data) == "whole"
        assert verifying.offline(trusted, data) == "foreign"
    pdf = desk.web.store.read(held["pdf"].store_key)
    assert desk.stranger().post("/verify", files={"file": ("r.pdf", pdf)}).text.count('data-outcome="current"') == 1


def test_a_service_that_is_away_signs_nothing_and_later_all(
    desk: Desk, key: rsa.RSAPrivateKey, service: SigningServer
) -> None:
    _describe(desk.web.seals, desk.world.institutions["CH01"], key, service)
    reading = desk.in_review()
    doctor = desk.program("senior1")
    before = set(desk.web.store.keys())
    service.status = 503
    answer = doctor.post(f"/api/readings/{reading}/sign")
    assert (answer.status_code, code_of(answer)) == (503, "signing_service_away")
    assert desk.world.database.read(register.check).rows == 0
    assert set(desk.web.store.keys()) == before
    assert desk.world.reading(reading).state == "in review"
    service.status = 0
    assert doctor.post(f"/api/readings/{reading}/sign").status_code == 200
    assert desk.world.database.read(register.check).rows == 1


def test_a_service_that_signs_with_another_key_or_refuses_signs_nothing(
    desk: Desk, key: rsa.RSAPrivateKey, service: SigningServer
) -> None:
    county = desk.world.institutions["CH01"]
    _describe(desk.web.seals, county, rsa.generate_private_key(65537, 2048), service)
    reading = desk.in_review()
    doctor = desk.program("senior1")
    assert code_of(doctor.post(f"/api/readings/{reading}/sign")) == "seal_unusable"
    for wrong in ({"pin": "0000"}, {"token": "x"}, {"credential": "other"}):
        _describe(desk.web.seals, county, key, service, **wrong)
        assert code_of(doctor.post(f"/api/readings/{reading}/sign")) == "seal_unusable", wrong
    assert desk.world.database.read(register.check).rows == 0


@pytest.mark.parametrize(
    "wrong", [{"url": "ftp://x"}, {"url": "http://elsewhere.example"}, {"credential": ""}, {"pni": "1"}]
)
def test_settings_that_are_wrong_are_said(
    tmp_path: Path, key: rsa.RSAPrivateKey, service: SigningServer, wrong: dict[str, str]
) -> None:
    _describe(tmp_path, "01k0hospital", key, service, **wrong)
    with pytest.raises(Broken) as caught:
        Seals(tmp_path).of("01k0hospital", "x")
    assert caught.value.params == {"file": "01k0hospital.service.toml"}


def test_secrets_are_not_shown(tmp_path: Path, key: rsa.RSAPrivateKey, service: SigningServer) -> None:
    _describe(tmp_path, "01k0hospital", key, service)
    signer = Seals(tmp_path).of("01k0hospital", "x")
    assert isinstance(signer, SigningService)
    assert not signer.trial
    assert PIN not in repr(signer)
    assert TOKEN not in repr(signer)
