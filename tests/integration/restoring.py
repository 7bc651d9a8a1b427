"""A backup while the county is at work, the loss of the machine, the restore, and what must be there afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.integration.killing import HUREN_PROGRAM, Server, storage_faults
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_signing import Readers
from tests.peers.process import Process
from worklist.tables import Instance, Order, Patient, ReportVersion, SetAside, WebSession

OBJECTS, ORDERS, CASES = 40, 20, 4


@dataclass
class Acknowledged:
    """What the county was told is held, at one moment."""

    objects: set[str] = field(default_factory=set)  # SOP Instance UIDs
    orders: set[str] = field(default_factory=set)  # placer numbers
    signed: set[str] = field(default_factory=set)  # readings


class County:
    """A server with traffic of all three kinds, and what it acknowledged."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.server, self.chance = server, chance
        self.readers = Readers(server, chance)
        self.readers.make(CASES)
        self.modality, self.orderer = Modality(server, chance), Orderer(server, chance)
        self.numbers: set[str] = set()  # accession numbers that were ever given out

    def acknowledged(self) -> Acknowledged:
        """So far."""
        signed = {case.reading_id for case in self.readers.cases if case.last == "sign"}
        return Acknowledged(set(self.modality.acknowledged), set(self.orderer.answers), signed)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Everybody works during the block, and finishes after it."""
        halves = self.orderer.load(ORDERS), self.modality.load(OBJECTS), self.readers.load(self.readers.cases, 2)
        threads = [threading.Thread(target=piece, daemon=True) for load in halves for piece in load]
        for thread in threads:
            thread.start()
        counts = (self.modality.count, self.orderer.count, self.readers.count)
        assert all(count.wait_for(3) for count in counts), "the county does not get to work"
        yield
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)

    def note_numbers(self) -> None:
        """Remember every accession number, before the machine is lost."""
        self.numbers |= {row.accession_number for row in self.server.world.rows(Order)}

    def lost(self, before: Acknowledged) -> list[str]:
        """What was acknowledged then and is not there now."""
        world, store = self.server.world, self.server.store
        digests = {made.uid: made.digest for made in self.modality.made}
        held = {row.sop_instance_uid: row for row in world.rows(Instance)}
        faults = [f"object {uid} is lost" for uid in before.objects if uid not in held]
        for uid in before.objects & held.keys():
            row = held[uid]
            if row.dataset_sha256 != digests[uid] or sha256(store.read(row.store_key)).hexdigest() != row.sha256:
                faults.append(f"object {uid} is not what was sent")
        orders = {row.placer_number for row in world.rows(Order)}
        faults += [f"order {placer} is lost" for placer in before.orders - orders]
        signed = {row.reading_id: row for row in world.rows(ReportVersion, ReportVersion.state == "final")}
        faults += [f"report of {reading} is lost" for reading in before.signed - signed.keys()]
        for version in signed.values():
            if sha256(store.read(version.document_key)).hexdigest() != version.document_sha256:
                faults.append(f"report {version.id} is not what was signed")
        return faults

    def numbers_given_twice(self) -> list[str]:
        """Place orders again: none may get a number that was printed before."""
        made = self.orderer.make(5)
        self.orderer.until_cut(made)
        placers = {order.placer for order in made}
        new = [row.accession_number for row in self.server.world.rows(Order) if row.placer_number in placers]
        faults = [] if len(new) == len(made) else [f"{len(new)} of {len(made)} orders were taken"]
        return faults + [f"{number} was given out before" for number in new if number in self.numbers]

    def serves(self) -> list[str]:
        """Whether the restored server takes and answers everything again."""
        before = len(self.modality.made)
        for piece in self.modality.load(9):
            piece()
        new = {made.uid for made in self.modality.made[before:]}
        self.readers.play(self.readers.cases)
        faults = [] if new <= self.modality.acknowledged else ["an object was not taken"]
        faults += [f"{case.placer} is not signed" for case in self.readers.cases if case.last != "sign"]
        return faults + storage_faults(self.server)


def back_up(server: Server, repository: Path, *options: str) -> str:
    """Take a backup; returns what it said."""
    ran = server.run("backup", str(repository), *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def restore(server: Server, repository: Path, *options: str) -> None:
    """Restore the newest snapshot, and look at it."""
    ran = server.run("restore", str(repository), *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    server.look_again()
    assert server.world.rows(WebSession) == []


def torn_backup(server: Server, repository: Path) -> None:
    """A backup that is killed while it copies objects: one of them never ends, so that it certainly is at work."""
    key = server.world.rows(Instance)[-1].store_key
    path, kept = server.store.path(key), server.folder / "kept"
    path.rename(kept)
    os.mkfifo(path)
    command = [*HUREN_PROGRAM, "backup", str(repository)]
    try:
        with Process(command, log=server.folder / "torn.log", cwd=server.folder, env=server.environment) as process:
            process.wait_until(lambda: len(list(repository.glob("objects/??/??/*"))) >= 3, 60)
            process.kill()
    finally:
        path.unlink()
        kept.rename(path)


def round_trip(county: County, repository: Path, empty_url: str = "", survived_url: str = "") -> dict[str, float]:
    """One round: traffic, backup, loss of everything, restore; then once more with objects that survived.

    Returns seconds by step. Asserts that nothing is missing.
    """
    server, seconds = county.server, {}

    def timed(name: str, began: float) -> None:
        seconds[name] = time.monotonic() - began

    with county.at_work():
        before = county.acknowledged()
        began = time.monotonic()
        back_up(server, repository)
        timed("backup", began)
    everything = county.acknowledged()
    county.note_numbers()
    assert everything.objects > before.objects
    server.kill()
    survived = server.folder / "survived"
    (server.data / "objects").rename(survived)

    server.lose_everything(empty_url)
    began = time.monotonic()
    restore(server, repository)
    timed("restore", began)
    said = server.run("reconcile")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Ask every institution to send again" in said.stdout
    assert county.lost(before) == []
    assert storage_faults(server) == []

    server.lose_everything(survived_url)
    survived.rename(server.data / "objects")
    restore(server, repository, "--beside-objects")
    said = server.run("reconcile")
    listed = set(re.findall(r"^orphan (\S+)", said.stdout, re.MULTILINE))
    assert said.returncode == 0, said.stdout + said.stderr
    gone = everything.objects - {row.sop_instance_uid for row in server.world.rows(Instance)}
    assert len(listed) >= len(gone)  # each that came after the snapshot has survived as an orphan
    server.database.close()  # ours are connections too
    began = time.monotonic()
    adopted = server.run("reconcile", "--adopt")
    timed("adopt", began)
    server.look_again()
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    assert "\norphan " not in adopted.stdout
    assert county.lost(Acknowledged(everything.objects, before.orders, before.signed)) == []
    reasons = {row.reason for row in server.world.rows(SetAside)}
    assert reasons <= {"object_without_sender", "document_without_row"}
    assert server.world.rows(Patient)
    server.start()
    assert county.numbers_given_twice() == []
    assert county.serves() == []
    return seconds
