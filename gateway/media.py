"""A study as files of a DICOM medium: Part 10 files and a DICOMDIR beside them (PS3.10 section 8, PS3.3 annex F)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydicom import Dataset, dcmread
from pydicom.fileset import FileSet

from gateway.dimse.faults import describe

log = structlog.get_logger(__name__)

DICOMDIR = "DICOMDIR"
OTHERS = "OTHERS"  # the folder of objects that a DICOMDIR cannot name


@dataclass(frozen=True)
class OnMedium:
    """One object and its file, relative to the medium's folder."""

    sop_instance_uid: str
    path: str


def write_medium(folder: Path, files: Iterable[tuple[str, Path]]) -> list[OnMedium]:
    """Move `files` (SOP Instance UID, file) into `folder` as a medium, with a DICOMDIR that names them.

    An object that no directory record can be made of (PS3.3 F.5: an element that it must have is missing) lies in the
    folder ``OTHERS`` under its UID. One study at a time: the directory is made in memory.
    """
    held = dict(files)
    listed = FileSet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange values, which are the senders' and stay as they are
        for uid, path in held.items():
            try:
                listed.add(_for_its_records(path))  # the file itself comes below
            except Exception as error:  # noqa: BLE001 - whatever the library stumbles over, the object is kept
                log.info("object_not_in_dicomdir", instance=uid, error=describe(error))
        folder.mkdir(parents=True, exist_ok=True)
        if len(listed):
            listed.write(folder)
    listed._stage["t"].cleanup()  # the library leaves its folder to the garbage collector, which warns
    named = {str(i.SOPInstanceUID): Path(i.path).relative_to(folder).as_posix() for i in listed}
    found = [OnMedium(uid, named.get(uid, f"{OTHERS}/{uid}.dcm")) for uid in held]
    for one in found:
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        held[one.sop_instance_uid].replace(target)  # the very bytes, which the library would write anew
    return found


def _for_its_records(path: Path) -> Dataset:
    """An object's header. Numbers that a directory must tell and many devices leave out are filled in for it alone."""
    read = dcmread(path, stop_before_pixels=True)
    if not read.get("StudyID"):
        read.StudyID = str(read.get("AccessionNumber") or "0")[:16]
    for word in ("SeriesNumber", "InstanceNumber"):
        if read.get(word) is None:
            setattr(read, word, 0)
    return read
