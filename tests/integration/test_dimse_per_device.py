"""What a device may do is on its record: operations, transfer syntaxes it prefers, hours without fetching."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from sqlalchemy import update

from gateway.dimse import services
from gateway.dimse.contexts import Contexts
from tests.integration.dimse_county import County, county, ct_slice, wait_for
from tests.integration.retrieving import STUDY, Retrieving, open_county
from tests.peers.dcmtk import storescp
from tests.peers.ports import LOOPBACK
from worklist.facts import OPERATIONS
from worklist.tables import Device, Instance

SERVICES = {
    "store": CTImageStorage,
    "worklist": ModalityWorklistInformationFind,
    "mpps": ModalityPerformedProcedureStep,
    "commitment": StorageCommitmentPushModel,
    "retrieve": StudyRootQueryRetrieveInformationModelFind,
}


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Retrieving]:
    with open_county(tmp_path) as opened:
        yield opened


def associate(town: County, *classes: UID) -> Association:
    ae = AE("CT1")
    for each in (Verification, *classes):
        ae.add_requested_context(each, ExplicitVRLittleEndian)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
    assert association.is_established
    return association


@pytest.mark.parametrize("operation", SERVICES)
def test_a_device_is_offered_what_it_may_do_and_nothing_else(tmp_path: Path, operation: str) -> None:
    with county(tmp_path, operations=[operation]) as town:
        association = associate(town, *SERVICES.values())
        taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
        assert taken == {Verification, SERVICES[operation]}
        rejected = {context.result for context in association.rejected_contexts}
        assert rejected == {3}  # abstract syntax not supported (PS3.8 table 9-18)
        association.release()


@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_what_is_not_allowed_is_refused_also_behind_another_context(tmp_path: Path, stock: bool) -> None:
    """A peer may name another class in its command than that of its presentation context."""
    with county(tmp_path, operations=["worklist"], stock=stock) as town:
        association = associate(town)
        (context,) = association.accepted_contexts
        for uid in (CTImageStorage, ModalityPerformedProcedureStep, StorageCommitmentPushModel):
            association._accepted_cx[int(context.context_id or 0) + 100 + len(association._accepted_cx)] = fake(
                context, uid
            )
        (tmp_path / "in").mkdir()
        image = dcmread(ct_slice(tmp_path / "in"))
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        assert association.send_c_store(image).Status == 0x0124
        step = Dataset()
        step.PerformedProcedureStepStatus = "IN PROGRESS"
        assert association.send_n_create(step, ModalityPerformedProcedureStep, "1.2.3.9")[0].Status == 0x0124
        ended = Dataset()
        ended.PerformedProcedureStepStatus = "COMPLETED"
        assert association.send_n_set(ended, ModalityPerformedProcedureStep, "1.2.3.9")[0].Status == 0x0124
        asked = Dataset()
        asked.TransactionUID = "1.2.3.10"
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
        assert status.Status == 0x0124
        association.release()
        assert town.rows(Instance) == []


def fake(context: PresentationContext, uid: UID) -> PresentationContext:
    """The context under which the peer pretends to send another class."""
    made = build_context(uid, ExplicitVRLittleEndian)
    made.context_id = context.context_id
    made.result, made._as_scu, made._as_scp = 0, True, False
    return made


def test_preferred_transfer_syntaxes_win_in_their_order() -> None:
    explicit, implicit = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
    proposed = [build_context(CTImageStorage, [implicit, RLELossless, JPEG2000Lossless, explicit])]

    def answered(*preferred: str) -> list[str]:
        (context,) = Contexts().supported(proposed, OPERATIONS, preferred)
        return [str(uid) for uid in context.transfer_syntax]

    assert answered()[0] == explicit
    assert answered(implicit, "1.2.840.10008.1.2.4.94")[:2] == [implicit, explicit]  # JPIP: never
    assert answered(JPEG2000Lossless, implicit)[:3] == [JPEG2000Lossless, implicit, explicit]
    assert sorted(answered()) == sorted(answered(implicit))


def test_an_object_comes_in_the_preferred_syntax(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = ct_slice(tmp_path / "in")
    with county(tmp_path, transfer_syntaxes=[str(ImplicitVRLittleEndian)]) as town:
        # One context with both (storescu would propose each by itself).
        ae = AE("CT1")
        ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
        assert association.accepted_contexts[0].transfer_syntax == [ImplicitVRLittleEndian]
        assert association.send_c_store(dcmread(file)).Status == 0
        association.release()
        (held,) = town.rows(Instance)
        assert held.transfer_syntax_uid == ImplicitVRLittleEndian


def test_a_device_is_sent_the_syntax_that_it_prefers(moving: Retrieving) -> None:
    uid = moving.scanned(moving.desk.world.order())
    with storescp(moving.folder / "dest", "+x=") as port:
        moving.device("DEST", ("TS01",), port=port, transfer_syntaxes=[str(ImplicitVRLittleEndian)])
        assert moving.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}").code == 0
        (file,) = (moving.folder / "dest").iterdir()
        assert dcmread(file).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_in_receive_only_hours_a_device_sends_and_does_not_fetch(moving: Retrieving) -> None:
    """It is 09:30 in the township."""
    uid = moving.scanned(moving.desk.world.order())
    asked = (STUDY, f"StudyInstanceUID={uid}")
    busy = {"receive_only_hours": [["07:00", "19:00"]]}
    moving.device("BUSY", ("TS01",), **busy)
    with storescp(moving.folder / "dest") as port:
        moving.device("BUSYDEST", ("TS01",), port=port, **busy)
        scu = moving.scu("BUSY")
        ran = scu.get("-S", *asked, folder=moving.folder / "got")
        assert "0xa702" in ran.output
        assert "images are not fetched at this time of day" in ran.output
        assert list((moving.folder / "got").iterdir()) == []
        assert "0xa702" in moving.scu().move("-S", "BUSYDEST", *asked).output  # nor does another for it
        assert list((moving.folder / "dest").iterdir()) == []
        _, found = scu.find("-S", *asked, folder=moving.folder / "found")
        assert len(found) == 1  # it may still look
        moving.desk.now += timedelta(hours=10)
        assert scu.get("-S", *asked, folder=moving.folder / "got").code == 0
        assert moving.scu().move("-S", "BUSYDEST", *asked).code == 0
        assert len(list((moving.folder / "got").iterdir())) == len(list((moving.folder / "dest").iterdir())) == 1


@pytest.mark.parametrize("stock", [False, True])
def test_a_device_that_is_disabled_is_cut_off_within_its_association(
    tmp_path: Path, stock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    slices = [dcmread(ct_slice(tmp_path / "in", number)) for number in (1, 2, 3)]
    with county(tmp_path, stock=stock) as town:
        ae = AE("CT1")
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
        assert association.send_c_store(slices[0]).Status == 0
        town.database.write(lambda s: s.execute(update(Device).values(enabled=False)))
        assert association.send_c_store(slices[1]).Status == 0  # it was looked up a moment ago
        monkeypatch.setattr(services, "LOOK_AGAIN_SECONDS", 0.0)
        assert association.send_c_store(slices[2]).get("Status") != 0
        wait_for(lambda: not association.is_established)
        ae.shutdown()
        assert len(town.rows(Instance)) == 2
