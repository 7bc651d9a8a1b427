"""The proxy's own configuration in a real nginx, without root, before a real `huren web`; the other one of the two web
processes is away the whole time."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from gateway.http import LONGEST_BODY
from reading_room.api.partial_files import ACKNOWLEDGED_AT
from reading_room.passwords import hash_password
from tests import discs
from tests.integration.api_desk import code_of
from tests.integration.composed import ROOT, make_secrets, services
from tests.integration.test_partial_files import PIECE, TUS, metadata
from tests.integration.test_stow import TYPE, body
from tests.integration.topology import Topology, topology, until
from tests.peers import certificates
from tests.peers.nginx import Nginx
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.postgres import Postgres
from worklist.tables import AuditRow, Instance, User

NAME = "huren.county.example"
PASSWORD = "long enough for a test"
THEIR_ADDRESS = "127.0.0.9"  # any address of the loopback network may be called from

pytestmark = pytest.mark.timeout(300)


@dataclass
class House:
    """The county behind the proxy."""

    county: Topology
    nginx: Nginx

    @property
    def address(self) -> str:
        """As people type it."""
        return f"https://{NAME}:{self.nginx.port}"

    def trusting(self) -> ssl.SSLContext:
        """Trusts what the proxy is to show, and nothing else."""
        return ssl.create_default_context(cafile=self.nginx.tls / "certificate.pem")

    def client(self, **headers: str) -> httpx.Client:
        """Somebody elsewhere, who knows the server by its name."""
        transport = httpx.HTTPTransport(verify=self.trusting(), local_address=THEIR_ADDRESS)
        return httpx.Client(
            base_url=f"https://{LOOPBACK}:{self.nginx.port}",
            headers={"Host": f"{NAME}:{self.nginx.port}", **headers},
            transport=_Named(transport),
            timeout=30,
        )

    def program(self, login: str) -> httpx.Client:
        """A program with a person's token."""
        return self.client(Authorization=self.county.api(login).headers["Authorization"])

    @contextlib.contextmanager
    def browser(self, login: str) -> Iterator[httpx.Client]:
        """A browser in which somebody has signed in."""
        with self.client(Origin=self.address) as client:
            client.headers["Sec-Fetch-Site"] = "same-origin"
            answer = client.post("/sign-in", data={"login": login, "password": PASSWORD, "csrf": "", "next": "/"})
            assert answer.status_code == 303, answer.text
            yield client


class _Named(httpx.BaseTransport):
    """The TLS handshake asks for the name, as a browser does."""

    def __init__(self, inner: httpx.HTTPTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = NAME
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="huren-nginx-"))  # not pytest's, which another user may not enter
    folder.chmod(0o711)
    (folder / "nginx").mkdir()
    made = make_secrets(folder / "secrets", "--trial", NAME)
    assert "made proxy/certificate.pem" in made.stdout, made.stderr
    configuration = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    with topology(tmp_path_factory.mktemp("county"), postgres_server) as county:
        county.environment["HUREN_SECURE_COOKIES"] = "true"
        hashed = hash_password(PASSWORD)
        county.database.write(
            lambda s: s.execute(update(User).values(password_hash=hashed, must_change_password=False))
        )
        county.start("web")
        nginx = Nginx(folder / "nginx", configuration, {"web-a:8042": county.web_port, "web-b:8042": free_port()})
        nginx.show(folder / "secrets/proxy/certificate.pem", folder / "secrets/proxy/key.pem")
        assert "test is successful" in nginx.check()
        nginx.start()
        try:
            yield House(county, nginx)
        finally:
            assert nginx.stop() == 0
            shutil.rmtree(folder)


def test_people_sign_in_and_are_known_by_their_own_address(house: House) -> None:
    with house.client(Origin=house.address) as client:
        client.headers["X-Forwarded-For"] = "203.0.113.9"  # whoever guesses passwords would like to be somebody else
        answer = client.post("/sign-in", data={"login": "doc1", "password": "wrong", "csrf": "", "next": "/"})
        assert "登录名或密码错误" in answer.text  # and not: from another site
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    (row,) = house.county.world.rows(AuditRow, AuditRow.action == "sign-in failed")
    assert row.address == THEIR_ADDRESS
    with house.browser("doc1") as client:
        (cookie,) = [value for name, value in client.cookies.items() if name == "huren_session"]
        assert cookie
        assert client.get("/orders").status_code == 200
    with house.client(Origin="https://elsewhere.example") as client:
        answer = client.post("/sign-in", data={"login": "doc1", "password": PASSWORD, "csrf": "", "next": "/"})
        assert answer.status_code == 403


def test_long_bodies_arrive_and_too_long_ones_are_refused_in_our_words(house: House) -> None:
    image = discs.image(1, side=3000)  # 18 MB
    with house.program("tech1") as client:
        answer = client.post("/dicom-web/studies", content=body(image), headers={"Content-Type": TYPE})
        assert answer.status_code in (200, 202), answer.text
        (instance,) = house.county.world.rows(Instance)
        assert house.county.store.read(instance.store_key).endswith(image[-100_000:])
        answer = client.post("/api/orders", content=b" " * (LONGEST_BODY + 1))
        assert (answer.status_code, code_of(answer)) == (413, "body_too_large")


def test_what_came_of_a_slow_upload_is_with_us_before_it_ends(house: House) -> None:
    data = discs.image(2, side=2000)  # 8 MB
    with house.program("tech1") as client:
        upload = client.post("/api/uploads", json={"origin": "own equipment", "files": 1}).json()["id"]
        headers = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": metadata(filename="a", fingerprint="f")}
        place = client.post(f"/api/uploads/{upload}/partial-files", headers=headers).headers["Location"]
        head = {**PIECE, **client.headers, "Upload-Offset": "0", "Content-Length": str(len(data))}
        lines = [f"PATCH {httpx.URL(place).path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]

        def is_kept() -> bool:
            return int(client.head(place, headers=TUS).headers["Upload-Offset"]) >= ACKNOWLEDGED_AT

        raw = socket.create_connection((LOOPBACK, house.nginx.port), timeout=30)
        with house.trusting().wrap_socket(raw, server_hostname=NAME) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + data[: ACKNOWLEDGED_AT + 500_000])
            until(is_kept, "what was sent so far")
        assert is_kept()  # and the line broke


def test_news_come_at_once(house: House) -> None:
    heard: list[str] = []
    first = threading.Event()

    def listen() -> None:
        with house.browser("doc1") as client, client.stream("GET", "/live") as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    heard.append(line.removeprefix("event: "))
                    first.set()
                if heard.count("order") == 2:
                    return

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    assert first.wait(30), "the first news wait somewhere"
    until(lambda: "order" in heard, "what happened before")
    house.county.world.order(town="TS01")
    ear.join(30)
    assert heard.count("order") == 2


def test_what_is_for_supervisors_stays_inside(house: House) -> None:
    with house.client() as client:
        for path in ("/readyz", "/healthz"):
            assert client.get(path).status_code == 404
        assert "huren_" not in client.get("/metrics").text  # which asks who it is
    assert httpx.get(f"http://{LOOPBACK}:{house.county.web_port}/readyz").status_code == 200
    engine, *command = services()["proxy"]["healthcheck"]["test"]
    assert engine == "CMD"
    script = command[-1].replace("8080", str(house.nginx.health_port))
    assert subprocess.run([*command[:-1], script], check=False).returncode == 0
    script = command[-1].replace("8080", str(free_port()))
    assert subprocess.run([*command[:-1], script], check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_nothing_of_what_people_look_for_is_printed(house: House) -> None:
    with house.program("doc1") as client:
        client.get("/api/orders", params={"q": "张三丰"})
        client.get("/nowhere", params={"q": "张三丰"})
    assert "张三丰" not in house.nginx.output
    assert "%E5%BC%A0" not in house.nginx.output


def test_an_answer_of_nobody_says_so(house: House) -> None:
    """Both web processes away: the proxy's own 502, and again an answer when one is back."""
    ((_, web),) = [entry for entry in house.county.processes if entry[0] == "web"]
    assert json.loads(httpx.get(f"http://{LOOPBACK}:{house.county.web_port}/readyz").text)["ready"]
    web.stop()
    insecure = httpx.Client(verify=False, base_url=f"https://{LOOPBACK}:{house.nginx.port}", timeout=30)  # noqa: S501
    with insecure as client:
        assert client.get("/sign-in").status_code == 502
        house.county.start("web")
        until(lambda: client.get("/sign-in").status_code == 200, "the pages again")


def test_a_new_certificate_is_shown_after_a_reload(house: House) -> None:
    new = certificates.make(house.county.folder / "new", "renewed")
    old = ssl.get_server_certificate((LOOPBACK, house.nginx.port))
    with house.client() as client:
        assert client.get("/sign-in").status_code == 200
        house.nginx.show(new.certificate, new.key)
        house.nginx.reload()
        until(lambda: ssl.get_server_certificate((LOOPBACK, house.nginx.port)) == new.pem, "the new certificate")
    assert new.pem != old
