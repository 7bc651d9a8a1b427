"""Where a call out of the house may lead, whatever a name says."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from gateway import outgoing
from gateway.outgoing import NOWHERE, Allowed, connect
from tests.peers.ports import LOOPBACK
from worklist.errors import Broken, TryLater


class _Names:
    """The name service: each look-up takes the next answer. What is dialled is kept, and nobody is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.asked = 0
        self.dialled: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)
        monkeypatch.setattr(outgoing, "_connect", self._dial)
        self._answers = answers

    def _answer(self, _host: str, port: int, **_more: Any) -> list[Any]:
        said = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        family = socket.AF_INET6 if ":" in said else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (said, port))]

    def _dial(self, addresses: list[tuple[int, Any]], _port: int, _deadline: float) -> socket.socket:
        self.dialled += [str(address) for _family, address in addresses]
        raise TryLater("peer_away")


@pytest.mark.parametrize(
    ("entries", "host", "leads_to", "code"),
    [
        ([], "hook.example", "10.1.2.3", "host_not_allowed"),
        (["hook.example"], "hook.example", "10.1.2.3", "peer_away"),
        (["hook.example"], "HOOK.example.", "10.1.2.3", "peer_away"),
        (["hook.example:443"], "hook.example", "10.1.2.3", "peer_away"),
        (["hook.example:444"], "hook.example", "10.1.2.3", "host_not_allowed"),
        (["hook.example"], "evil.hook.example", "10.1.2.3", "host_not_allowed"),
        (["10.1.0.0/16"], "any.example", "10.1.2.3", "peer_away"),
        (["10.1.0.0/16"], "any.example", "10.2.2.3", "host_not_allowed"),
        # A listed name does not open this machine, its link, or their disguises.
        (["hook.example"], "hook.example", "127.0.0.1", "address_not_allowed"),
        (["hook.example"], "hook.example", "169.254.169.254", "address_not_allowed"),
        (["hook.example"], "hook.example", "0.0.0.0", "address_not_allowed"),  # noqa: S104 - refused
        (["hook.example"], "hook.example", "::1", "address_not_allowed"),
        (["hook.example"], "hook.example", "fe80::1%eth0", "address_not_allowed"),
        (["hook.example"], "hook.example", "::ffff:127.0.0.1", "address_not_allowed"),
        (["hook.example", "127.0.0.0/8"], "hook.example", "127.0.0.1", "peer_away"),
        (["10.1.0.0/16"], "10.1.0.9", "10.1.0.9", "peer_away"),
        (["10.1.0.0/16"], "127.0.0.1", "127.0.0.1", "host_not_allowed"),
        (["10.1.0.0/16"], "2130706433", "127.0.0.1", "host_not_allowed"),  # 127.0.0.1 as one number
        (["127.0.0.1"], "127.0.0.1", "127.0.0.1", "peer_away"),
    ],
)
def test_where_a_call_may_lead(
    monkeypatch: pytest.MonkeyPatch, entries: list[str], host: str, leads_to: str, code: str
) -> None:
    names = _Names(monkeypatch, leads_to)
    with pytest.raises((Broken, TryLater)) as refused:
        connect(Allowed.read(entries), host, 443)
    assert refused.value.code == code
    assert bool(names.dialled) == (code == "peer_away")


def test_a_name_is_resolved_once_and_the_checked_address_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    names = _Names(monkeypatch, "10.1.2.3", "127.0.0.1")  # another answer a moment later
    with pytest.raises(TryLater):
        connect(Allowed.read(["hook.example"]), "hook.example", 443)
    assert names.asked == 1
    assert names.dialled == ["10.1.2.3"]


def test_nothing_is_allowed_where_nothing_is_listed() -> None:
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        for host in (LOOPBACK, "localhost"):
            with pytest.raises(Broken) as refused:
                connect(NOWHERE, host, port)
            assert refused.value.code == "host_not_allowed"
        connect(Allowed.read([LOOPBACK]), LOOPBACK, port).close()


@pytest.mark.parametrize("entry", ["", "a b", "host:0", "host:99999", "host:x", "10.1.0.1/16", "http://host", "*"])
def test_an_entry_that_is_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Allowed.read([entry])
