"""Row 9: every known killer twice among 500 good objects: the good ones arrive, and each killer is either set aside
once, with its bytes and where the admin sees it, or stored and refused by the decoder."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from gateway import children
from interfaces.dicom.objects import open_part10, read_object
from tests.integration.dimse_county import County, county
from tests.peers.ports import LOOPBACK
from tests.promises.hostile import CT, picture, undecodable, unreadable
from tests.promises.scale import many, note
from tests.translation.dicom.samples import EXPLICIT, element, header
from worklist.errors import BadInput
from worklist.tables import Instance, SetAside

OWN = element(0x00080018, "UI", b"1.2.3.4.5")


@dataclass(frozen=True)
class Sent:
    """One data set on its way."""

    name: str
    uid: str
    data: bytes
    syntax: str
    sop_class: str = CT


@pytest.fixture
def place(tmp_path: Path) -> Iterator[County]:
    with county(tmp_path) as found:
        yield found


def good(number: int) -> Sent:
    """A small CT slice under a UID of its own."""
    uid = f"1.2.3.4.{1000 + number}"
    head = header().replace(OWN, element(0x00080018, "UI", uid.encode()))
    pixels = element(0x7FE00010, "OW", random.Random(number).randbytes(512))
    return Sent("", uid, head + picture(16, 16) + pixels, EXPLICIT)


def killers() -> list[Sent]:
    """Those that cannot be read, and those whose pixels cannot be decoded (each under a UID of its own)."""
    found = [Sent(name, "1.2.3.4.5", data, syntax) for name, (data, syntax) in unreadable().items()]
    for number, (name, file) in enumerate(undecodable().items(), 10):
        syntax, data = open_part10(file)
        own = bytes(data).replace(OWN, element(0x00080018, "UI", f"1.2.3.4.{number}".encode()), 1)
        facts = read_object(own, syntax)
        found.append(Sent(name, facts.sop_instance_uid, own, syntax, facts.sop_class_uid))
    return found


def test_good_objects_arrive_and_killers_are_kept_apart(place: County) -> None:
    chance, began = random.Random(9), time.monotonic()
    honest, poison = [good(number) for number in range(many(500))], killers()
    shares = [honest[n::3] + poison[n::3] * 2 for n in range(3)]  # a device tries again what it was refused
    for share in shares:
        chance.shuffle(share)
    answers: list[tuple[str, int]] = []

    def send(share: list[Sent]) -> None:
        association = _associate(place)
        for one in share:
            answers.append((one.name or one.uid, _store(association, one)))
        assert association.is_established  # no killer ended it
        association.release()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(send, shares))
    statuses = dict(answers)
    held = {row.sop_instance_uid: row for row in place.rows(Instance)}
    for one in honest:
        assert statuses[one.uid] == 0
        row = held[one.uid]
        assert row.dataset_sha256 == sha256(one.data).hexdigest()
        assert place.store.read(row.store_key).endswith(one.data)
    unread = list(unreadable())
    assert all(statuses[name] & 0xF000 in (0xA000, 0xC000) for name in unread)  # failures, each with its reason
    aside = place.rows(SetAside)
    assert len(aside) == len(unread), Counter(row.reason for row in aside)  # once each, though they came twice
    assert {_data_set(place, row) for row in aside} == {one.data for one in poison if one.name in unread}
    assert all(row.state == "waiting" and row.reason for row in aside)
    refused: Counter[str] = Counter()
    for one in poison:
        if one.name in unread:
            assert one.uid not in held
            continue
        assert statuses[one.name] == 0  # its header is one: it is stored, and shown without a picture
        try:
            children.children().png(place.store, held[one.uid].store_key, 0, 512)
            refused["shown"] += 1
        except BadInput as error:
            refused[str(error.params.get("reason", error.code))] += 1
    assert len(held) == len(honest) + len(poison) - len(unread)
    note(
        9,
        good=len(honest),
        killers=len(poison),
        aside=dict(Counter(row.reason for row in aside)),
        pictures=dict(refused),
        s=round(time.monotonic() - began),
    )


def _data_set(place: County, row: SetAside) -> bytes:
    """What a device sent, without the head that it is kept behind."""
    (key,) = row.store_keys
    return bytes(open_part10(place.store.read(key))[1])


def _associate(place: County) -> Association:
    entity = AE("CT1")
    entity.dimse_timeout = entity.network_timeout = 200  # the machine may have other work
    for sop_class, syntax in {(one.sop_class, one.syntax) for one in (good(0), *killers())}:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(LOOPBACK, place.door.port, ae_title="HUREN")
    assert association.is_established
    return association


def _store(association: Association, one: Sent) -> int:
    """C-STORE of any bytes; the status."""
    contexts = {
        (str(c.abstract_syntax), str(c.transfer_syntax[0])): c.context_id for c in association.accepted_contexts
    }
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = one.sop_class, one.uid
    request.DataSet = BytesIO(one.data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, contexts[one.sop_class, one.syntax] or 0)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(answer, C_STORE), one.name
    return int(str(answer.Status))
