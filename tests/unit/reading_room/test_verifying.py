"""What is typed as a verification code, and how much of a name is shown."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading_room.verifying import masked, offline, plain_code
from tests.sheets import CODE, REPORT
from worklist.documents import to_canonical
from worklist.facts import PersonName


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("7K3MX9QZ2ABC4DEF", CODE),
        (" 7k3m-x9qz-2abc-4def ", CODE),
        ("7K3M X9QZ 2ABC 4DEF", CODE),
        ("７Ｋ３Ｍ－Ｘ９ＱＺ－２ＡＢＣ－４ＤＥＦ", CODE),
        ("oil0-0000-0000-0000", "0110000000000000"),
        ("7K3MX9QZ2ABC4DE", ""),
        ("7K3MX9QZ2ABC4DEFG", ""),
        ("", ""),
        ("七" * 16, ""),
    ],
)
def test_a_code_as_people_type_it(typed: str, code: str) -> None:
    assert plain_code(typed) == code


@given(st.text())
def test_a_code_is_sixteen_plain_characters_or_none(typed: str) -> None:
    code = plain_code(typed)
    assert code == "" or (len(code) == 16 and code.isascii() and code.isalnum())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (PersonName("王^小东"), "王*东"),
        (PersonName("王东"), "王*"),
        (PersonName("欧阳小东"), "欧**东"),
        (PersonName("王"), "王*"),
        (PersonName("阿卜杜热西提·阿不都克里木"), "阿****木"),
        (PersonName("", "Wang^XiaoDong"), "W*** X***"),
        (PersonName(), ""),
    ],
)
def test_a_name_is_masked(name: PersonName, shown: str) -> None:
    assert masked(name) == shown


def test_a_canonical_document_without_a_signature_is_known_as_such() -> None:
    document = to_canonical(REPORT)
    assert offline([], document) == offline([], document[:-1]) == "unsigned"
    assert offline([], b'{"a":' * 3000) == "foreign"
    assert offline([], b"") == "foreign"


def test_a_strangers_json_is_not_parsed() -> None:
    hostile = b'{"format":"huren-report-1","a":[' + b"{}," * 3_000_000 + b"{}]}"
    tracemalloc.start()
    try:
        assert offline([], hostile) == "unsigned"
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
