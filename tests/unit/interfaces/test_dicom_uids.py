"""UIDs and transfer syntaxes."""

from __future__ import annotations

import pytest

from interfaces.dicom.uids import IMPLEMENTATION_CLASS_UID, is_accepted_transfer_syntax, is_valid_uid, new_uid


@pytest.mark.parametrize("good", ["1.2.840.10008.1.2", "0.0", "2.25.1", "1." + "2" * 62, IMPLEMENTATION_CLASS_UID])
def test_valid(good: str) -> None:
    assert is_valid_uid(good)


@pytest.mark.parametrize(
    "bad", ["", "1", ".1", "1.", "1..2", "01.2", "1.02", "1.a", "1.2\n", "../../etc/x", "1.２", " 1.2", "1." + "2" * 63]
)
def test_invalid(bad: str) -> None:
    assert not is_valid_uid(bad)


def test_new_ones_are_valid_and_differ() -> None:
    made = {new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(is_valid_uid(uid) and uid.startswith("2.25.") for uid in made)


def test_jpip_and_smpte_are_refused() -> None:
    assert is_accepted_transfer_syntax("1.2.840.10008.1.2.1")
    assert not is_accepted_transfer_syntax("1.2.840.10008.1.2.4.94")
    assert not is_accepted_transfer_syntax("1.2.840.10008.1.2.7.1")
    assert not is_accepted_transfer_syntax("rubbish")
