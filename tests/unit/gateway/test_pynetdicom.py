"""What our reactor uses of pynetdicom beyond its documented interface: another version may lack it."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path

from pynetdicom import AE, fsm
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AddressInformation, AssociationSocket


def test_the_version_is_the_one_that_was_read() -> None:
    """Another one wants this module read again, and the door tried with and without `dimse_stock`."""
    assert version("pynetdicom") == "3.0.4"
    pinned = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")
    assert "pynetdicom==3.0.4" in pinned


def test_an_association_has_what_we_replace() -> None:
    association = Association(AE("X"), "acceptor")
    for name in ("_kill", "_dul_ready", "_accepted_cx", "_sent_abort", "_server"):
        assert hasattr(association, name), name
    for name in ("_run_reactor", "run_reactor", "_serve_request", "kill", "abort", "set_socket"):
        assert callable(getattr(Association, name)), name
    assert list(inspect.signature(Association._serve_request).parameters) == ["self", "msg", "context_id"]
    assert list(inspect.signature(Association.__init__).parameters) == ["self", "ae", "mode"]
    assert "self._run_reactor()" in inspect.getsource(Association.run_reactor)


def test_the_provider_has_what_we_replace() -> None:
    provider = Association(AE("X"), "acceptor").dul
    for name in (
        "event_queue",
        "to_provider_queue",
        "to_user_queue",
        "_recv_pdu",
        "_idle_timer",
        "artim_timer",
        "state_machine",
        "_kill_thread",
        "socket",
    ):
        assert hasattr(provider, name), name
    assert provider.state_machine.current_state == "Sta1"
    for method in ("run_reactor", "_process_recv_primitive", "_decode_pdu", "_send", "kill_dul", "stop_dul"):
        assert callable(getattr(DULServiceProvider, method)), method


def test_the_message_layer_has_what_we_use() -> None:
    provider = Association(AE("X"), "acceptor").dimse
    assert provider.msg_queue.empty()
    assert provider.cancel_req == {}
    assert list(inspect.signature(DIMSEServiceProvider.receive_primitive).parameters) == ["self", "primitive"]


def test_the_transport_has_what_we_use() -> None:
    assert isinstance(inspect.getattr_static(AssociationSocket, "ready"), property)
    assert AddressInformation.from_tuple(("127.0.0.1", 1)).as_tuple == ("127.0.0.1", 1)


def test_states_and_events_mean_what_the_standard_says() -> None:
    """PS3.8 tables 9-1 to 9-10: in data transfer, what is no PDU aborts, and a lost connection ends all."""
    assert fsm.TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"
    assert fsm.TRANSITION_TABLE["Evt17", "Sta6"] == "AA-4"
    assert fsm.TRANSITION_TABLE["Evt10", "Sta6"] == "DT-2"
    assert fsm.TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"
    assert fsm.TRANSITION_TABLE["Evt18", "Sta13"] == "AA-2"
