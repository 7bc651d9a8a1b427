"""One Chinese name on its way round: ordered by a HIS, on each device's worklist, back with the images, on the pages.

Every device here writes and reads in its own character set, and some name it wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]

from interfaces.dicom.charset import encode, label, read_name, write_name
from tests.journeys.county import CT, County
from tests.peers.ports import LOOPBACK
from tests.translation.dicom.samples import EXPLICIT, element
from worklist.actions import device_settings
from worklist.errors import BadInput
from worklist.facts import PersonName
from worklist.tables import Instance, Study

COMMON = "王小东"
RARE = "䶮㛃镕堃"  # in Unicode's extension A and outside GB 2312: names of living people
RAREST = "王𠮷"  # extension B, four bytes in GB 18030 and UTF-8


@dataclass(frozen=True)
class Scanner:
    """How a device writes: what it really uses, what it says, and what its record here says it uses."""

    out: str
    said: tuple[str, ...]
    assumed: str = ""

    @property
    def id(self) -> str:
        return f"{self.out} as {'+'.join(self.said) or 'nothing'}"


SCANNERS = (
    Scanner("UTF-8", ("ISO_IR 192",)),
    Scanner("GB18030", ("GB18030",)),
    Scanner("GBK", ("GBK",)),
    Scanner("ISO 2022 IR 58", ("", "ISO 2022 IR 58")),
    Scanner("GBK", ("ISO_IR 100",), assumed="GBK"),
    Scanner("GB18030", (), assumed="GB18030"),
    Scanner("UTF-8", ("ISO_IR 100",), assumed="UTF-8"),
)


def _set(county: County, ae: str, scanner: Scanner) -> None:
    """The device's record, as the admin keeps it."""
    admin, now = county.world.actor("admin"), county.clock()
    fields = {"character_set_out": scanner.out, "character_set_in": scanner.assumed, "name": ae}
    device = county.world.devices[ae]
    county.parts.database.write(lambda s: device_settings.save_device(s, admin, fields, now, id=device))


def _ordered(county: County, name: str, number: str) -> str:
    """An order in GB 18030 from the township's HIS; its accession number."""
    placer, _ = county.order("TS01", number, name, "CT-HEAD", encoding="gb18030")
    return county.accession(placer, "tech1")


def _file(path: Path, item: Dataset, name: bytes, said: tuple[str, ...]) -> str:
    """A CT image with these very bytes for a name, as Part 10; its SOP Instance UID. No library touches the text."""
    uid = str(generate_uid())
    values = [
        (0x00080005, "CS", "\\".join(said).encode()),
        (0x00080016, "UI", CT.encode()),
        (0x00080018, "UI", uid.encode()),
        (0x00080020, "DA", b"20260302"),
        (0x00080030, "TM", b"091500"),
        (0x00080050, "SH", str(item.AccessionNumber).encode()),
        (0x00080060, "CS", b"CT"),
        (0x00100010, "PN", name),
        (0x00100020, "LO", str(item.PatientID).encode()),
        (0x0020000D, "UI", str(item.StudyInstanceUID).encode()),
        (0x0020000E, "UI", str(generate_uid()).encode()),
    ]
    body = b"".join(element(tag, vr, raw) for tag, vr, raw in values if raw)
    meta = b"".join(
        element(tag, vr, raw)
        for tag, vr, raw in (
            (0x00020002, "UI", CT.encode()),
            (0x00020003, "UI", uid.encode()),
            (0x00020010, "UI", EXPLICIT.encode()),
        )
    )
    length = element(0x00020000, "UL", len(meta).to_bytes(4, "little"))
    path.write_bytes(bytes(128) + b"DICM" + length + meta + body)
    return uid


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.id)
def test_a_name_comes_back_as_it_was_ordered(county: County, scanner: Scanner) -> None:
    _set(county, "TS01CT", scanner)
    for number, name in (("10001", COMMON), ("10002", RARE), ("10003", RAREST)):
        accession = _ordered(county, name, number)
        item = county.item("TS01CT", accession)
        written = item["PatientName"].value.original_string
        shown = read_name(written, label(scanner.out))
        assert b"?" not in written
        can_carry = _carries(name, scanner.out)
        assert shown.ideographic.replace("^", "") == (name if can_carry else "")
        assert can_carry or shown.alphabetic, "the patient is on the worklist, in letters"

        # The device writes the name as it was told, in its own set and under the name that it gives the set.
        folder = county.folder / county.number("named")
        folder.mkdir()
        sent = write_name(PersonName(shown.ideographic, shown.alphabetic), scanner.out)
        uid = _file(folder / "1.dcm", item, sent, scanner.said)
        county.send("TS01CT", [folder / "1.dcm"])
        (study,) = county.world.rows(Study, Study.study_instance_uid == str(item.StudyInstanceUID))
        assert study.link == "matched"
        assert study.sent_name.replace("^", "") == (name if can_carry else "")
        assert county.order_at_home(accession)["patient"]["name"] == name
        # The bytes are kept as they came, and what programs are told is the name that was recovered.
        (held,) = county.world.rows(Instance, Instance.sop_instance_uid == uid)
        assert sent in county.parts.store.read(held.store_key)
        if can_carry:
            _is_told(county, str(item.StudyInstanceUID), name)


def _carries(name: str, character_set: str) -> bool:
    try:
        encode(name, character_set)
    except BadInput:
        return False
    return True


def _is_told(county: County, study_uid: str, name: str) -> None:
    """QIDO-RS and the metadata of WADO-RS say the name."""
    tech = county.api("tech1")
    (found,) = tech.get("/dicom-web/studies", StudyInstanceUID=study_uid)
    assert _ideographic(found) == name
    for metadata in tech.get(f"/dicom-web/studies/{study_uid}/metadata"):
        assert _ideographic(metadata) == name


def _ideographic(attributes: dict[str, dict[str, list[dict[str, str]]]]) -> str:
    (name,) = attributes["00100010"]["Value"]
    return (name.get("Ideographic") or name["Alphabetic"]).replace("^", "")


@pytest.mark.parametrize("scanner", SCANNERS[:4], ids=lambda scanner: scanner.out)
def test_pynetdicom_reads_the_worklist_too(county: County, scanner: Scanner) -> None:
    _set(county, "TS01CT", scanner)
    _ordered(county, COMMON, "10001")
    ae = AE("TS01CT")
    ae.add_requested_context(ModalityWorklistInformationFind)
    association = ae.associate(LOOPBACK, county.parts.dimse.port, ae_title="HUREN")
    assert association.is_established
    query = Dataset()
    query.PatientName = query.AccessionNumber = query.PatientID = ""
    answers = [a for _, a in association.send_c_find(query, ModalityWorklistInformationFind) if a is not None]
    association.release()
    (answer,) = answers
    assert read_name(answer["PatientName"].value.original_string, label(scanner.out)).ideographic == COMMON
    assert answer.PatientID == "10001"


def test_metadata_follows_a_changed_record(county: County) -> None:
    """The admin finds out later what a device really writes: what was made ready before is made anew."""
    _set(county, "TS01CT", Scanner("GBK", ("ISO_IR 100",)))
    accession = _ordered(county, COMMON, "10001")
    item = county.item("TS01CT", accession)
    folder = county.folder / county.number("named")
    folder.mkdir()
    _file(folder / "1.dcm", item, COMMON.encode("gbk"), ("ISO_IR 100",))
    county.send("TS01CT", [folder / "1.dcm"])
    county.quiet()
    county.case(accession)
    tech, address = county.api("tech1"), f"/dicom-web/studies/{item.StudyInstanceUID}/metadata"
    county.until(lambda: tech.get(address), "the metadata")
    assert _ideographic(tech.get(address)[0]) == COMMON.encode("gbk").decode("latin-1")
    _set(county, "TS01CT", Scanner("GBK", ("ISO_IR 100",), assumed="GBK"))
    county.until(lambda: _ideographic(tech.get(address)[0]) == COMMON, "the name that was recovered")
