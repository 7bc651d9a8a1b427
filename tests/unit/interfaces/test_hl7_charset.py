"""Character sets of HL7 v2: names, mislabelled bytes, what cannot be carried."""

from __future__ import annotations

import pytest

from interfaces.hl7v2 import charset
from worklist.errors import BadInput

NAMES = "王䶮㛃镕堃"


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("utf-8", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GB18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GBK", "gb18030"),
        ("GB2312", "gb18030"),
        ("CP936", "gb18030"),
        ("ASCII", "ascii"),
        ("8859/1", "iso8859_1"),
        ("8859/15", "iso8859_15"),
        ("ISO-8859-1", "iso8859_1"),
    ],
)
def test_a_name_means_one_character_set_however_it_is_punctuated(name: str, reader: str) -> None:
    assert charset.find(name).reader == reader


@pytest.mark.parametrize("name", ["ISO IR87", "ISO IR159", "BIG-5", "KS X 1001", "UNICODE UTF-16", "?", "~"])
def test_an_unsupported_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        charset.find(name)
    assert refusal.value.code == "character_set_unsupported"
    assert refusal.value.params == {"character_set": name}


def test_a_hostile_name_does_not_reach_the_log_whole() -> None:
    with pytest.raises(BadInput) as refusal:
        charset.find("X\x1b[31m" + "王小东" * 1000)
    assert refusal.value.params == {"character_set": "X[31m"}


@pytest.mark.parametrize("named", ["GB2312", "GBK", "GB 18030-2000"])
def test_senders_who_name_a_subset_are_read_in_the_superset(named: str) -> None:
    assert charset.decode(NAMES.encode("gb18030"), named, "UTF-8") == (NAMES, charset.find(named), False)


def test_without_a_name_the_senders_own_character_set_is_used() -> None:
    assert charset.decode(NAMES.encode("gb18030"), "", "GB18030")[0] == NAMES
    with pytest.raises(BadInput) as refusal:
        charset.decode(NAMES.encode("gb18030"), "", "UTF-8")
    assert refusal.value.code == "undecodable_text"
    assert refusal.value.params == {"character_set": "UNICODE UTF-8"}


@pytest.mark.parametrize(
    ("named", "default", "really"),
    [
        ("UNICODE UTF-8", "GB18030", "gb18030"),
        ("GB 18030-2000", "UTF-8", "utf-8"),
        ("ASCII", "GB18030", "gb18030"),
        ("8859/1", "GB18030", "gb18030"),
        ("8859/1", "UTF-8", "utf-8"),
    ],
)
def test_mislabelled_bytes_are_recovered_by_the_senders_record_and_marked(
    named: str, default: str, really: str
) -> None:
    text, used, mislabelled = charset.decode("王\r".encode(really), named, default)
    assert (text, used.reader, mislabelled) == ("王\r", really, True)


def test_real_latin_1_stays_latin_1() -> None:
    assert charset.decode("Jos\u00e9|".encode("latin-1"), "8859/1", "UTF-8")[::2] == ("José|", False)


@pytest.mark.parametrize("name", ["UTF-8", "GB18030"])
def test_rare_characters_go_out_whole(name: str) -> None:
    text = NAMES + "𠮷㐂"
    assert charset.encode(text, name).decode(charset.find(name).reader) == text


@pytest.mark.parametrize(("name", "text"), [("GBK", "王㛃"), ("GB2312", "镕"), ("ASCII", "王"), ("8859/1", "王")])
def test_what_a_character_set_lacks_is_refused_and_never_a_question_mark(name: str, text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        charset.encode(text, name)
    assert refusal.value.code == "unencodable_text"
    assert refusal.value.params["code_point"] == f"U+{ord(text[-1]):04X}"
