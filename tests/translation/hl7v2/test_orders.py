"""Orders and patients: what messages say, in every variant that senders write."""

from __future__ import annotations

from pathlib import Path

import pytest

from interfaces.hl7v2.message import parse
from interfaces.hl7v2.orders import read_order_message
from interfaces.hl7v2.patients import read_patient_messages
from worklist.errors import BadInput
from worklist.facts import (
    Identifier,
    OrderMessage,
    OrderRequest,
    PatientFacts,
    PatientMessage,
    PersonName,
    StepSaid,
    VisitSaid,
)

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> bytes:
    """A golden message: kept with LF for reading, sent with CR."""
    return (SAMPLES / name).read_bytes().replace(b"\n", b"\r")


def orm(*segments: str, msh: str = "ORM^O01", version: str = "2.4") -> OrderMessage:
    header = f"MSH|^~\\&|HIS|T1|HUREN|C|20261122101010||{msh}|42|P|{version}||||||UNICODE UTF-8"
    return read_order_message(parse("\r".join([header, *segments]).encode()))


PID = "PID|1||P1^^^T1^MR||王^小东||19800102|M"
ORC = "ORC|NW|PL1"
OBR = "OBR|1|PL1||CT01^头颅CT^L"


def refusal_of(*segments: str, msh: str = "ORM^O01", version: str = "2.4") -> tuple[str, dict[str, object]]:
    with pytest.raises(BadInput) as refusal:
        orm(*segments, msh=msh, version=version)
    return refusal.value.code, refusal.value.params


def test_an_order_in_utf_8_with_all_its_parts() -> None:
    message = parse(sample("orm-utf8.hl7"))
    order = read_order_message(message)
    assert order.patient == PatientFacts(
        identifiers=(
            Identifier("T1", "P0001", "MR"),
            Identifier("CN", "11010519491231002X", "NI"),
            Identifier("", "V9", "VN"),
        ),
        name=PersonName("王^䶮㛃镕堃", "Wang^YanJieRongKun"),
        sex="M",
        birth_date="19800102",
        phone="13800000000",
        address="湖北省仙桃市沔城镇1号",
    )
    assert order.facility_fields == {"MSH-4": "T1", "PV1-3.4": "沔城卫生院"}
    assert order.orders == (
        OrderRequest(
            control="NW",
            placer_number="PL-2026-1",
            placer_namespace="HIS",
            procedure_code="CT01",
            procedure_text="头颅CT平扫",
            procedure_coding="L",
            priority="STAT",
            clinical_information="车祸后头痛2小时\n请注意|左侧^颞部\n既往有高血压\n体温: 37.2 ℃",
            reason="脑外伤\n颅脑损伤",
            ordering_doctor="李医生",
            ordering_doctor_id="D7",
            requested_at="20261122101000",
            scheduled_at="20261122103000",
            accession_number="HIS777",
            study_instance_uid="1.2.840.1.77",
            patient_class="O",
            visit_number="V0001",
            location="外科^2^1^沔城卫生院",
            location_facility="沔城卫生院",
            laterality="L",
        ),
    )


def test_the_same_order_in_gb18030_says_the_same() -> None:
    utf8 = sample("orm-utf8.hl7")
    gb = sample("orm-gb18030.hl7")
    assert b"UNICODE UTF-8" in utf8
    assert b"GB 18030-2000" in gb
    assert "䶮".encode("gb18030") in gb
    one, other = read_order_message(parse(utf8)), read_order_message(parse(gb))
    assert (one.patient, one.orders) == (other.patient, other.orders)


def test_a_procedure_whose_bytes_hold_separators() -> None:
    gb = sample("orm-gb18030-tricky.hl7")
    # The bite: in these bytes there are more separators than were written.
    obr = next(line for line in gb.split(b"\r") if line.startswith(b"OBR"))
    assert obr.count(b"|") > obr.decode("gb18030").count("|")
    assert obr.count(b"^") > obr.decode("gb18030").count("^")
    order = read_order_message(parse(gb))
    assert order.patient.name.ideographic == "倈^俕俓"
    assert order.orders[0].procedure_text == "俕倈俓倊CT"
    assert order.orders[0].clinical_information == "倈|俕"


def test_each_pair_of_orc_and_obr_is_one_order() -> None:
    order = orm(
        PID,
        "DG1|1||J18^肺炎",
        "ORC|NW|A",
        "OBR|1|A||CT1^胸部CT|S|||||||||||||ACC1",
        "NTE|1||第一",
        "ORC|NW|B",
        "OBR|2|B||DR1^胸片",
        "DG1|2||R05^咳嗽",
        "ORC|CA|C",
        "ORC|XO|D",
    )
    assert [(o.control, o.placer_number, o.procedure_code, o.priority) for o in order.orders] == [
        ("NW", "A", "CT1", "STAT"),
        ("NW", "B", "DR1", "ROUTINE"),
        ("CA", "C", "", "ROUTINE"),
        ("XO", "D", "", "ROUTINE"),
    ]
    assert [o.clinical_information for o in order.orders] == ["第一", "", "", ""]
    assert [o.reason for o in order.orders] == ["肺炎", "肺炎\n咳嗽", "肺炎", "肺炎"]
    assert [o.accession_number for o in order.orders] == ["ACC1", "", "", ""]


def test_omg_with_its_timing_and_imaging_segments() -> None:
    order = orm(
        PID,
        "PV1|1|E",
        "ORC|NW|PL1",
        "TQ1|1||||||20261123083000+0800||A^ASAP^HL70485",
        "OBR|1|PL1||^^^MR9^颅脑MR^LOCAL",
        "IPC|ACC9|RP1|1.2.3.4|SPS1|MR|||MR ROOM^|HUREN_MR",
        msh="OMG^O19^OMG_O19",
        version="2.5.1",
    )
    (request,) = order.orders
    assert (request.priority, request.scheduled_at) == ("URGENT", "20261123083000+0800")
    assert (request.procedure_code, request.procedure_text, request.procedure_coding) == (
        "MR9",
        "颅脑MR",
        "LOCAL",
    )
    assert (request.accession_number, request.study_instance_uid, request.station_ae) == (
        "ACC9",
        "1.2.3.4",
        "HUREN_MR",
    )
    assert request.patient_class == "E"
    assert request.steps == (StepSaid("RP1", "SPS1", "MR", location="MR ROOM"),)


@pytest.mark.parametrize(
    ("orc", "obr", "priority"),
    [
        (ORC, OBR, "ROUTINE"),
        (ORC, OBR + "|S", "STAT"),
        (ORC, OBR + "|stat", "STAT"),
        (ORC, OBR + "|A", "URGENT"),
        (ORC, OBR + "|R", "ROUTINE"),
        (ORC + "|||||^^^^^S", OBR + "|R", "STAT"),
        (ORC + "|||||^^^^^R", OBR + "|" * 23 + "^^^20261122^^S", "STAT"),
        (ORC, OBR + "|" * 23 + "^^^^^TM10", "refused"),
        (ORC, OBR + "|加急", "refused"),
    ],
)
def test_priority(orc: str, obr: str, priority: str) -> None:
    if priority == "refused":
        assert refusal_of(PID, orc, obr)[0] == "field_invalid"
    else:
        assert orm(PID, orc, obr).orders[0].priority == priority


@pytest.mark.parametrize(
    ("orc", "obr"),
    [
        (ORC, OBR + "|" * 23 + "^^^202611230900"),
        (ORC + "|||||^^^202611230900", OBR),
        (ORC, OBR + "|" * 32 + "202611230900"),
    ],
)
def test_the_scheduled_time_wherever_it_stands(orc: str, obr: str) -> None:
    assert orm(PID, orc, obr).orders[0].scheduled_at == "202611230900"


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", ""])
def test_every_version_is_read(version: str) -> None:
    assert orm(PID, ORC, OBR, version=version).orders[0].placer_number == "PL1"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("王^小东", PersonName("王^小东")),
        ("王小东", PersonName("王小东")),
        ("^王小东", PersonName("王小东")),
        ("王^小东^^^^^L^I~Wang^XiaoDong^^^^^L^A", PersonName("王^小东", "Wang^XiaoDong")),
        ("Wang^XiaoDong^^^^^L^A~王^小东^^^^^L^I", PersonName("王^小东", "Wang^XiaoDong")),
        ("王^小东^^^^^L^A", PersonName("王^小东")),
        ("Vang^Sao^^^^^^P~Wang^Xiao^^^^^^A", PersonName("", "Wang^Xiao")),
        ("王^小^^^^^^I~Wang^Xiao^^^^^^P", PersonName("王^小", "Wang^Xiao")),
        ("王小东^WANG XIAODONG", PersonName("王小东", "WANG XIAODONG")),
        ("Wang&von^Xiao^Dong", PersonName("", "Wang^Xiao^Dong")),
        ("^Ann", PersonName("", "^Ann")),
        ("欧阳^㛃", PersonName("欧阳^㛃")),
        ("𠮷^〇", PersonName("𠮷^〇")),
        ("", PersonName()),
        ('""', PersonName()),
        ("O'Neil^<b>x</b>", PersonName("", "O'Neil^<b>x</b>")),
    ],
)
def test_names_in_every_writing(written: str, name: PersonName) -> None:
    assert orm(PID.replace("王^小东", written), ORC, OBR).patient.name == name


def test_an_emergency_alias_is_marked_as_one() -> None:
    assert orm(PID.replace("王^小东", "无名氏001"), ORC, OBR).patient.is_alias
    assert not orm(PID, ORC, OBR).patient.is_alias


@pytest.mark.parametrize(
    ("written", "identifiers"),
    [
        ("P1", (Identifier("", "P1"),)),
        ("P1^^^T1", (Identifier("T1", "P1"),)),
        ("P1^^^&1.2.3&ISO^MR", (Identifier("1.2.3", "P1", "MR"),)),
        ("P1^^^T1&1.2.3&ISO^MR", (Identifier("T1", "P1", "MR"),)),
        ("1^^^^NI", (Identifier("CN", "1", "NI"),)),
        ("1^^^^NNCHN", (Identifier("CN", "1", "NI"),)),
        ("1^^^GA^NI", (Identifier("GA", "1", "NI"),)),
        ('P1^^^T1~""~^^^T2~P1^^^T1~P1^^^T2', (Identifier("T1", "P1"), Identifier("T2", "P1"))),
    ],
)
def test_identifiers_and_their_issuers(written: str, identifiers: tuple[Identifier, ...]) -> None:
    assert orm(PID.replace("P1^^^T1^MR", written), ORC, OBR).patient.identifiers == identifiers


def test_numbers_that_nobody_can_place_are_not_read() -> None:
    pid = "PID|1|OLD^^^X|P1^^^T1|ALT^^^X|王^小东||||||||||||ACCOUNT^^^X"
    assert orm(pid, ORC, OBR).patient.identifiers == (Identifier("T1", "P1"),)


@pytest.mark.parametrize(
    ("written", "sex"),
    [("M", "M"), ("f", "F"), ("O", "O"), ("A", "O"), ("U", ""), ("N", ""), ("", ""), ('""', "")],
)
def test_sex(written: str, sex: str) -> None:
    assert orm(PID.removesuffix("M") + written, ORC, OBR).patient.sex == sex


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("19800102", "19800102"),
        ("198001020304+0800", "19800102"),
        ("1980", "1980"),
        ("1980+0800", "1980"),
        ("198001", "198001"),
        ("", ""),
    ],
)
def test_a_birth_date_stays_as_written(written: str, date: str) -> None:
    assert orm(PID.replace("19800102", written), ORC, OBR).patient.birth_date == date


@pytest.mark.parametrize(
    ("segments", "code", "params"),
    [
        ((PID,), "segment_missing", {"segment": "ORC"}),
        ((PID, OBR), "segment_missing", {"segment": "ORC"}),
        ((ORC, OBR), "segment_missing", {"segment": "PID"}),
        ((PID, ORC), "segment_missing", {"segment": "OBR"}),
        ((PID, PID, ORC, OBR), "segment_repeated", {"segment": "PID"}),
        ((PID, ORC, OBR, PID.replace("P1", "P2"), "ORC|CA|2"), "segment_repeated", {"segment": "PID"}),
        ((PID, ORC, OBR, OBR), "segment_repeated", {"segment": "OBR"}),
        ((PID, "ORC|NW", "OBR|1|||CT"), "field_missing", {"field": "ORC-2"}),
        ((PID, 'ORC|NW|""', "OBR|1|||CT"), "field_missing", {"field": "ORC-2"}),
        ((PID, "ORC|CA"), "field_missing", {"field": "ORC-2"}),
        ((PID, "ORC||PL1", OBR), "field_missing", {"field": "ORC-1"}),
        ((PID, "ORC|ZZ|PL1", OBR), "field_invalid", {"field": "ORC-1"}),
        ((PID, ORC, "OBR|1|OTHER||CT"), "field_invalid", {"field": "OBR-2"}),
        ((PID, ORC, "OBR|1|PL1"), "field_missing", {"field": "OBR-4"}),
        ((PID, ORC, OBR + "|" * 32 + "tomorrow"), "field_invalid", {"field": "OBR-36"}),
        ((PID, ORC, OBR + "|" * 32 + "20261322"), "field_invalid", {"field": "OBR-36"}),
        ((PID.replace("P1^^^T1^MR", ""), ORC, OBR), "field_missing", {"field": "PID-3"}),
        ((PID.removesuffix("M") + "男", ORC, OBR), "field_invalid", {"field": "PID-8"}),
        ((PID.replace("19800102", "1980-01-02"), ORC, OBR), "field_invalid", {"field": "PID-7"}),
        ((PID.replace("19800102", "19801301"), ORC, OBR), "field_invalid", {"field": "PID-7"}),
        ((PID.replace("19800102", "１９８０"), ORC, OBR), "field_invalid", {"field": "PID-7"}),
        ((PID.replace("小东", "小\\S\\东"), ORC, OBR), "field_invalid", {"field": "PID-5"}),
        ((PID.replace("小东", "小=东"), ORC, OBR), "field_invalid", {"field": "PID-5"}),
        ((PID.replace("P1", "P\\.br\\1"), ORC, OBR), "control_character", {"field": "PID-3"}),
    ],
)
def test_what_is_missing_or_wrong_is_named(segments: tuple[str, ...], code: str, params: dict[str, object]) -> None:
    assert refusal_of(*segments) == (code, params)


@pytest.mark.parametrize("control", ["CA", "DC"])
def test_a_cancellation_needs_only_its_placer_number(control: str) -> None:
    (request,) = orm(PID, f"ORC|{control}|PL1||||||||||||||DUP^重复申请", "OBR|1|PL1||X|WHAT").orders
    assert request == OrderRequest(control, "PL1", reason="重复申请")


def test_other_messages_are_not_taken_for_orders() -> None:
    assert refusal_of(PID, ORC, OBR, msh="ORU^R01")[0] == "message_type_unsupported"
    assert refusal_of(PID, ORC, OBR, msh="ORM^O99")[0] == "message_type_unsupported"
    assert refusal_of(PID, ORC, OBR, version="3.0")[0] == "version_unsupported"
    with pytest.raises(BadInput) as refusal:
        read_order_message(parse(b"MSH|^~\\&|HIS|T1|||2026||ORM^O01||P|2.4\r" + PID.encode()))
    assert refusal.value.params == {"field": "MSH-10"}


@pytest.mark.parametrize("cut", [60, 120, 180, 240, 300, 400])
def test_a_truncated_message_is_refused_or_says_no_more_than_it_holds(cut: int) -> None:
    whole = sample("orm-utf8.hl7")
    try:
        order = read_order_message(parse(whole[:cut]))
    except BadInput:
        return
    pytest.fail(f"a message cut at {cut} gave {order}")


def test_long_and_hostile_text_stays_text() -> None:
    words = "<script>alert(1)</script>'; DROP TABLE patient;-- ../../etc/passwd %00 {{7*7}} \u202e"
    long = "疼" * 66_000
    (request,) = orm(PID, ORC, OBR + "|" * 9 + words, "NTE|1||" + long).orders
    assert request.clinical_information == words.strip() + "\n" + long


@pytest.mark.parametrize("event", ["A01", "A04", "A08"])
def test_patients(event: str) -> None:
    raw = sample("adt-a08.hl7").replace(b"A08", event.encode())
    (patient,) = read_patient_messages(parse(raw))
    assert patient == PatientMessage(
        header=patient.header,
        event=event,
        event_at="20261122095900",
        patient=PatientFacts(
            identifiers=(Identifier("T1", "P0001", "MR"), Identifier("CN", "11010519491231002X", "NI")),
            name=PersonName("王^小东"),
            sex="F",
            birth_date="1949",
            phone="0728-3250000",
            address="1 Main St",
        ),
        visit=VisitSaid(number="V0001", patient_class="O", location="W1^^^T1"),
        facility_fields={"MSH-4": "T1", "PV1-3.4": "T1"},
    )


def test_without_evn_the_time_of_the_message_counts() -> None:
    raw = b"\r".join(line for line in sample("adt-a08.hl7").split(b"\r") if not line.startswith(b"EVN"))
    (patient,) = read_patient_messages(parse(raw))
    assert patient.event_at == "20261122100000"


def test_other_patient_events_are_refused() -> None:
    for event in (b"A34", b"A05", b""):
        with pytest.raises(BadInput) as refusal:
            read_patient_messages(parse(sample("adt-a08.hl7").replace(b"ADT^A08", b"ADT^" + event)))
        assert refusal.value.code == "message_type_unsupported"
