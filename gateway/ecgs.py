"""ECGs of strangers, read in the limited children: what the doors, the pages and the paper ask of them.

A child that a file has taken over could answer anything: what comes back is checked, or is bytes for a browser.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from io import BytesIO

from pydicom import dcmread

from gateway.children import children
from gateway.store import ObjectStore
from interfaces.dicom.elements import Buffer
from interfaces.ecg import files, waveforms
from interfaces.ecg.codes import KINDS
from interfaces.ecg.paper import Sheet
from interfaces.ecg.recording import Recording
from worklist.errors import BadInput
from worklist.facts import Fault


def is_recording(data: Buffer) -> bool:
    """Whether a file is an ECG as a cart writes its own, by its first bytes."""
    return bool(files.format_of(bytes(memoryview(data)[: files.HEAD])))


def recording_of(data: Buffer, assumed_character_set: str = "") -> Recording:
    """A cart's own file; `assumed_character_set` as in `files.read`.

    Raises
    ------
    BadInput
        as `files.read` and `writing.write`, and ``decoder_gave_up``.
    TryLater
        the children are busy, or there is no room.
    """
    whole = memoryview(data)
    made = children().of_bytes(whole, "recording", assumed=assumed_character_set)
    try:
        read = waveforms.read(dcmread(BytesIO(made), force=True))
    except Exception as error:
        raise BadInput("decoder_gave_up", reason="error") from error
    return replace(read, format=files.format_of(bytes(whole[: files.HEAD])))


@dataclass(frozen=True)
class Look:
    """What is wrong with a recording, and what its device measured, by the names of `recording.KINDS`."""

    faults: tuple[Fault, ...]
    measurements: dict[str, float]


def look_at(store: ObjectStore, key: str, *, rate: float, seconds: float) -> Look:
    """A stored recording, for a center that asks for so many Hz and seconds.

    Raises
    ------
    BadInput
        as `waveforms.read`, and ``decoder_gave_up``.
    Broken
        ``object_missing``.
    TryLater
        the children are busy.
    """
    said = json.loads(children().of_stored(store, key, "ecg look", rate=rate, seconds=seconds))
    faults = tuple(
        Fault(str(one["code"]), {str(name): str(value)[:200] for name, value in dict(one["params"]).items()})
        for one in said["faults"]
    )
    measured = {name: float(value) for name, value in dict(said["measurements"]).items() if name in KINDS}
    return Look(faults, {name: value for name, value in measured.items() if math.isfinite(value)})


def drawing_of(store: ObjectStore, key: str) -> bytes:
    """A stored recording as `display.of_file` makes it for a browser; raises as it, and as `look_at`."""
    return children().of_stored(store, key, "ecg")


def sheet_of(store: ObjectStore, key: str) -> Sheet:
    """A stored recording as `paper.draw` prints it; raises as `look_at`."""
    return Sheet.unpacked(children().of_stored(store, key, "ecg sheet"))
