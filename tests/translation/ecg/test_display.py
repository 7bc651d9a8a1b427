"""What a browser gets of a recording: a head and the device's own numbers."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian

from interfaces.dicom.objects import part10
from interfaces.ecg import display, writing
from interfaces.ecg.recording import Lead, Strip
from interfaces.ecg.waveforms import TWELVE_LEAD
from tests import ecgs
from worklist.errors import BadInput


def opened(data: bytes) -> tuple[dict[str, Any], list[NDArray[np.int64]]]:
    """The head, and the samples of the rhythm's leads."""
    (size,) = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + size])
    assert size % 4 == 0
    leads = head["rhythm"]["leads"]
    return head, [
        np.frombuffer(data, f"<i{one['bits'] // 8}", one["count"], 4 + size + one["at"]).astype(int) for one in leads
    ]


def test_samples_of_any_size_come_as_they_are() -> None:
    small = np.array([-(2**15), 0, 2**15 - 1, 7, 9], np.int32)
    large = np.array([-(2**31), 2**15, 5, 7, 2**31 - 1], np.int32)
    unknown = np.array([True, True, False, False, True])
    strip = Strip(500.0, (Lead("V1", small, 1.25, -3.0), Lead("V2", large, 0.5, 0.0, unknown)))
    head, found = opened(display.packed(replace(ecgs.recording(), rhythm=strip, beat=None)))
    assert [one["bits"] for one in head["rhythm"]["leads"]] == [16, 32]
    assert np.array_equal(found[0], small)
    assert np.array_equal(found[1], large)
    assert (head["rhythm"]["leads"][0]["step"], head["rhythm"]["leads"][0]["zero"]) == (1.25, -3.0)
    assert [one["unknown"] for one in head["rhythm"]["leads"]] == [[], [[0, 2], [4, 5]]]
    assert head["beat"] is None


def test_no_more_is_sent_than_can_be_looked_at() -> None:
    said = {"QT interval": float("nan"), "RR interval": 800.0}
    heart = ecgs.Heart(seconds=30.0, statements=("a" * 3000, "b" * 3000, "c"), said=said)
    recording = ecgs.recording(heart)
    head, found = opened(display.packed(recording, longest=12.0))
    assert head["seconds"] == 30.0
    assert {len(samples) for samples in found} == {6000}
    assert [len(line) for line in head["statements"]] == [3000, 1000]
    assert head["measurements"] == {"RR interval": 800.0}
    many = Strip(500.0, tuple(Lead(f"E{n}", np.zeros(10, np.int32), 1.0) for n in range(500)))
    assert len(opened(display.packed(replace(recording, rhythm=many)))[1]) == display.MOST_LEADS


def stored(recording: Any) -> bytes:
    """A recording as a Part 10 file."""
    made = writing.write(recording, writing.filing_of(recording.subject, "digest"), "2.25.1")
    return part10(sop_class=TWELVE_LEAD, sop_instance="2.25.1", transfer_syntax=made.transfer_syntax) + made.dataset


def test_a_file_that_is_none_is_refused() -> None:
    data = stored(ecgs.recording())
    assert opened(display.of_file(data))[0]["seconds"] == 10.0
    ds = dcmread(BytesIO(data))
    del ds.WaveformSequence
    out = BytesIO()
    ds.save_as(out)
    for bad, code in ((b"no DICOM at all" * 20, "bad_waveform"), (out.getvalue(), "no_waveform")):
        with pytest.raises(BadInput) as error:
            display.of_file(bad)
        assert error.value.code == code


def test_a_big_endian_file_is_not_misread() -> None:
    ds = dcmread(BytesIO(stored(ecgs.recording())))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    out = BytesIO()
    dcmwrite(out, ds, implicit_vr=False, little_endian=False, force_encoding=True)
    with pytest.raises(BadInput) as error:
        display.of_file(out.getvalue())
    assert error.value.code == "bad_waveform"
