"""Names in an archive that knows no issuers: never one for two patients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worklist.rules.archive_ids import LONGEST, archive_patient_id, place_in_orthanc

parts = st.text(alphabet=st.sampled_from("AB1^ \\é王"), max_size=5) | st.text(max_size=80)


@given(parts, parts, parts, parts)
def test_two_patients_never_share_a_name(issuer: str, value: str, other: str, number: str) -> None:
    one, two = archive_patient_id(issuer, value), archive_patient_id(other, number)
    assert (one == two) == ((issuer, value) == (other, number))
    assert len(one) <= LONGEST
    assert one.isascii()
    assert one == one.strip()
    assert "\\" not in one


def test_usual_numbers_can_be_read() -> None:
    assert archive_patient_id("TS01", "10001") == "TS01^10001"
    assert archive_patient_id("TS01", "1^0") == "TS01^1^0"
    assert len(archive_patient_id("TS^01", "1")) == len(archive_patient_id("", "1")) == 64
    assert len(archive_patient_id("卫生院", "1")) == 64


def test_the_place_is_as_orthanc_makes_it() -> None:
    """As Orthanc 1.10.1 answered for the first object of the tests' phantom."""
    known = "273dbef9-6220f34a-fe4bc114-8a4c88e4-f36d7e43"
    assert place_in_orthanc("TS01^P1", "1.2.3", "1.2.3.1", "1.2.3.1.1") == known
