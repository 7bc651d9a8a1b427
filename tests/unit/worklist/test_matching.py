"""A study finds its order by number with everything agreeing, and never otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worklist.rules.matching import OrderKnown, StudySaid, match

STUDY = StudySaid("1.2.3", ("H1",), (), "10001", "", ("TS01",))
ORDER = OrderKnown("o1", "scheduled", "H1", "1.2.3", "TS01", "10001", "TS01", "TS01")


def test_uid_number_and_patient_agree() -> None:
    assert match(STUDY, [ORDER]).order_ids == ("o1",)


def test_the_study_uid_alone_is_enough_when_the_patient_agrees() -> None:
    assert match(replace(STUDY, accession_numbers=()), [ORDER]).order_ids == ("o1",)


def test_a_devices_own_uid_with_our_number_is_enough_when_the_patient_agrees() -> None:
    assert match(replace(STUDY, study_instance_uid="9.9"), [ORDER]).order_ids == ("o1",)


def test_the_uid_in_the_request_attributes_counts() -> None:
    said = replace(STUDY, study_instance_uid="9.9", accession_numbers=(), study_uids=("1.2.3",))
    assert match(said, [ORDER]).order_ids == ("o1",)


def test_one_ct_serves_two_orders() -> None:
    second = replace(ORDER, id="o2", accession_number="H2", study_instance_uid="1.2.4")
    assert match(replace(STUDY, accession_numbers=("H1", "H2")), [ORDER, second]).order_ids == ("o1", "o2")


def test_two_orders_of_two_patients_serve_nobody() -> None:
    second = replace(ORDER, id="o2", accession_number="H2", study_instance_uid="1.2.4", patient_value="10002")
    verdict = match(replace(STUDY, accession_numbers=("H1", "H2")), [ORDER, second])
    assert (verdict.order_ids, verdict.reason) == ((), "patient_differs")


@pytest.mark.parametrize(
    ("study", "order", "reason"),
    [
        ({"accession_numbers": (), "study_instance_uid": "9.9"}, {}, "no_order_named"),
        ({"accession_numbers": ("H9",), "study_instance_uid": "9.9"}, {}, "no_order_with_this_number"),
        ({"accession_numbers": ("H1", "H9")}, {}, "number_disagrees"),
        ({"accession_numbers": ("H9",)}, {}, "number_disagrees"),
        ({"patient_id": ""}, {}, "no_patient_id"),
        ({"patient_id": "10002"}, {}, "patient_differs"),
        ({"issuer": "TS02"}, {}, "patient_differs"),
        ({}, {"state": "cancelled"}, "order_cancelled"),
        ({}, {"state": "recognised"}, "order_recognised"),
        ({}, {"institution_id": "TS02"}, "no_order_named"),
    ],
)
def test_every_disagreement_is_a_reason(study: dict[str, object], order: dict[str, object], reason: str) -> None:
    verdict = match(replace(STUDY, **study), [replace(ORDER, **order)])  # type: ignore[arg-type]
    assert (verdict.order_ids, verdict.reason) == ((), reason)


def test_the_wrong_pick_is_told_with_both_numbers() -> None:
    verdict = match(replace(STUDY, patient_id="10002"), [ORDER])
    assert verdict.params == {"accession_number": "H1", "sent": "10002", "ordered": "10001"}


def test_another_institutions_order_is_not_betrayed_by_the_reason() -> None:
    verdict = match(STUDY, [replace(ORDER, institution_id="TS02")])
    assert (verdict.reason, verdict.params) == ("no_order_named", {})


@pytest.mark.parametrize("number", range(20))
def test_twenty_institutions_with_the_same_numbers_never_cross(number: int) -> None:
    orders = [
        OrderKnown(f"o{i}", "scheduled", "H1", "1.2.3", f"TS{i:02}", "10001", f"TS{i:02}", f"TS{i:02}")
        for i in range(20)
    ]
    own = [o for o in orders if o.institution_id == f"TS{number:02}"]
    said = replace(STUDY, institution_ids=(f"TS{number:02}",))
    assert match(said, own).order_ids == (f"o{number}",)
    # Even if a careless query handed over everybody's orders, nothing foreign is linked.
    assert not set(match(said, orders).order_ids) - {f"o{number}"}


def test_a_name_alone_links_nothing() -> None:
    said = replace(STUDY, study_instance_uid="9.9", accession_numbers=())
    assert match(said, [ORDER]).order_ids == ()
