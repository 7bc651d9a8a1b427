"""Numbers of identity documents: what they prove, what they say, and when two patients are one person."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from worklist.facts import Identifier, PersonName
from worklist.rules.identity import (
    Document,
    PersonKnown,
    check_digit,
    compare,
    document_of,
    forms,
    is_document,
    is_newborn_name,
    read,
    same_number,
)

TODAY = date(2026, 11, 22)


def card(region: str = "420106", born: str = "19600102", order: str = "001") -> str:
    """A citizen's number with its right check digit; an odd last digit of `order` is a man's."""
    first = f"{region}{born}{order}"
    return first + check_digit(first)


def ni(number: str) -> Document:
    return document_of(Identifier("CN", number, "NI"))


def test_the_check_digit_is_that_of_the_standard_s_own_example() -> None:
    assert check_digit("11010519491231002") == "X"  # GB 11643-1999, annex A
    assert check_digit("44052418800101001") == "4"


def test_a_number_says_birth_date_sex_and_region() -> None:
    said = read(ni(card()), TODAY)
    assert (said.flaw, said.checked, said.birth_date, said.sex, said.region) == ("", True, "19600102", "M", "420106")
    assert read(ni(card(order="002")), TODAY).sex == "F"


@pytest.mark.parametrize("place", range(18))
def test_any_single_wrong_character_is_seen(place: int) -> None:
    number = card()
    wrong = "0123456789"[(int(number[place].replace("X", "0")) + 1) % 10]
    changed = number[:place] + wrong + number[place + 1 :]
    assert read(ni(changed), TODAY).flaw


@pytest.mark.parametrize("place", range(17))
def test_two_neighbours_that_change_places_are_seen(place: int) -> None:
    number = card(order="017")
    one, other = number[place], number[place + 1]
    if one == other:
        number = card(order="293", born="19871225", region="421083")
        one, other = number[place], number[place + 1]
    changed = number[:place] + other + one + number[place + 2 :]
    assert one == other or read(ni(changed), TODAY).flaw


def test_what_is_wrong_is_told_apart() -> None:
    number = card()
    assert read(ni(number[:17] + ("1" if number[17] != "1" else "2")), TODAY).flaw == "check_digit"
    assert read(ni("12345"), TODAY).flaw == "shape"
    assert read(ni("４２０１０６" + number[6:]), TODAY).flaw == "shape", "digits of another script are no digits"
    assert read(ni(card(region="990106")), TODAY).flaw == "region"
    assert read(ni(card(born="19600230")), TODAY).flaw == "date"
    assert read(ni(card(born="20300101")), TODAY).flaw == "date"
    assert read(ni(card(born="18000101")), TODAY).flaw == "date"


def test_a_small_x_and_spaces_are_the_same_number() -> None:
    number = next(c for c in (card(order=f"{n:03}") for n in range(1, 99)) if c.endswith("X"))
    assert ni(f" {number[:6]} {number[6:14]} {number[14:].lower()}") == ni(number)


def test_an_old_number_of_fifteen_digits_is_the_same_person_s() -> None:
    long = card()
    short = long[:6] + long[8:17]
    said = read(ni(short), TODAY)
    assert (said.flaw, said.checked, said.birth_date, said.sex) == ("", False, "19600102", "M")
    assert same_number(ni(short), ni(long))
    assert set(forms(ni(short))) == set(forms(ni(long))) == {short, long}
    assert not same_number(ni(short), ni(card(born="20600102", order="001")))


def test_a_residence_permit_is_no_citizen_s_card() -> None:
    permit = card(region="810000")
    assert ni(permit).kind == "RP"
    assert read(ni(permit), TODAY).checked
    assert read(Document("RP", "CN", card()), TODAY).flaw == "region"


def test_permits_and_cards_of_foreigners_have_their_shapes() -> None:
    assert not read(Document("HMP", "CN", "H12345678"), TODAY).flaw
    assert not read(Document("HMP", "CN", "M1234567801"), TODAY).flaw
    assert read(Document("HMP", "CN", "A12345678"), TODAY).flaw == "shape"
    assert not read(Document("TWP", "CN", "12345678"), TODAY).flaw
    assert read(Document("TWP", "CN", "1234567"), TODAY).flaw == "shape"
    assert not read(Document("PRC", "CN", "USA110000123456"), TODAY).flaw
    assert read(Document("PRC", "CN", card(region="911100")), TODAY).checked
    assert read(Document("PRC", "CN", card(region="110000")), TODAY).flaw == "region"
    assert not read(Document("BC", "CN", "Q420123456"), TODAY).flaw


def test_a_passport_is_its_country_s() -> None:
    assert document_of(Identifier("CN/USA", "x12-345 678", "PPN")) == Document("PPN", "USA", "X12345678")
    american, german = Document("PPN", "USA", "X12345678"), Document("PPN", "DEU", "X12345678")
    assert not same_number(american, german)
    assert same_number(american, Document("PPN", "", "X12345678"))


def test_numbers_of_institutions_are_no_documents() -> None:
    assert not any(is_document(kind) for kind in ("", "MR", "PI", "VN", "TEMP"))
    assert all(is_document(kind) for kind in ("NI", "nnchn", "PPN", "MNI"))


def test_children_are_called_after_their_parents() -> None:
    assert all(is_newborn_name(name) for name in ("王芳之子", "李娜之女", "欧阳^娜娜之长女", "王芳之子1"))
    assert not any(is_newborn_name(name) for name in ("王之涣", "李子", "王芳"))


# --- two patients ----------------------------------------------------------------------------------------------

ONE = PersonKnown("1", PersonName("王小东"), "M", "19600102", "", False, (ni(card()),), frozenset({"TS01"}))
OTHER = replace(ONE, id="2", name=PersonName("王^小东"), institutions=frozenset({"TS02"}))


def test_only_full_agreement_is_certain() -> None:
    assert compare(ONE, OTHER, TODAY).verdict == "same"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": PersonName("王晓东")}, "name"),
        ({"birth_date": "19600103"}, "birth_date"),
        ({"sex": "F"}, "sex"),
    ],
)
def test_one_disagreement_makes_it_a_suggestion_with_the_reason(change: dict[str, object], why: str) -> None:
    likeness = compare(ONE, replace(OTHER, **change), TODAY)  # type: ignore[arg-type]
    assert likeness.verdict == "maybe"
    assert why in likeness.differ
    assert "document_NI" in likeness.agree


@pytest.mark.parametrize("field", ["sex", "birth_date"])
def test_what_one_side_does_not_know_is_no_agreement(field: str) -> None:
    assert compare(ONE, replace(OTHER, **{field: ""}), TODAY).verdict == "maybe"  # type: ignore[arg-type]


def test_birth_date_and_sex_must_agree_with_the_number_and_not_only_with_each_other() -> None:
    lent = [replace(person, birth_date="19900505") for person in (ONE, OTHER)]
    likeness = compare(lent[0], lent[1], TODAY)
    assert likeness.verdict == "maybe"
    assert "birth_date_of_number" in likeness.differ


def test_a_wrong_check_digit_links_nobody() -> None:
    number = card()
    wrong = ni(number[:17] + ("1" if number[17] != "1" else "2"))
    likeness = compare(replace(ONE, documents=(wrong,)), replace(OTHER, documents=(wrong,)), TODAY)
    assert likeness.verdict == "maybe", "name and birth date still suggest it"
    assert "flawed_NI" in likeness.differ
    assert "document_NI" not in likeness.agree
    strangers = replace(OTHER, documents=(wrong,), name=PersonName("李四"))
    assert compare(replace(ONE, documents=(wrong,)), strangers, TODAY).verdict == "no"


def test_an_old_number_has_no_check_digit_and_only_suggests() -> None:
    long = card()
    old = ni(long[:6] + long[8:17])
    assert compare(replace(ONE, documents=(old,)), replace(OTHER, documents=(old,)), TODAY).verdict == "maybe"


def test_a_mother_s_number_on_her_children_makes_them_nobody_s_twin() -> None:
    children = [
        replace(person, name=PersonName(name), birth_date="20260301", documents=(Document("MNI", "CN", card()),))
        for person, name in ((ONE, "王芳之子"), (OTHER, "王芳之女"))
    ]
    assert compare(children[0], children[1], TODAY).verdict == "no"
    noted_as_own = [replace(child, documents=(ni(card()),)) for child in children]
    assert compare(noted_as_own[0], noted_as_own[1], TODAY).verdict != "same"


def test_another_sound_number_speaks_against_an_equal_name_and_birth_date() -> None:
    namesake = replace(OTHER, documents=(ni(card(order="003")),))
    assert compare(ONE, namesake, TODAY).verdict == "no"
    assert "document_NI" in compare(ONE, namesake, TODAY).differ


def test_two_numbers_on_one_patient_are_not_certain() -> None:
    assert compare(replace(ONE, documents=(*ONE.documents, ni(card(order="003")))), OTHER, TODAY).verdict == "maybe"


def test_a_name_in_letters_only_is_never_certain() -> None:
    letters = [replace(person, name=PersonName("", "Wang^XiaoDong")) for person in (ONE, OTHER)]
    assert compare(letters[0], letters[1], TODAY).verdict == "maybe"


def test_an_alias_is_nobody() -> None:
    assert compare(replace(ONE, is_alias=True), OTHER, TODAY).verdict == "no"


def test_a_telephone_number_and_a_name_suggest_only_where_nothing_contradicts() -> None:
    bare = replace(ONE, documents=(), birth_date="", phone="13800000000")
    assert compare(bare, replace(bare, id="2"), TODAY).verdict == "maybe"
    assert compare(bare, replace(bare, id="2", sex="F"), TODAY).verdict == "no"
