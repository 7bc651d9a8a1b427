"""Files that a person hands in: which of them are objects, and what became of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from gateway.archives import Packed
from gateway.intake import ObjectIntake, Taken
from gateway.spool import Spool
from interfaces.dicom.elements import Buffer
from interfaces.dicom.files import looks_like_dicom, open_file
from worklist.actions.uploads import LONGEST_NAME, FileFate
from worklist.errors import BadInput
from worklist.facts import KnownDevice, UploadOrigin
from worklist.people import Actor

IMAGE_NAMES: Final = (".dcm", ".dicom", ".dic", ".ima")
"""What ends so and is no object is a loss that a person must hear of, not a viewer program to pass over."""


def shown_name(name: str) -> str:
    """A file's name as it may be kept and shown: one line, its end if it is long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return clean if len(clean) <= LONGEST_NAME else "…" + clean[1 - LONGEST_NAME :]


def take_file(
    intake: ObjectIntake, sender: KnownDevice, by: Actor, origin: UploadOrigin, name: str, data: Buffer
) -> FileFate:
    """Store a file if it is an object; say what it is otherwise.

    Raises
    ------
    TryLater, Broken
        as `ObjectIntake.take`: the file must be sent again.
    """
    size = len(memoryview(data))
    named = shown_name(name)
    if reason := reason_to_ignore(name, data):
        return FileFate(named, size, "refused" if reason == "zip_inside" else "ignored", reason)
    try:
        if not size:
            raise BadInput("file_empty")
        syntax, dataset = open_file(data)
        taken = intake.take(sender, dataset, syntax, by=by, origin=origin)
    except BadInput as error:
        if error.code == "dicomdir":
            return FileFate(named, size, "ignored", error.code)
        return FileFate(named, size, "refused", error.code, dict(error.params))
    return _fate(named, size, taken)


def take_packed(
    intake: ObjectIntake,
    sender: KnownDevice,
    by: Actor,
    origin: UploadOrigin,
    packed: Packed,
    archive: str,
    spool: Spool,
) -> FileFate:
    """`take_file` of a file in an archive, unpacked into `spool`, which is closed; viewer programs are not unpacked
    beyond their first bytes."""
    name = f"{archive}/{packed.name}"
    named = shown_name(name)
    try:
        pieces = packed.pieces()
        first = next(pieces, b"")
        if reason := reason_to_ignore(packed.name, first):
            return FileFate(named, packed.size, "refused" if reason == "zip_inside" else "ignored", reason)
        for piece in itertools.chain((first,), pieces):
            spool.add_here(piece)
        with spool.view() as data:
            return take_file(intake, sender, by, origin, name, data)
    except BadInput as error:
        return FileFate(named, packed.size, "refused", error.code, dict(error.params))
    finally:
        spool.close()


def reason_to_ignore(name: str, data: Buffer) -> str:
    """Why a file is not for us (an error code), or ``""`` where it is, or seems to have been, an object."""
    if name.replace("\\", "/").rpartition("/")[2].upper() == "DICOMDIR":
        return "dicomdir"
    if bytes(memoryview(data)[:4]) == b"PK\x03\x04" and name.lower().endswith(".zip"):
        return "zip_inside"  # it may hold images; other such archives (.jar, .docx) do not
    if looks_like_dicom(data) or name.lower().endswith(IMAGE_NAMES):
        return ""
    return "no_dicom_file" if memoryview(data) else "file_empty"


def _fate(name: str, size: int, taken: Taken) -> FileFate:
    outcome = "refused" if taken.outcome == "set aside" else taken.outcome
    return FileFate(
        name,
        size,
        outcome,
        taken.code,
        dict(taken.params),
        taken.study_id,
        taken.facts.sop_instance_uid if taken.facts else "",
    )


def in_batches(fates: Iterator[FileFate], most: int) -> Iterator[list[FileFate]]:
    """Up to `most` at a time: one transaction each."""
    batch: list[FileFate] = []
    for fate in fates:
        batch.append(fate)
        if len(batch) >= most:
            yield batch
            batch = []
    if batch:
        yield batch
