"""SIGKILL at chosen system calls: between the bytes and the row, between the commit and the answer."""

from __future__ import annotations

import random
from pathlib import Path

from tests.integration.killing import Server, orphan_faults, storage_faults
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_points import Trap
from tests.integration.killing_signing import Readers
from worklist.tables import Instance, Order


def test_killed_between_bytes_row_and_answer_an_object_is_held_or_sent_again(tmp_path: Path) -> None:
    """For one object after the other: before files are made for it and others, before its own is flushed, before its
    commit, before its answer."""
    server = Server(tmp_path)
    try:
        server.start()
        modality = Modality(server, random.Random(1))
        # Two folders are made and the files named in them before an object is flushed. The first sendto accepts the
        # association, the second is the answer to C-STORE.
        for call, when, is_held in (
            ("fsync", 1, False),
            ("fsync", 4, False),
            ("fdatasync", 1, False),
            ("sendto", 2, True),
        ):
            (made,) = modality.make(1)
            trap = Trap(server, call, when)
            modality.by_pynetdicom([made])()
            assert trap.sprung(20), f"{call} {when} was not reached"
            assert made.uid not in modality.acknowledged
            server.start()
            assert len(server.world.rows(Instance, Instance.sop_instance_uid == made.uid)) == int(is_held), call
            assert storage_faults(server) == []
            assert modality.faults() == []
        modality.send_everything_again()
        assert modality.faults() == []
        assert orphan_faults(server) == []
        assert len(server.world.rows(Instance)) == len(modality.made)
    finally:
        server.close()


def test_killed_at_the_answer_an_order_and_a_signature_stand(tmp_path: Path) -> None:
    """What was committed and not said: the same bytes get the stored answer, the second signature is refused."""
    server = Server(tmp_path)
    try:
        readers = Readers(server, random.Random(2))
        readers.make(1)
        server.start()
        orderer = Orderer(server, random.Random(2))
        (placed,) = orderer.make(1)
        trap = Trap(server, "sendto", 1)
        orderer.until_cut([placed])
        assert trap.sprung(20)
        assert orderer.answers == {}
        assert len(server.world.rows(Order, Order.placer_number == placed.placer)) == 1
        server.start()
        orderer.send_what_is_open()
        assert orderer.faults() == []
        assert orderer.answers_differ(orderer.placed) == []

        (case,) = readers.cases
        trap = Trap(server, "rename", 1)  # the document of the signature
        readers.play([case])
        assert trap.sprung(20)
        assert (case.last, case.tried) == ("review", "sign")
        server.start()
        assert readers.faults() == []
        readers.play([case])
        assert readers.faults() == []
        assert readers.undelivered(60) == []
        assert storage_faults(server) == []
    finally:
        server.close()
