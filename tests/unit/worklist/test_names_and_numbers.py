"""Names in two writings, numbers that are ours, and whose number a number is."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from worklist.actions.configuration import uscc_is_valid
from worklist.actions.numbering import _is_uid
from worklist.actions.order_fields import scheduled
from worklist.actions.patients import contradicts, main_identifier, scoped
from worklist.errors import BadInput
from worklist.facts import Identifier, PatientFacts, PersonName, Sex
from worklist.numbers import _base34, new_control_id, new_study_uid
from worklist.rules.romanising import romanise
from worklist.tables import Institution, Patient, new_id


@pytest.mark.parametrize(
    ("name", "romanised"),
    [
        ("王小东", "Wang^XiaoDong"),
        ("王^小东", "Wang^XiaoDong"),
        ("欧阳修", "OuYang^Xiu"),
        ("单田芳", "Shan^TianFang"),  # read Shan as a surname
        ("曾国藩", "Zeng^GuoFan"),
        ("吕布", "Lv^Bu"),
        ("李", "Li"),
        ("Smith", ""),
        ("买买提·阿不都", ""),  # the middle dot is not Han: nothing is made up
        ("", ""),
    ],
)
def test_romanised_names(name: str, romanised: str) -> None:
    assert romanise(name).casefold() == romanised.casefold()


@pytest.mark.parametrize(
    ("identifier", "issuer"),
    [
        (Identifier("", "10001", "MR"), "TS01"),
        (Identifier("TS01", "10001", "MR"), "TS01"),
        (Identifier("HIS", "10001", "MR"), "TS01/HIS"),
        (Identifier("TS02", "10001", "MR"), "TS01/TS02"),  # TS02 is not spoken for: it is a name like any other
        (Identifier("TS03", "10001", "MR"), "TS03"),
        (Identifier("", "11010119600102001X", "NI"), "CN"),
        (Identifier("US", "P1", "PPN"), "CN/US"),
        (Identifier("TS02", "10001", "NI"), "CN/TS02"),  # never among the numbers of TS02
    ],
)
def test_an_identifier_is_filed_under_the_institution_that_may_say_so(identifier: Identifier, issuer: str) -> None:
    assert scoped(identifier, "TS01", ("TS01", "TS03")).issuer == issuer


def test_a_national_number_is_not_the_number_on_the_worklist() -> None:
    national, own = Identifier("CN", "1101", "NI"), Identifier("TS01", "7", "MR")
    assert main_identifier(PatientFacts((national, own))) == own
    with pytest.raises(BadInput, match="patient_identifier_missing"):
        main_identifier(PatientFacts((national,)))


@pytest.mark.parametrize(
    ("name", "sex", "birth_date", "somebody_else"),
    [
        ("王小东", "M", "19600102", False),
        ("王小冬", "M", "19600102", False),  # a slip of the pen
        ("王小东", "F", "19600102", False),
        ("李四", "F", "19600102", True),
        ("李四", "M", "19700101", True),
        ("李四", "", "", True),  # nothing says that it is the same person
        ("李四", "M", "", True),
        ("", "F", "19700101", False),
        ("王^小东", "F", "19700101", False),
    ],
)
def test_who_is_plainly_somebody_else(name: str, sex: Sex, birth_date: str, somebody_else: bool) -> None:
    known = Patient(name="王小东", name_alphabetic="", sex="M", birth_date="19600102")
    said = PatientFacts(name=PersonName(name), sex=sex, birth_date=birth_date)
    assert contradicts(known, said) is somebody_else


def test_base_34_counts_without_i_and_o_and_never_repeats() -> None:
    made = [_base34(n, 6) for n in range(34**2 + 1)]
    assert made[0] == "000000"
    assert made[34] == "000010"
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    assert not set("".join(made)) & set("IO")


def test_study_uids_are_valid_and_new() -> None:
    made = {new_study_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(_is_uid(uid) and len(uid) <= 44 for uid in made)


@pytest.mark.parametrize("uid", ["", "1", "1.", "1..2", "1.02", "1.2.x", "../../etc/x", "1." + "2" * 63, "1.２"])
def test_what_is_no_uid(uid: str) -> None:
    assert not _is_uid(uid)


def test_control_ids_fit_msh_10() -> None:
    made = {new_control_id() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[0-9A-F]{20}", control_id) for control_id in made)


def test_ids_are_opaque_and_grow_with_time() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(i) == 26 for i in made)
    times = [i[:9] for i in made]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("20260302093000", ("20260302", "093000")),
        ("202603020930", ("20260302", "093000")),
        ("20260302", ("20260302", "")),
        ("20260302013000+0000", ("20260302", "093000")),
        ("202603020930+0800", ("20260302", "093000")),
        ("20260301203000-0500", ("20260302", "093000")),
        ("20260302093000.123+0800", ("20260302", "093000")),
        ("2026", ("", "")),
        ("", ("", "")),
        ("tomorrow", ("", "")),
    ],
)
def test_a_scheduled_time_is_local_to_the_institution(stamp: str, expected: tuple[str, str]) -> None:
    township = Institution(code="TS01", timezone="Asia/Shanghai", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert scheduled(stamp, township) == expected


def test_the_check_digit_of_a_social_credit_code() -> None:
    assert uscc_is_valid("91350100M000100Y43")
    assert not uscc_is_valid("91350100M000100Y44")
    assert not uscc_is_valid("91350010M000100Y43")  # two digits changed places
    assert not uscc_is_valid("91350100M000100Y4")
    assert not uscc_is_valid("91350100I000100Y43")
