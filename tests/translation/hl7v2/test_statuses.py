"""News of orders out: other people's readers find the state of the order in our ORM."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message, parse_segment

from interfaces.hl7v2.results import VERSIONS
from interfaces.hl7v2.statuses import write_status
from worklist.actions.order_status import NEWS
from worklist.errors import BadInput, Broken
from worklist.facts import Addressee, CoveredOrder, Identifier, OrderNews, PatientFacts, PersonName

NOW = datetime(2026, 11, 22, 2, 3, 4, tzinfo=UTC)
CODECS = {"UTF-8": "utf-8", "GB18030": "gb18030"}
ORDER = OrderNews(
    order=CoveredOrder("o1", "HR0001", "PL-1", "PACS", "CT01", "胸部CT", "李医生", "D7"),
    patient=PatientFacts(
        (Identifier("T1/HIS", "P0001", "MR"),), PersonName("王^䶮㛃镕堃", "Wang^YanJieRongKun"), "F", "19800102"
    ),
    patient_id="P0001",
    patient_issuer="T1/HIS",
    state="scheduled",
    at=datetime(2026, 11, 22, 1, 0, 0, tzinfo=UTC),
)
SAID = {
    "scheduled": ("SC", "SC"),
    "in progress": ("SC", "IP"),
    "completed": ("SC", "CM"),
    "cancelled": ("OC", "CA"),
}


def write(news: OrderNews = ORDER, version: str = "2.4", character_set: str = "UTF-8") -> bytes:
    to = Addressee("e1", "his", 2575, "HIS", "T1", character_set, version)
    return write_status(news, to, control_id="M1", sent_at=NOW)


@pytest.mark.parametrize("character_set", CODECS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", SAID)
def test_the_state_stands_in_orc_1_and_orc_5_in_every_version(state: str, version: str, character_set: str) -> None:
    text = write(replace(ORDER, state=state), version, character_set).decode(CODECS[character_set])
    message = hl7.parse(text)
    orc, obr, pid = message.segment("ORC"), message.segment("OBR"), message.segment("PID")
    assert (str(orc[1]), str(orc[5])) == SAID[state]
    assert str(orc[2]) == str(obr[2]) == "PL-1^PACS"
    assert str(orc[3]) == str(obr[3]) == "HR0001"
    assert str(orc[9]) == "20261122090000+0800"
    assert str(obr[4]) == "CT01^胸部CT^L"
    assert str(pid[3]) == "P0001^^^HIS^MR"
    assert "䶮㛃镕堃" in str(pid[5])
    assert str(message.segment("MSH")[12]) == version


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", SAID)
def test_hl7apy_finds_nothing_at_its_strictest(state: str, version: str) -> None:
    text = write(replace(ORDER, state=state), version).decode()
    # Of the choice of segments behind ORC, hl7apy wants to see every one: so the OBR is looked at by itself.
    order, detail = text[: text.index("OBR|")], text[text.index("OBR|") :].rstrip("\r")
    assert parse_message(order, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    assert parse_segment(detail, version=version, validation_level=VALIDATION_LEVEL.STRICT).validate()


def test_every_news_has_its_words() -> None:
    assert set(NEWS.values()) == set(SAID)


def test_what_cannot_be_said_is_refused_and_never_a_question_mark() -> None:
    with pytest.raises(BadInput, match="unencodable_text"):
        write(character_set="GB2312")
    with pytest.raises(Broken, match="version_unsupported"):
        write(version="3.0")
    with pytest.raises(Broken, match="timezone_unknown"):
        write(replace(ORDER, timezone="Nowhere/Land"))
