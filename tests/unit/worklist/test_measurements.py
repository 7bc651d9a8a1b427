"""The numbers of an ECG report: whose each is, which are doubted, which are refused."""

from __future__ import annotations

import pytest

from interfaces.ecg import codes
from reading_room.documents.wording import MEASURED_IN, MEASUREMENTS
from reading_room.labels import LABELS
from worklist.errors import BadInput
from worklist.facts import Measurement
from worklist.rules import measurements

DEVICE = [{"heart rate": 74.6, "PR interval": 180.0}, {"heart rate": 61.2, "QTc interval": 420.4, "T axis": -30.0}]


def test_a_number_of_any_recording_is_the_devices_and_others_are_the_readers() -> None:
    given = [("QTc interval", 420, "Bazett"), ("PR interval", 179, ""), ("heart rate", 75, ""), ("T axis", -30, "")]
    assert measurements.read(given, DEVICE) == (
        Measurement("heart rate", 75, "/min", "device"),
        Measurement("PR interval", 179, "ms", "reader"),
        Measurement("QTc interval", 420, "ms", "device", "Bazett"),
        Measurement("T axis", -30, "deg", "device"),
    )
    assert {one.source for one in measurements.read(given, [])} == {"reader"}


@pytest.mark.parametrize(
    "given",
    [
        [("RR interval", 800, "")],
        [("heart rate", 75, ""), ("heart rate", 76, "")],
        [("heart rate", 10000, "")],
        [("heart rate", 75, "Bazett")],
        [("QTc interval", 420, "Rautaharju")],
    ],
)
def test_what_there_is_not_is_refused(given: list[tuple[str, int, str]]) -> None:
    with pytest.raises(BadInput) as refused:
        measurements.read(given, DEVICE)
    assert refused.value.code == "field_wrong"


def test_what_no_heart_is_likely_to_have_is_doubted() -> None:
    read = measurements.read([("heart rate", 301, ""), ("PR interval", 60, ""), ("QRS axis", -181, "")], [])
    assert measurements.doubts(read) == [("heart rate", "301 /min"), ("QRS axis", "-181 deg")]


def test_they_are_kept_whole() -> None:
    read = measurements.read([("QTc interval", 420, "Hodges")], DEVICE)
    assert measurements.from_json(measurements.as_json(read)) == read


def test_a_change_is_one_of_value_or_formula_and_never_of_whose_it_is() -> None:
    old = measurements.read([("heart rate", 75, ""), ("PR interval", 180, ""), ("QTc interval", 420, "Bazett")], [])
    new = measurements.read([("heart rate", 75, ""), ("QTc interval", 420, "Hodges"), ("T axis", -30, "")], DEVICE)
    assert {one.source for one in old} != {one.source for one in new}
    assert [(name, was and was.value, now and now.method) for name, was, now in measurements.changed(old, new)] == [
        ("PR interval", 180, None),
        ("QTc interval", 420, "Hodges"),
        ("T axis", None, ""),
    ]
    assert measurements.changed(new, new) == []


def test_every_table_of_them_knows_the_same() -> None:
    for name, kind in measurements.KINDS.items():
        assert codes.KINDS[name].unit == kind.unit
        assert codes.KINDS[name].loinc
        assert codes.KINDS[name].loinc_name
        assert name in LABELS["ecg"]
        assert name in MEASUREMENTS
        assert kind.unit in MEASURED_IN
    assert set(codes.FORMULAS) == set(measurements.FORMULAS)
