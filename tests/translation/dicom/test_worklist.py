"""Modality Worklist: queries in, answers out, down to the bytes on the wire."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as pynetdicom_decode
from pynetdicom.dsutils import encode as pynetdicom_encode

from interfaces.dicom.charset import decode, label
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.fields import Fields
from interfaces.dicom.worklist import asked_keys, read_worklist_query, write_worklist_item
from tests.translation.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT, element, sequence
from worklist.errors import BadInput
from worklist.facts import PatientFacts, PersonName, WorklistItem, WorklistQuery

ITEM = WorklistItem(
    order_id="7",
    accession_number="HR0000000001",
    requested_procedure_id="HR0000000001",
    scheduled_step_id="HR00000000011",
    study_instance_uid="1.2.3",
    patient=PatientFacts(name=PersonName("王^小东", "Wang^XiaoDong"), sex="M", birth_date="19800101"),
    patient_id="P1",
    issuer="TOWN1",
    modality="CT",
    station_ae="CT1",
    scheduled_date="20261122",
    scheduled_time="0815",
    procedure_code="CT-HEAD",
    procedure_name="颅脑平扫",
    priority="URGENT",
    clinical_information="头痛\n三天",
    ordering_doctor="李四",
    institution_name="青山镇卫生院",
    placer_number="P-88",
    visit_number="V1",
)

# The keys that a plain modality asks for, as it sends them: everything empty.
KEYS = [
    *(0x00080005, 0x00080050, 0x00080080, 0x00080090, 0x00081110, 0x00081120),
    *(0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101030, 0x001021B0),
    *(0x0020000D, 0x00321032, 0x00321060, 0x00380010, 0x00401001, 0x00401003, 0x00402016),
]
VRS = {0x00080005: "CS", 0x00081110: "SQ", 0x00081120: "SQ", 0x0020000D: "UI", 0x00100010: "PN"}


def asked(step: bytes = b"", syntax: str = IMPLICIT, **keys: bytes) -> Dataset:
    """An identifier with all of KEYS, `step` as the item of the step sequence."""
    values = {int(name[1:], 16): value for name, value in keys.items()}
    tags = sorted({*KEYS, *values})
    top = [element(tag, VRS.get(tag, "LO"), values.get(tag, b""), syntax) for tag in tags]
    codes = sequence(0x00321064, element(0x00080100, "SH", b"", syntax), syntax=syntax)
    return read_dataset(b"".join(top) + codes + sequence(0x00400100, step, syntax=syntax), syntax)


def step(**keys: bytes) -> bytes:
    values = {int(name[1:], 16): value for name, value in keys.items()}
    return b"".join(element(tag, "CS", value, IMPLICIT) for tag, value in sorted(values.items()))


class TestQuery:
    def test_empty_keys_match_all(self) -> None:
        assert read_worklist_query(asked()) == WorklistQuery()
        assert read_worklist_query(Dataset()) == WorklistQuery()
        stars = asked(step(t00400002=b"*", t00080060=b"*"), t00100020=b"*", t00100010=b"*^*")
        assert read_worklist_query(stars) == WorklistQuery()

    def test_every_key(self) -> None:
        identifier = asked(
            step(
                t00080060=b"CT",
                t00400001=b" CT1 ",
                t00400002=b"20261121-20261122",
                t00400003=b"080000-",
                t00400006=b"Li*",
                t00400009=b"S1",
            ),
            t00080005=b"GB18030",
            t00080050=b"A1",
            t00100010="王*".encode("gb18030"),
            t00100020=b"P?",
            t00100021=b"TOWN1",
            t0020000D=b"1.2.3",
            t00401001=b"R1",
        )
        assert read_worklist_query(identifier) == WorklistQuery(
            patient_name="王*",
            patient_id="P?",
            issuer="TOWN1",
            accession_number="A1",
            requested_procedure_id="R1",
            scheduled_step_id="S1",
            study_instance_uid="1.2.3",
            modality="CT",
            station_ae="CT1",
            performing_physician="Li*",
            date_from="20261121",
            date_to="20261122",
            time_from="080000",
        )

    @pytest.mark.parametrize(
        ("written", "ends"),
        [
            (b"20261122", ("20261122", "20261122")),
            (b"20261122-", ("20261122", "")),
            (b"-20261122", ("", "20261122")),
            (b"2026.11.22", ("20261122", "20261122")),
            (b"", ("", "")),
        ],
    )
    def test_dates(self, written: bytes, ends: tuple[str, str]) -> None:
        query = read_worklist_query(asked(step(t00400002=written)))
        assert (query.date_from, query.date_to) == ends

    @pytest.mark.parametrize("bad", [b"yesterday", b"20260230", b"-", b"202611", b"20261122-x", b"2026112"])
    def test_malformed_dates_are_refused(self, bad: bytes) -> None:
        with pytest.raises(BadInput, match="bad_date") as refused:
            read_worklist_query(asked(step(t00400002=bad)))
        assert refused.value.params["tag"] == "00400002"

    @pytest.mark.parametrize("bad", [b"2500", b"8", b"0860", b"-", b"12:61"])
    def test_malformed_times_are_refused(self, bad: bytes) -> None:
        with pytest.raises(BadInput, match="bad_time"):
            read_worklist_query(asked(step(t00400003=bad)))

    @pytest.mark.parametrize("good", [b"08", b"0815", b"081530", b"081530.123456", b"08:15:30"])
    def test_times(self, good: bytes) -> None:
        query = read_worklist_query(asked(step(t00400003=good)))
        assert query.time_from == query.time_to == good.decode().replace(":", "")

    def test_a_mislabelled_name_is_read_as_the_device_is_set(self) -> None:
        identifier = asked(t00100010="王小东".encode("gbk"))
        assert read_worklist_query(identifier, assumed_character_set="GBK").patient_name == "王小东"

    def test_a_data_set_that_a_program_made(self) -> None:
        made = Dataset()
        made.PatientName = "王小东"
        made.PatientID = "P1"
        made.ScheduledProcedureStepSequence = [Dataset()]
        made.ScheduledProcedureStepSequence[0].Modality = "CT"
        query = read_worklist_query(made)
        assert (query.patient_name, query.patient_id, query.modality) == ("王小东", "P1", "CT")

    def test_pynetdicom_s_own_reading_gives_the_same(self) -> None:
        raw = element(0x00100020, "LO", b"P1") + sequence(0x00400100, element(0x00080060, "CS", b"CT"))
        query = read_worklist_query(pynetdicom_decode(io.BytesIO(raw), False, True))
        assert (query.patient_id, query.modality) == ("P1", "CT")


@given(st.data(), st.sampled_from([IMPLICIT, EXPLICIT]))
def test_broken_identifiers_are_read_and_answered_or_refused(data: st.DataObject, syntax: str) -> None:
    key = element(0x00400002, "DA", b"20261122", syntax)
    raw = bytearray(element(0x00100010, "PN", b"A*", syntax) + sequence(0x00400100, key, syntax=syntax))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        identifier = read_dataset(bytes(raw), syntax)
        read_worklist_query(identifier)
        sent = wire(ITEM, identifier, "GB18030")
    except BadInput:
        return
    assert Fields(read_dataset(sent, EXPLICIT)).text(0x00100020) == "P1"


def wire(
    item: WorklistItem, requested: Dataset, character_set: str, syntax: str = EXPLICIT, extras: Sequence[str] = ()
) -> bytes:
    """The answer as it goes out."""
    asked_for = asked_keys(requested, extras)
    return write_worklist_item(item, asked_for, character_set=character_set, transfer_syntax=syntax)[0]


def values(raw: bytes, syntax: str = EXPLICIT) -> Fields:
    return Fields(read_dataset(raw, syntax))


class TestAnswer:
    @pytest.mark.parametrize(
        ("character_set", "label", "name"),
        [
            ("UTF-8", b"ISO_IR 192", "Wang^XiaoDong=王^小东".encode()),
            ("GB18030", b"GB18030 ", "Wang^XiaoDong=王^小东".encode("gb18030")),
            ("GBK", b"GBK ", "Wang^XiaoDong=王^小东".encode("gb18030")),
            ("ISO 2022 IR 58", b"\\ISO 2022 IR 58", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"),
            ("ISO_IR 100", b"ISO_IR 100", b"Wang^XiaoDong "),
        ],
    )
    @pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
    def test_the_bytes_on_the_wire(self, character_set: str, label: bytes, name: bytes, syntax: str) -> None:
        raw = wire(ITEM, asked(), character_set, syntax)
        assert element(0x00080005, "CS", label.strip(), syntax) in raw
        assert element(0x00100010, "PN", name.strip(), syntax) in raw

    def test_gbk_bytes_that_look_like_separators_survive(self) -> None:
        """The second byte of 昞 is a backslash in GBK: pydicom would part the value in two."""
        item = replace(ITEM, patient=PatientFacts(name=PersonName("王昞")), procedure_name="昞")
        assert "昞".encode("gbk")[1:] == b"\\"
        for character_set in ("GBK", "GB18030"):
            raw = wire(item, asked(), character_set)
            assert element(0x00100010, "PN", "=王昞".encode("gbk")) in raw
            assert element(0x00321060, "LO", "昞".encode("gbk")) in raw

    @pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
    def test_every_requested_key_comes_back(self, syntax: str) -> None:
        requested = asked(step(t00400006=b"", t00400010=b"", t00400011=b"", t00400012=b"", t00400008=b""))
        found = values(wire(ITEM, requested, "UTF-8", syntax), syntax)
        assert {int(tag) for tag in found.dataset.keys()} >= {*KEYS, 0x00321064}  # noqa: SIM118
        back = next(found.items(0x00400100)).dataset
        wanted = {0x00400006, 0x00400010, 0x00400011, 0x00400012, 0x00400008}
        assert {int(tag) for tag in back.keys()} >= wanted | {0x00080060, 0x00400001}  # noqa: SIM118
        assert found.text(0x00101030) == ""
        assert list(found.items(0x00081110)) == []

    def test_values(self) -> None:
        requested = asked(step(t00400008=b"", t00400007=b""))
        found = values(wire(ITEM, requested, "UTF-8"))
        assert found.text(0x00080050) == "HR0000000001"
        assert found.name(0x00100010) == ITEM.patient.name
        assert (found.text(0x00100020), found.text(0x00100021)) == ("P1", "TOWN1")
        assert (found.plain(0x00100030), found.plain(0x00100040)) == ("19800101", "M")
        assert found.plain(0x0020000D) == "1.2.3"
        assert found.text(0x00321060) == "颅脑平扫"
        assert found.name(0x00080090) == PersonName("李四")
        assert found.text(0x001021B0) == "头痛\r\n三天"
        assert found.plain(0x00401003) == "HIGH"
        assert (found.text(0x00402016), found.text(0x00380010)) == ("P-88", "V1")
        code = next(found.items(0x00321064))
        assert (code.text(0x00080100), code.text(0x00080104)) == ("CT-HEAD", "颅脑平扫")
        back = next(found.items(0x00400100))
        assert (back.plain(0x00080060), back.plain(0x00400001)) == ("CT", "CT1")
        assert (back.plain(0x00400002), back.plain(0x00400003)) == ("20261122", "0815")
        assert back.text(0x00400009) == "HR00000000011"
        assert back.text(0x00400007) == "颅脑平扫"

    def test_what_a_device_must_have_comes_unasked(self) -> None:
        found = values(wire(ITEM, Dataset(), "GB18030"))
        for tag in (0x00080005, 0x00080050, 0x00100010, 0x00100020, 0x0020000D, 0x00401001):
            assert found.text(tag), f"{tag:08X}"
        back = next(found.items(0x00400100))
        for tag in (0x00080060, 0x00400001, 0x00400002, 0x00400003, 0x00400009):
            assert back.text(tag), f"{tag:08X}"

    def test_an_ascii_device_gets_pinyin_and_codes(self) -> None:
        found = values(wire(ITEM, asked(), "ASCII"))
        assert 0x00080005 not in found.dataset
        assert found.name(0x00100010) == PersonName("", "Wang^XiaoDong")
        assert found.text(0x00321060) == "CT-HEAD"
        assert found.text(0x00080080) == ""

    @pytest.mark.parametrize(
        ("name", "character_set", "shown", "trouble"),
        [
            (PersonName("王小东"), "ASCII", "ORDER^HR0000000001", "worklist_name_as_number"),
            (PersonName("王小东"), "ISO_IR 100", "ORDER^HR0000000001", "worklist_name_as_number"),
            (PersonName("王小东", "Wang^XiaoDong"), "ASCII", "Wang^XiaoDong", ""),
            (PersonName("朱^镕", "Zhu^Rong"), "ISO 2022 IR 58", "Zhu^Rong", "worklist_name_in_letters"),
            (PersonName("朱^镕"), "ISO 2022 IR 58", "ORDER^HR0000000001", "worklist_name_as_number"),
            (PersonName("王^䶮", "Wang^Yan"), "GBK", "Wang^Yan", "worklist_name_in_letters"),
            (PersonName("王^㛃", "Wang^Jie"), "GBK", "Wang^Jie", "worklist_name_in_letters"),
            (PersonName("王^𠮷"), "GBK", "ORDER^HR0000000001", "worklist_name_as_number"),
            (PersonName("王=东", "Wang^Dong"), "UTF-8", "Wang^Dong", "worklist_name_in_letters"),
            (PersonName("王^堃"), "GBK", "=王^堃", ""),
            (PersonName("王^䶮㛃𠮷"), "GB18030", "=王^䶮㛃𠮷", ""),
            (PersonName("王^䶮㛃𠮷"), "UTF-8", "=王^䶮㛃𠮷", ""),
            (PersonName(), "GB18030", "", ""),
        ],
    )
    def test_a_name_is_told_as_it_is_or_in_letters_or_as_the_order_s_number(
        self, name: PersonName, character_set: str, shown: str, trouble: str
    ) -> None:
        item = replace(ITEM, patient=PatientFacts(name=name))
        raw, why = write_worklist_item(item, asked_keys(asked()), character_set=character_set, transfer_syntax=EXPLICIT)
        name_as_sent = values(raw).raw(0x00100010)
        assert decode(name_as_sent, label(character_set), name=True).strip() == shown
        assert b"?" not in raw
        assert why == trouble

    @pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
    def test_pynetdicom_writes_the_same_bytes(self, syntax: str) -> None:
        raw = wire(ITEM, asked(step(t00400008=b"", t00400007=b"")), "ASCII", syntax)
        again = pynetdicom_encode(read_dataset(raw, syntax), syntax == IMPLICIT, syntax != BIG_ENDIAN)
        assert again == raw

    def test_what_a_device_insists_on_comes_unasked_and_with_its_value(self) -> None:
        extras = ("00100030", "00102160", "00400100.00400007", "00400100.00400008", "00321064")
        found = values(wire(ITEM, Dataset(), "GB18030", extras=extras))
        assert found.plain(0x00100030) == "19800101"
        assert 0x00102160 in found.dataset  # we do not know it: empty
        assert found.text(0x00102160) == ""
        assert next(found.items(0x00321064)).text(0x00080100) == "CT-HEAD"
        back = next(found.items(0x00400100))
        assert back.text(0x00400007) == "颅脑平扫"
        assert next(back.items(0x00400008)).text(0x00080104) == "颅脑平扫"
        assert 0x00400007 not in found.dataset

    def test_descriptions_are_cut_and_numbers_are_not(self) -> None:
        item = replace(ITEM, procedure_name="颅" * 80, placer_number="9" * 70)
        found = values(wire(item, asked(), "UTF-8"))
        assert found.text(0x00321060) == "颅" * 64
        assert found.text(0x00402016) == ""
        for field, longest in (("accession_number", 16), ("scheduled_step_id", 16), ("patient_id", 64)):
            changed: dict[str, Any] = {field: "9" * (longest + 1)}
            with pytest.raises(BadInput, match="value_too_long"):
                wire(replace(ITEM, **changed), asked(), "UTF-8")

    def test_nothing_is_invented(self) -> None:
        item = replace(ITEM, patient=PatientFacts(name=PersonName("无名氏")), priority="ROUTINE", reason="")
        found = values(wire(item, asked(), "UTF-8"))
        assert (found.plain(0x00100030), found.plain(0x00100040)) == ("", "")
        assert found.name(0x00100010) == PersonName("无名氏")

    def test_private_keys_come_back_empty(self) -> None:
        requested = read_dataset(element(0x00090010, "LO", b"X") + element(0x00091001, "LO", b"y"), EXPLICIT)
        found = values(wire(ITEM, requested, "UTF-8"))
        assert found.text(0x00091001) == ""
        assert 0x00091001 in found.dataset
