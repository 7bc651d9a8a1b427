"""Reports out: other people's HL7 readers find in our ORU the words that were signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.hl7v2.escapes import FORBIDDEN, STANDARD, unescape
from interfaces.hl7v2.message import Message, parse
from interfaces.hl7v2.results import VERSIONS, write_report
from worklist.errors import BadInput, Broken
from worklist.facts import (
    Addressee,
    CoveredOrder,
    Identifier,
    Measurement,
    PatientFacts,
    PersonName,
    ReportStatus,
    ReportText,
    SignedReport,
)

NOW = datetime(2026, 11, 22, 2, 3, 4, tzinfo=UTC)
SAMPLES = Path(__file__).parent / "samples"

FINDINGS = "双肺纹理清晰|未见实变。\n\n心影 <5cm & \\正常\\ ^~"
REPORT = SignedReport(
    report_id="r1",
    version=1,
    status="final",
    center_name="县影像诊断中心",
    institution_code="T1",
    institution_name="沔城卫生院",
    patient=PatientFacts(
        identifiers=(Identifier("T1", "P0001", "MR"), Identifier("CN", "11010519491231002X", "NI")),
        name=PersonName("王^䶮㛃镕堃", "Wang^YanJieRongKun"),
        sex="F",
        birth_date="19800102",
    ),
    patient_id="P0001",
    patient_issuer="T1",
    orders=(
        CoveredOrder("o1", "HR0001", "PL-1", "", "CT01", "胸部CT", "李医生", "D7", "", "1.2.3"),
        CoveredOrder("o2", "HR0002", "PL-2", "PACS", "CT02", "腹部CT"),
    ),
    text=ReportText(FINDINGS, "未见异常 䶮", "气胸，压迫 30%"),
    writer="zhang",
    writer_name="张三",
    signer="li",
    signer_name="李四",
    signed_at=datetime(2026, 11, 22, 1, 59, 59, tzinfo=UTC),
    observed_at=datetime(2026, 11, 21, 17, 0, 0, tzinfo=UTC),
)


def to(version: str = "2.4", character_set: str = "UTF-8") -> Addressee:
    return Addressee("e1", "his", 2575, "HIS", "T1", character_set, version)


def write(report: SignedReport = REPORT, version: str = "2.4", character_set: str = "UTF-8") -> bytes:
    return write_report(report, to(version, character_set), control_id="M1", sent_at=NOW)


def words(message: Message) -> list[tuple[str, str]]:
    return [(obx.get(3), obx.text(5)) for obx in message.all("OBX")]


def test_the_golden_report() -> None:
    golden = (SAMPLES / "oru-final.hl7").read_bytes()
    assert write().replace(b"\r", b"\n").decode() == golden.decode()


STATUSES: list[tuple[ReportStatus, str, str, str]] = [
    ("preliminary", "IP", "P", "P"),
    ("final", "CM", "F", "F"),
    ("corrected", "CM", "C", "C"),
    ("addendum", "CM", "C", "C"),
    ("withdrawal", "CM", "C", "W"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("status", "orc5", "obr25", "obx11"), STATUSES)
def test_every_status_in_every_version_is_strictly_valid(
    version: str, status: ReportStatus, orc5: str, obr25: str, obx11: str
) -> None:
    raw = write(replace(REPORT, status=status, reason="左右写反"), version)
    assert raw.endswith(b"\r")
    parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    message = parse(raw)
    assert [(s.get(1), s.get(2), s.get(3), s.get(5)) for s in message.all("ORC")] == [
        ("RE", "PL-1", "HR0001", orc5),
        ("RE", "PL-2", "HR0002", orc5),
    ]
    assert [(s.get(1), s.get(2), s.get(3), s.get(4), s.get(25)) for s in message.all("OBR")] == [
        ("1", "PL-1", "HR0001", "CT01", obr25),
        ("2", "PL-2", "HR0002", "CT02", obr25),
    ]
    assert {s.get(11) for s in message.all("OBX")} == {obx11}
    assert [s.text(3) for s in message.all("NTE")] == ["左右写反"] * 2
    assert len(message.all("ZDS")) == 1
    assert message.only("ZDS").get(1) == "1.2.3"


def test_who_when_and_for_whom() -> None:
    message = parse(write())
    pid, obr, obx = message.only("PID"), message.all("OBR")[0], message.all("OBX")[2]
    assert [len(pid.repetitions(3)), pid.get(3), pid.get(3, 4), pid.get(3, 5)] == [1, "P0001", "T1", "MR"]
    assert [pid.get(5, n) for n in (1, 2, 8)] == ["王", "䶮㛃镕堃", "I"]
    assert [pid.repetitions(5)[1].get(n) for n in (1, 2, 8)] == ["Wang", "YanJieRongKun", "A"]
    assert [pid.get(7), pid.get(8)] == ["19800102", "F"]
    assert obr.get(7) == "20261122010000+0800"  # the institution's own night, not UTC's
    assert obr.get(22) == "20261122095959+0800"
    assert [obr.get(16), obr.get(16, 2)] == ["D7", "李医生"]
    assert [obr.get(32), obr.get(32, 1, 2), obr.get(33), obr.get(33, 1, 2)] == ["li", "李四", "zhang", "张三"]
    assert [obx.get(3), obx.get(8), obx.get(14)] == ["CRITICAL", "AA", "20261122095959+0800"]
    assert [s.get(8) for s in message.all("OBX")][:2] == ["", ""]


MEASURED = (
    Measurement("heart rate", 75, "/min", "device"),
    Measurement("QTc interval", 421, "ms", "reader", "Bazett"),
    Measurement("P axis", -12, "deg", "device"),
)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_numbers_of_an_ecg_are_coded_in_every_version(version: str) -> None:
    raw = write(replace(REPORT, measurements=MEASURED), version)
    parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    numbers = [obx for obx in parse(raw).all("OBX") if obx.get(2) == "NM"]
    assert [tuple(obx.raw(n) for n in (3, 5, 6, 11)) for obx in numbers[:3]] == [
        ("8867-4^Heart rate^LN", "75", "/min^^UCUM", "F"),
        ("8636-3^Q-T interval corrected^LN", "421", "ms^^UCUM", "F"),
        ("8626-4^P wave axis^LN", "-12", "deg^^UCUM", "F"),
    ]
    assert [obx.raw(17) for obx in numbers[:2]] == [
        "DEVICE^as the device measured^99HUREN",
        "READER^as the reader measured^99HUREN~122730^Bazett QTc Algorithm^DCM",
    ]
    assert len(numbers) == len(MEASURED) * len(REPORT.orders)
    assert [obx.get(1) for obx in parse(raw).all("OBX")][:6] == ["1", "2", "3", "4", "5", "6"]


def test_what_is_not_known_is_not_written() -> None:
    bare = replace(
        REPORT,
        patient=PatientFacts(name=PersonName("王小东")),
        observed_at=None,
        writer="li",
        text=ReportText(impression="正常"),
        orders=(CoveredOrder("o", "HR1", "", "", "", "胸片"),),
    )
    message = parse(write(bare))
    pid, obr = message.only("PID"), message.only("OBR")
    assert [pid.raw(3), pid.raw(5), pid.raw(7), pid.raw(8)] == ["P0001^^^T1", "王小东^^^^^^^I", "", ""]
    assert [obr.raw(2), obr.raw(4), obr.raw(7), obr.raw(16), obr.raw(33)] == ["", "^胸片", "", "", ""]
    assert words(message) == [("19005-8", "正常")]
    assert message.all("ZDS") == []


def test_a_withdrawal_without_words_names_what_it_withdraws() -> None:
    message = parse(write(replace(REPORT, status="withdrawal", text=ReportText(), orders=REPORT.orders[:1])))
    assert [(s.get(3), s.get(11)) for s in message.all("OBX")] == [("59776-5", "W"), ("19005-8", "W")]


@pytest.mark.parametrize(("character_set", "codec"), [("UTF-8", "utf-8"), ("GB18030", "gb18030")])
@pytest.mark.parametrize("version", VERSIONS)
def test_other_peoples_readers_find_the_same_words(version: str, character_set: str, codec: str) -> None:
    raw = write(version=version, character_set=character_set)
    expected = [
        ("59776-5", FINDINGS),
        ("19005-8", "未见异常 䶮"),
        ("CRITICAL", "气胸，压迫 30%"),
    ] * 2
    assert words(parse(raw)) == expected

    theirs = hl7.parse(raw.decode(codec))
    assert [(str(obx[3][0][0]), unescape(str(obx[5]), STANDARD, codec)) for obx in theirs.segments("OBX")] == (expected)
    assert str(theirs.segment("PID")[5][0][1]) == "䶮㛃镕堃"
    assert str(theirs.segment("MSH")[18]) in ("UNICODE UTF-8", "GB 18030-2000")
    assert theirs.unescape(str(theirs.segments("OBX")[1][5])) == "未见异常 䶮"

    tree = parse_message(raw.decode(codec), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    result = tree.oru_r01_response if version == "2.3" else tree.oru_r01_patient_result
    found = [
        (
            observation.obx.obx_3.obx_3_1.to_er7(),
            # hl7apy takes the backslashes of \\.br\\ for text and escapes them again.
            unescape(observation.obx.obx_5.to_er7().replace("\\E\\.br\\E\\", "\\.br\\"), STANDARD, codec),
        )
        for group in result.oru_r01_order_observation
        for observation in group.oru_r01_observation
    ]
    assert found == expected
    assert [len(groups) for groups in (result, result.oru_r01_patient)] == [1, 1]  # both orders, one patient


def test_the_endpoints_character_set_is_kept_or_the_report_refused() -> None:
    with pytest.raises(BadInput, match="unencodable_text"):
        write(character_set="GBK")
    assert "㛃".encode("gb18030") in write(character_set="GB18030")


def test_mistakes_of_configuration_are_for_a_person() -> None:
    with pytest.raises(Broken, match="version_unsupported"):
        write(version="2.9")
    for zone in ("Mars/Olympus", "../../etc/passwd", ""):
        with pytest.raises(Broken, match="timezone_unknown"):
            write(replace(REPORT, timezone=zone))


def test_structure_errors_surface_here() -> None:
    nobody = replace(REPORT, patient_id="", patient_issuer="", patient=PatientFacts())
    with pytest.raises(Broken, match="structure_invalid"):
        write(nobody)


def test_a_very_long_report_goes_out_whole() -> None:
    long = "未见异常。\n" * 20_000
    message = parse(write(replace(REPORT, text=ReportText(findings=long))))
    assert words(message)[0][1] == long.strip()


@settings(max_examples=25)
@given(st.text(min_size=1))
def test_any_words_come_back_the_same(text: str) -> None:
    text = FORBIDDEN.sub("", text).replace("\r", "").strip()
    report = replace(REPORT, text=ReportText(findings=text, impression="x"), orders=REPORT.orders[:1])
    found = dict(words(parse(write(report, character_set="GB18030"))))
    assert found.get("59776-5", "") == text
