"""Chinese text in DICOM: golden bytes, pydicom's traps, and what may never happen to a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.dicom.charset import UNREADABLE, decode, encode, label, read_name, write_name
from worklist.errors import BadInput
from worklist.facts import PersonName

IR_58 = ("", "ISO 2022 IR 58")

# (text, character set, bytes), worked out from the code tables.
GOLDEN = [
    ("王小东", "GB18030", b"\xcd\xf5\xd0\xa1\xb6\xab"),
    ("王小东", "GBK", b"\xcd\xf5\xd0\xa1\xb6\xab"),
    ("王小东", "ISO 2022 IR 58", b"\x1b$)A\xcd\xf5\xd0\xa1\xb6\xab"),
    ("王小东", "UTF-8", b"\xe7\x8e\x8b\xe5\xb0\x8f\xe4\xb8\x9c"),
    ("镕堃", "GBK", b"\xe9F\x88\xd2"),
    ("镕堃", "GB18030", b"\xe9F\x88\xd2"),
    ("䶮", "GB18030", b"\xfe\x9f"),
    ("㛃", "GB18030", b"\x82\x30\xb7\x31"),
    ("𠮷", "GB18030", b"\x95\x34\xb2\x35"),
    ("䶮㛃", "UTF-8", b"\xe4\xb6\xae\xe3\x9b\x83"),
    ("阿卜杜拉·买买提", "ISO 2022 IR 58", b"\x1b$)A\xb0\xa2\xb2\xb7\xb6\xc5\xc0\xad\xa1\xa4\xc2\xf2\xc2\xf2\xcc\xe1"),
    ("CT 胸部\r\n平扫", "ISO 2022 IR 58", b"CT \x1b$)A\xd0\xd8\xb2\xbf\r\n\x1b$)A\xc6\xbd\xc9\xa8"),
    ("Müller", "ISO_IR 100", b"M\xfcller"),
    ("CHEST PA", "ASCII", b"CHEST PA"),
]


@pytest.mark.parametrize(("text", "target", "raw"), GOLDEN)
def test_golden_bytes_are_written_and_read(text: str, target: str, raw: bytes) -> None:
    assert encode(text, target) == raw
    assert decode(raw, label(target)) == text


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("䶮", "GBK"),
        ("㛃", "GBK"),
        ("镕", "ISO 2022 IR 58"),
        ("堃", "ISO 2022 IR 58"),
        ("昇", "ISO 2022 IR 58"),
        ("喆", "ISO 2022 IR 58"),
        ("王", "ISO_IR 100"),
        ("ü", "ASCII"),
        ("王", ""),
        ("\ud800", "UTF-8"),
        ("a\x1b$)Ab", "ISO 2022 IR 58"),
        ("a\0", "UTF-8"),
    ],
)
def test_what_the_target_cannot_carry_is_refused(text: str, target: str) -> None:
    with pytest.raises(BadInput) as refused:
        encode(text, target)
    assert refused.value.code == "unencodable_text"
    assert text not in str(refused.value)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown_character_set"):
        encode("a", "EBCDIC")


@pytest.mark.parametrize(
    ("target", "values"),
    [
        ("UTF-8", ("ISO_IR 192",)),
        ("ISO_IR 192", ("ISO_IR 192",)),
        ("GB18030", ("GB18030",)),
        ("GBK", ("GBK",)),
        ("ISO 2022 IR 58", ("", "ISO 2022 IR 58")),
        ("ISO_IR 100", ("ISO_IR 100",)),
        ("ASCII", ()),
        ("", ()),
    ],
)
def test_labels(target: str, values: tuple[str, ...]) -> None:
    assert label(target) == values


def test_every_gbk_character_comes_back() -> None:
    """GBK is read by its superset; no code point may differ."""
    for code in range(0x80, 0x10000):
        try:
            raw = chr(code).encode("gbk")
        except UnicodeEncodeError:
            continue
        assert decode(raw, ("GBK",)) == chr(code)


class TestMislabelled:
    """Devices that write GB bytes under ISO_IR 100 or no name (promises: the setting is per device)."""

    RAW = "张三丰".encode("gb18030")

    @pytest.mark.parametrize("specific", [(), ("",), ("ISO_IR 6",), ("ISO_IR 100",), ("ISO 2022 IR 100",)])
    def test_are_read_as_the_device_is_set(self, specific: tuple[str, ...]) -> None:
        assert decode(self.RAW, specific, "GB18030") == "张三丰"

    def test_are_taken_at_their_word_without_a_setting(self) -> None:
        assert decode(self.RAW, ("ISO_IR 100",)) == self.RAW.decode("latin-1")

    def test_show_that_they_are_unreadable_without_any_name(self) -> None:
        assert decode(self.RAW, ()) == UNREADABLE * 6

    def test_a_set_that_fits_wins_over_the_setting(self) -> None:
        assert decode("张三丰".encode(), ("ISO_IR 192",), "GB18030") == "张三丰"

    def test_the_setting_helps_where_the_named_set_does_not_fit(self) -> None:
        assert decode(self.RAW, ("ISO_IR 192",), "GB18030") == "张三丰"

    def test_utf8_under_latin_1(self) -> None:
        assert decode("䶮".encode(), ("ISO_IR 100",), "UTF-8") == "䶮"

    def test_a_name_cut_in_the_middle_of_a_character_keeps_its_beginning(self) -> None:
        assert decode("张三".encode()[:-1], ("ISO_IR 100",), "UTF-8") == "张" + UNREADABLE

    @pytest.mark.parametrize("specific", [("GB18030",), ("ISO_IR 100",), ()])
    def test_escapes_where_none_belong(self, specific: tuple[str, ...]) -> None:
        assert decode(b"\x1b$)A\xd5\xc5\xc8\xfd", specific, "GB18030") == "张三"

    @pytest.mark.parametrize("sloppy", ["GB2312", "ISO_IR 58", "iso 2022 ir 58", "ISO-2022-IR-58"])
    def test_sloppy_names_are_understood(self, sloppy: str) -> None:
        assert decode("张三".encode("gb2312"), (sloppy,)) == "张三"


class TestIso2022:
    def test_the_example_of_ps3_5_annex_k(self) -> None:
        raw = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
        assert read_name(raw, IR_58) == PersonName("张^小东", "Zhang^XiaoDong")

    def test_the_text_example_of_annex_k(self) -> None:
        first = "第一行文字。".encode("gb2312")
        second = "第二行文字。".encode("gb2312")
        raw = b"1.\x1b$)A" + first + b"\r\n2.\x1b$)A" + second + b"\r\n"
        assert decode(raw, IR_58) == "1.第一行文字。\r\n2.第二行文字。\r\n"

    def test_a_writer_that_escapes_once_for_the_whole_name(self) -> None:
        assert read_name(b"Li^Si=\x1b$)A\xc0\xee^\xcb\xc4", IR_58).ideographic == "李^四"

    def test_a_writer_that_forgets_the_escape(self) -> None:
        assert read_name(b"\xc0\xee^\xcb\xc4", IR_58).ideographic == "李^四"

    def test_gbk_beyond_gb2312_under_the_label_is_still_read(self) -> None:
        assert decode(b"\x1b$)A\xd6\xec\xe9F", IR_58) == "朱镕"

    def test_an_escape_without_a_label_names_itself(self) -> None:
        assert decode(b"\x1b$)A\xc0\xee", ("ISO_IR 100",)) == "李"

    @pytest.mark.parametrize(
        ("raw", "specific", "text"),
        [
            # PS3.5 annex H.3.1, H.3.2 and I.2, without the parts that ASCII carries
            (b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ("", "ISO 2022 IR 87"), "山田^太郎"),
            (b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B", ("", "ISO 2022 IR 87"), "やまだ^たろう"),
            (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", ("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            (b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", ("", "ISO 2022 IR 149"), "洪^吉洞"),
            (b"\x1b$(D0!\x1b(B", ("", "ISO 2022 IR 159"), "丂"),
            (b"Buc^J\xe9r\xf4me", ("ISO_IR 100",), "Buc^Jérôme"),
            (b"\xbb\xee\xda\xe1", ("ISO_IR 144",), "Люкс"),
        ],
    )
    def test_the_other_escapes(self, raw: bytes, specific: tuple[str, ...], text: str) -> None:
        assert decode(raw, specific, name=True) == text

    def test_a_second_byte_that_looks_like_a_delimiter_is_none(self) -> None:
        for character in "昞昡朶奮":  # GBK second bytes 5C, 5E among them
            raw = character.encode("gbk")
            assert decode(raw, ("GBK",)) == character
            assert read_name(raw + b"^A", ("GBK",)).ideographic == character + "^A"

    def test_a_bad_byte_does_not_swallow_the_delimiter(self) -> None:
        assert decode(b"\x1b$)A\xc0^\x1b$)A\xcb\xc4", IR_58, name=True) == UNREADABLE + "^四"


class TestNames:
    @pytest.mark.parametrize(
        ("raw", "name"),
        [
            ("Wang^XiaoDong=王^小东", PersonName("王^小东", "Wang^XiaoDong")),
            ("王小东", PersonName("王小东", "")),
            ("=王小东", PersonName("王小东", "")),
            ("王^小东^^", PersonName("王^小东", "")),
            ("Wang^XiaoDong", PersonName("", "Wang^XiaoDong")),
            ("Wang^XiaoDong==", PersonName("", "Wang^XiaoDong")),
            ("", PersonName()),
            ("  ", PersonName()),
        ],
    )
    def test_groups(self, raw: str, name: PersonName) -> None:
        assert read_name(raw.encode(), ("ISO_IR 192",)) == name

    @pytest.mark.parametrize(
        ("target", "raw"),
        [
            ("UTF-8", "Wang^XiaoDong=王^小东".encode()),
            ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
            ("GBK", "Wang^XiaoDong=王^小东".encode("gbk")),
            ("ISO 2022 IR 58", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"),
            ("ISO_IR 100", b"Wang^XiaoDong"),
            ("ASCII", b"Wang^XiaoDong"),
        ],
    )
    def test_are_written_as_far_as_the_device_can_show_them(self, target: str, raw: bytes) -> None:
        assert write_name(PersonName("王^小东", "Wang^XiaoDong"), target) == raw

    def test_a_name_that_would_be_lost_is_refused(self) -> None:
        with pytest.raises(BadInput, match="unencodable_text"):
            write_name(PersonName("王小东"), "ASCII")

    def test_a_rare_character_falls_back_on_pinyin_and_never_on_a_question_mark(self) -> None:
        assert write_name(PersonName("朱^镕", "Zhu^Rong"), "ISO 2022 IR 58") == b"Zhu^Rong"
        assert write_name(PersonName("王^䶮", "Wang^Yan"), "GBK") == b"Wang^Yan"

    @pytest.mark.parametrize("bad", ["王=东", "王\\东"])
    def test_a_separator_inside_a_name_is_refused(self, bad: str) -> None:
        with pytest.raises(BadInput, match="name_separator"):
            write_name(PersonName(bad), "UTF-8")


TARGETS = ["UTF-8", "GB18030", "GBK", "ISO 2022 IR 58", "ISO_IR 100", "ASCII"]


@given(st.text(max_size=40), st.sampled_from(TARGETS))
def test_what_is_written_is_read_back(text: str, target: str) -> None:
    try:
        raw = encode(text, target)
    except BadInput:
        return
    assert decode(raw, label(target)) == text
    assert b"?" not in raw or "?" in text


@given(
    st.binary(max_size=60),
    st.lists(st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "GBK", "ISO 2022 IR 58", "ISO 2022 IR 87", "x"])),
    st.sampled_from(["", *TARGETS]),
)
def test_reading_never_raises(raw: bytes, specific: list[str], assumed: str) -> None:
    assert isinstance(decode(raw, specific, assumed), str)
    read_name(raw, specific, assumed)


GROUPS = st.lists(st.text("王李朱䶮㛃镕堃𠮷小东·", min_size=1, max_size=4), min_size=1, max_size=3).map("^".join)


@given(GROUPS, st.sampled_from(["UTF-8", "GB18030", "GBK", "ISO 2022 IR 58"]))
def test_a_name_that_is_written_whole_is_read_back_and_any_other_comes_in_letters(name: str, target: str) -> None:
    said = PersonName(name, "Wang^Yan")
    raw = write_name(said, target)
    assert b"?" not in raw
    shown = read_name(raw, label(target))
    try:
        encode(name, target)
    except BadInput:
        assert shown == PersonName("", "Wang^Yan")
    else:
        assert shown == said


@given(GROUPS)
def test_ir_58_designates_again_after_each_delimiter(name: str) -> None:
    """PS3.5 6.1.2.5.3: `^`, `=` and the backslash end the reach of an escape."""
    common = "".join(c if c in "王李朱小东^" else "张" for c in name)
    raw = write_name(PersonName(common, "Zhang"), "ISO 2022 IR 58")
    pieces = raw.split(b"=")[1].split(b"^")
    assert len(pieces) == common.count("^") + 1
    assert all(piece.startswith(b"\x1b$)A") and piece.count(b"\x1b") == 1 for piece in pieces)
    # Each piece says by itself what it is, as several values in one element need it.
    assert [decode(piece, IR_58, name=True) for piece in pieces] == common.split("^")
    two = encode(common, "ISO 2022 IR 58") + b"\\" + encode(common, "ISO 2022 IR 58")
    assert decode(two, IR_58, name=True) == f"{common}\\{common}"
