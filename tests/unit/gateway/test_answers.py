"""No answer is lost to the thread of pynetdicom's client, however late that thread comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import

from gateway.dimse.answers import keep_answers


@pytest.fixture
def association(monkeypatch: pytest.MonkeyPatch) -> Iterator[Association]:
    """A client's association whose own thread is delayed after it looked whether it should pause."""
    monkeypatch.setattr(
        AE, "associate", getattr(AE.associate, "__wrapped__", AE.associate)
    )  # as it is without our help
    server = AE("SCP")
    server.add_supported_context(Verification)
    running = server.start_server(("127.0.0.1", 0), block=False)
    assert running is not None
    client = AE("SCU")
    client.add_requested_context(Verification)
    client.dimse_timeout = 1
    made = client.associate("127.0.0.1", running.server_address[1])
    assert made.is_established
    look, send = made._reactor_checkpoint.wait, made.dimse.send_msg

    def look_and_be_late(timeout: float | None = None) -> bool:
        seen = look(timeout)
        time.sleep(0.1)
        return seen

    def send_and_be_later(primitive: Any, context_id: int) -> None:
        send(primitive, context_id)
        time.sleep(0.3)

    monkeypatch.setattr(made._reactor_checkpoint, "wait", look_and_be_late)
    monkeypatch.setattr(made.dimse, "send_msg", send_and_be_later)
    time.sleep(0.05)  # the thread is late now
    yield made
    made.abort()
    running.shutdown()


def test_the_library_alone_loses_an_answer(association: Association) -> None:
    """When this fails, another version needs no `keep_answers`."""
    assert "Status" not in association.send_c_echo()


def test_no_answer_is_lost(association: Association) -> None:
    keep_answers(association)
    assert [association.send_c_echo().Status for _ in range(3)] == [0, 0, 0]


def test_the_thread_sees_requests_and_nothing_else(association: Association) -> None:
    keep_answers(association)
    association._reactor_checkpoint.clear()
    time.sleep(0.25)  # it is held
    assert association.dimse.get_msg() == (None, None)
    answer, request = C_ECHO(), C_ECHO()
    answer.MessageIDBeingRespondedTo = 1
    association.dimse.msg_queue.put((1, answer))
    association.dimse.msg_queue.put((1, request))
    assert association.dimse.get_msg() == (None, None)
    assert association.dimse.get_msg(block=True) == (1, answer)
    assert association.dimse.get_msg() == (1, request)
    association._reactor_checkpoint.set()
