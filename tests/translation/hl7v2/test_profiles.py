"""Every kind of message in every version: what is read of it, and the structure of what we answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from interfaces.hl7v2.answers import order_response, read_acknowledgement
from interfaces.hl7v2.message import parse
from interfaces.hl7v2.orders import read_order_message
from interfaces.hl7v2.outside import read_result_messages
from interfaces.hl7v2.patients import EVENTS, read_patient_messages
from worklist.errors import BadInput
from worklist.facts import (
    Identifier,
    OrderAnswer,
    OrderMessage,
    OutsideLine,
    PatientMessage,
    PersonName,
    ResultMessage,
    SpecimenSaid,
    VisitSaid,
)

NOW = datetime(2026, 11, 22, 2, 3, 4, tzinfo=UTC)
VERSIONS = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"]
ORDERS = {
    "ORM^O01": VERSIONS,
    "OMG^O19": VERSIONS[2:],
    "OML^O21": VERSIONS[2:],
    "OMI^O23": VERSIONS[3:],
}
PID = "PID|1||P1^^^T1^MR||王^小东||19800102|M"


def raw(kind: str, version: str, *segments: str) -> bytes:
    header = f"MSH|^~\\&|HIS|T1|HUREN|C|20261122101010||{kind}|42|P|{version}||||||UNICODE UTF-8"
    return ("\r".join([header, *segments]) + "\r").encode()


@pytest.mark.parametrize(("kind", "version"), [(k, v) for k, versions in ORDERS.items() for v in versions])
def test_an_order_is_read_and_its_answer_is_built_as_the_version_says(kind: str, version: str) -> None:
    extra = {"OMI^O23": ["IPC|A1|RP1|1.2.3|SPS1|CT|P^头部|ROOM1||CT1"], "OML^O21": ["SPM|1|S1||BLD^全血"]}
    message = parse(
        raw(kind, version, PID, "ORC|NW|PL1", "OBR|1|PL1||CT1^头颅CT^L", *extra.get(kind, []), "ZDS|1.2.840.7", "ZXX|1")
    )
    order = read_order_message(message)
    (request,) = order.orders
    assert (request.placer_number, request.procedure_code) == ("PL1", "CT1")
    assert request.study_instance_uid == "1.2.840.7"
    answers = [
        OrderAnswer(request, "OK", "HR1", "1.2.3"),
        OrderAnswer(replace(request, control="CA"), "UC", reason="order_has_images"),
    ]
    for given_answers, code in ((answers[:1], "AA"), (answers, "AE")):
        answer = order_response(order, given_answers, control_id="H2", sent_at=NOW)
        assert read_acknowledgement(answer).code == code
        orcs = [orc.get(1) for orc in parse(answer).all("ORC")]
        assert orcs == [a.answer for a in given_answers]
        if kind == "ORM^O01":  # hl7apy's ORR demands every choice of the standard at once, so it only reads this one
            parse_message(answer.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        else:
            parse_message(answer.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()


def test_several_stations_leave_the_choice_open_and_two_numbers_are_refused() -> None:
    ipc = "IPC|A1|RP1|1.2.3|SPS{n}|CT|||{more}|CT{n}"
    two = [ipc.format(n=n, more="") for n in (1, 2)]
    (request,) = read_order_message(
        parse(raw("OMI^O23", "2.5.1", PID, "ORC|NW|PL1", "OBR|1|PL1||CT1", *two))
    ).orders  # fmt: skip
    assert (request.station_ae, [s.scheduled_step_id for s in request.steps]) == ("", ["SPS1", "SPS2"])
    with pytest.raises(BadInput, match="IPC-1"):
        read_order_message(
            parse(raw("OMI^O23", "2.5.1", PID, "ORC|NW|PL1", "OBR|1|PL1||CT1", two[0], two[1].replace("A1", "A2")))
        )


def test_a_laboratory_order_of_old_says_its_specimen_in_obr() -> None:
    message = parse(
        raw("OML^O21", "2.4", PID, "ORC|NW|PL1", "OBR|1|PL1||CBC|||20261122080000|||||||20261122090000|BLD&全血")
    )
    (request,) = read_order_message(message).orders
    assert request.specimens == (
        SpecimenSaid("", "BLD", "全血", "20261122080000", "20261122090000"),
    )  # fmt: skip


@pytest.mark.parametrize("last", ["PID|2||P2^^^T1^MR||李^四", "PID|2||P2^^^T1^MR||李^四\rORC|NW|PL9\rOBR|1|PL9||CT1"])
def test_an_order_behind_a_second_patient_is_nobodys(last: str) -> None:
    for kind in ORDERS:
        with pytest.raises(BadInput, match="segment_repeated"):
            read_order_message(parse(raw(kind, "2.5.1", PID, "ORC|NW|PL1", "OBR|1|PL1||CT1", last)))


@pytest.mark.parametrize("behind", [[], ["PID|2||OLD^^^T1^MR||旧^名"]])
def test_earlier_results_that_are_sent_along_are_no_orders(behind: list[str]) -> None:
    order = read_order_message(
        parse(
            raw(
                "OML^O21",
                "2.5.1",
                PID,
                "ORC|NW|PL1",
                "OBR|1|PL1||CBC",
                "OBX|1|ST|X||now|||||F",
                *behind,
                "ORC|PR|OLD",
                "OBR|1|OLD||CBC",
                "OBX|1|NM|WBC||9|||||F",
                "ORC|NW|PL2",
                "OBR|2|PL2||CRP",
            )
        )
    )
    assert [(r.placer_number, r.clinical_information) for r in order.orders] == [("PL1", "X: now"), ("PL2", "")]
    assert order.patient.name == PersonName("王^小东")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_of_a_patient(event: str, version: str) -> None:
    pv1 = "PV1|1|I|外科^2^1||||D1^李^医生||||||||||||V1" + "|" * 25 + "20261122080000|20261123"
    mrg = ["MRG|P9^^^T1^MR"] if event in ("A40", "A47") else []
    (said,) = read_patient_messages(parse(raw(f"ADT^{event}", version, "EVN||20261122100000", PID, *mrg, pv1)))
    assert (said.event, said.event_at, said.patient.name.shown) == (event, "20261122100000", "王小东")
    assert said.visit == VisitSaid("V1", "I", "外科^2^1", "李医生", "20261122080000", "20261123")
    assert said.retired == ((Identifier("T1", "P9", "MR"),) if mrg else ())


def test_each_pair_of_a_merge_is_a_statement_of_its_own() -> None:
    groups = [PID, "PD1|", "MRG|P9^^^T1^MR~P8^^^T1^MR", PID.replace("P1", "P2"), "MRG|P7^^^T1^MR", "PV1|1|O"]
    one, two = read_patient_messages(parse(raw("ADT^A40", "2.5.1", "EVN||20261122", *groups)))
    assert [i.value for i in one.retired] == ["P9", "P8"]
    assert ([i.value for i in two.retired], two.patient.identifiers[0].value, two.visit.patient_class) == (
        ["P7"],
        "P2",
        "O",
    )
    assert one.visit == VisitSaid()


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ([PID], "segment_missing"),
        (["MRG|P9"], "segment_missing"),
        ([PID, "MRG|"], "field_missing"),
        ([PID, "MRG|P9", "MRG|P8"], "segment_repeated"),
        ([PID, PID, "MRG|P9"], "segment_missing"),
    ],
)
def test_a_merge_that_does_not_say_who_is_refused(segments: list[str], code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_patient_messages(parse(raw("ADT^A40", "2.5.1", *segments)))
    assert refusal.value.code == code


def test_other_events_speak_of_one_patient() -> None:
    with pytest.raises(BadInput, match="segment_repeated"):
        read_patient_messages(parse(raw("ADT^A08", "2.4", PID, PID)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_result_with_every_kind_of_value(version: str) -> None:
    message = parse(
        raw(
            "ORU^R01",
            version,
            PID,
            "PV1|1|O",
            "ORC|RE|PL1|F1",
            "OBR|1|PL1|F1|^^^CBC^血常规|||20261122080000" + "|" * 15 + "20261122090000|||C" + "|" * 7 + "D1&李&医生",
            "NTE|1||溶血\\.br\\复查",
            "OBX|1|NM|WBC^白细胞||7.5|10*9/L|4-10|H~A|||C",
            "OBX|2|CE|94500-6^SARS-CoV-2^LN||260415000^Not detected^SCT||||||F",
            "OBX|3|SN|X^滴度||>^1^:^80||||||F",
            "OBX|4|ED|PDF^报告||^application^pdf^Base64^JVBERi0=||||||F",
            "OBX|5|FT|TXT^所见||第一行~第二行||||||F",
            "OBR|2|PL2|F2|CRP^C反应蛋白",
        )
    )
    (said,) = read_result_messages(message)
    one, two = said.results
    assert (one.placer_number, one.filler_number, one.code, one.name, one.status) == ("PL1", "F1", "CBC", "血常规", "C")
    assert (one.observed_at, one.reported_at, one.author) == ("20261122080000", "20261122090000", "李医生")
    assert one.lines[:3] == (
        OutsideLine("1", "NTE", "", "", "溶血\n复查"),
        OutsideLine("1", "NM", "WBC", "白细胞", "7.5", "10*9/L", "4-10", "H A", "C"),
        OutsideLine("2", "CE", "94500-6", "SARS-CoV-2", "Not detected", status="F"),
    )
    assert [line.value for line in one.lines[3:]] == [">1:80", "", "第一行\n第二行"]
    assert (two.filler_number, two.lines) == ("F2", ())


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        (["OBR|1|P|F|X"], "segment_missing"),
        ([PID], "segment_missing"),
        ([PID, "OBX|1|ST|X||1"], "segment_missing"),
        ([PID, "OBR|1|||X"], "field_missing"),
        ([PID, "OBR|1|P|F|X|||soon"], "field_invalid"),
    ],
)
def test_a_result_that_could_never_be_found_again_is_refused(segments: list[str], code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_result_messages(parse(raw("ORU^R01", "2.4", *segments)))
    assert refusal.value.code == code


def test_results_of_two_patients_stay_apart() -> None:
    other = PID.replace("P1", "P2")
    one, two = read_result_messages(
        parse(raw("ORU^R01", "2.5", PID, "OBR|1|A|B|X", "OBX|1|ST|X||1", other, "OBR|1|C|D|Y"))
    )
    assert [len(r.lines) for r in one.results + two.results] == [1, 0]
    assert two.patient.identifiers[0].value == "P2"


NAMES = ["PID", "ORC", "OBR", "OBX", "NTE", "MRG", "PV1", "IPC", "SPM", "TQ1", "ZDS", "EVN", "DG1"]
FIELDS = st.text(alphabet="|^~&\\.0123456789NWAPR王", max_size=30)
BODIES = st.lists(st.tuples(st.sampled_from(NAMES), FIELDS).map("|".join), max_size=12)
KINDS = [*ORDERS, "ADT^A40", "ADT^A08", "ORU^R01"]


@given(BODIES, st.sampled_from(KINDS), st.booleans())
def test_whatever_segments_come_are_read_or_refused(body: list[str], kind: str, with_patient: bool) -> None:
    segments = [PID, *body] if with_patient else body
    message = parse(raw(kind, "2.5.1", *segments))
    parts: tuple[OrderMessage | PatientMessage | ResultMessage, ...]
    try:
        if kind.startswith("ADT"):
            parts = read_patient_messages(message)
        elif kind.startswith("ORU"):
            parts = read_result_messages(message)
        else:
            parts = (read_order_message(message),)
    except BadInput:
        return
    assert parts
    assert all(part.patient.identifiers for part in parts)
