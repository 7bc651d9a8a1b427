"""A device's addresses, as the admin types them and sees them again."""

from __future__ import annotations

import pytest

from reading_room.pages.configuration import _address, _place
from worklist.errors import BadInput


@pytest.mark.parametrize(
    ("line", "address", "port", "claimed"),
    [
        ("dimse 10.0.0.5 CT1", "10.0.0.5", None, "CT1"),
        ("dimse 10.0.0.5:104 CT1", "10.0.0.5", 104, "CT1"),
        ("DIMSE [fd00::5]:104 WS 1", "fd00::5", 104, "WS 1"),
        ("dimse fd00::5 CT1", "fd00::5", None, "CT1"),
        ("mllp 10.0.0.6 HIS|TS01", "10.0.0.6", None, "HIS|TS01"),
    ],
)
def test_a_line_says_door_address_port_and_name(line: str, address: str, port: int | None, claimed: str) -> None:
    read = _address(line)
    assert (read["address"], read["port"], read["claimed"]) == (address, port, claimed)
    assert _address(f"{read['door']} {_place(read)} {read['claimed']}") == read


def test_a_line_without_a_name_is_refused() -> None:
    with pytest.raises(BadInput):
        _address("dimse 10.0.0.5:104")
