"""Files that a person hands in: which of them are objects, and what became of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Final

from gateway.archives import Packed
from gateway.children import children
from gateway.ecgs import is_recording, recording_of
from gateway.intake import ObjectIntake, Taken
from gateway.spool import Spool
from gateway.store import ObjectStore
from interfaces.dicom import wrapping
from interfaces.dicom.elements import Buffer
from interfaces.dicom.files import looks_like_dicom, open_file
from interfaces.dicom.pictures import looks_like_pdf, looks_like_picture
from interfaces.ecg import writing
from interfaces.ecg.recording import Subject
from worklist.actions.uploads import LONGEST_NAME, FileFate
from worklist.errors import BadInput
from worklist.facts import KnownDevice, PictureFiling, UploadOrigin
from worklist.people import Actor

IMAGE_NAMES: Final = (".dcm", ".dicom", ".dic", ".ima")
"""What ends so and is no object is a loss that a person must hear of, not a viewer program to pass over."""

NOT_READ: Final = ("zip_inside",)
"""Reasons for which a file is not read although it may be an examination: a person must hear of it."""

PICTURE_ENDINGS: Final = ("jpg", "jpeg", "png", "tif", "tiff", "bmp")


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
        return FileFate(named, size, "refused" if reason in NOT_READ else "ignored", reason)
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


def take_paper(
    intake: ObjectIntake,
    store: ObjectStore,
    sender: KnownDevice,
    by: Actor,
    filing: PictureFiling,
    held: Callable[[str], str],
    name: str,
    number: int,
    data: Buffer,
) -> list[FileFate]:
    """Keep a picture or a PDF for an order: the file as it came, and a DICOM object of each of its pages.

    `held` tells the study in which a SOP Instance UID is held; `number` is its place among the files.

    Raises
    ------
    TryLater, Broken
        as `ObjectIntake.take`: the file must be sent again.
    """
    whole = memoryview(data)
    named, title = shown_name(name), name.replace("\\", "/").rpartition("/")[2]
    digest = sha256(whole).hexdigest()
    fates: list[FileFate] = []
    original = ""
    page, pages = 0, 1
    is_pdf = looks_like_pdf(bytes(whole[:1024]))
    while page < pages:
        uid = wrapping.uid_of(filing, digest, page)
        shown = named if page == 0 else shown_name(f"{name} ({page + 1})")
        try:
            if is_pdf:
                wrapped = wrapping.wrap_pdf(filing, whole, sop_instance_uid=uid, number=number, name=title)
            else:
                frame = children().picture(whole, page)
                pages = frame.pages
                wrapped = wrapping.wrap_picture(filing, frame, sop_instance_uid=uid, number=number + page, name=title)
        except BadInput as error:
            fates.append(FileFate(shown, len(whole), "refused", error.code, dict(error.params)))
            break
        page += 1
        if study_id := held(uid):  # the same file again: whatever time is said of it now
            fates.append(FileFate(shown, len(whole), "duplicate", study_id=study_id, sop_instance_uid=uid))
            continue
        original = original or store.put([bytes(whole)], kind=_kind(name, is_pdf)).key
        taken = intake.take(sender, wrapped.dataset, wrapped.transfer_syntax, by=by)
        fates.append(replace(_fate(shown, len(whole), taken), original_key=original))
    return fates


def take_recording(
    intake: ObjectIntake,
    store: ObjectStore,
    sender: KnownDevice,
    by: Actor | None,
    filing: PictureFiling | None,
    held: Callable[[str], str],
    name: str,
    data: Buffer,
    *,
    origin: UploadOrigin = "own equipment",
) -> FileFate:
    """Keep a cart's own ECG file: the file as it came, and a DICOM waveform object of it.

    With a `filing` it is that order's, unless the recording itself names another patient or order; without one it
    goes under what it says of itself, and is matched or waits as any other object. `held` as for `take_paper`.

    Raises
    ------
    TryLater, Broken
        as `ObjectIntake.take`: the file must be sent again.
    """
    whole = memoryview(data)
    named, digest = shown_name(name), sha256(whole).hexdigest()
    try:
        recording = recording_of(whole, sender.character_set_in)
        if filing is not None:
            _require_same(recording.subject, filing)
        kept_as = filing or writing.filing_of(recording.subject, digest)
        uid = writing.uid_of(kept_as, digest)
        if study_id := held(uid):
            return FileFate(named, len(whole), "duplicate", study_id=study_id, sop_instance_uid=uid)
        wrapped = writing.write(recording, kept_as, uid)
    except BadInput as error:
        return FileFate(named, len(whole), "refused", error.code, dict(error.params))
    original = store.put([bytes(whole)], kind="ecg").key
    taken = intake.take(sender, wrapped.dataset, wrapped.transfer_syntax, by=by, origin=origin)
    return replace(_fate(named, len(whole), taken), original_key=original)


def _require_same(subject: Subject, filing: PictureFiling) -> None:
    """A recording that names somebody is not put under somebody else."""
    numbers = (filing.accession_number, filing.placer_number)
    if subject.patient_id and subject.patient_id != filing.patient_id:
        raise BadInput("ecg_of_other_patient", sent=subject.patient_id, ordered=filing.patient_id)
    if subject.order_number and subject.order_number not in numbers:
        raise BadInput("ecg_of_other_order", sent=subject.order_number, ordered=filing.accession_number)


def is_paper(data: Buffer) -> bool:
    """Whether a file is a picture or a PDF, by its first bytes."""
    head = bytes(memoryview(data)[:1024])
    return looks_like_picture(head) or looks_like_pdf(head)


def _kind(name: str, is_pdf: bool) -> str:
    ending = name.rpartition(".")[2].lower()
    return "pdf" if is_pdf else ending if ending in PICTURE_ENDINGS else "picture"


def take_packed(take: Callable[[str, Buffer], FileFate], packed: Packed, archive: str, spool: Spool) -> FileFate:
    """What `take` makes of a file in an archive, unpacked into `spool`, which is closed; viewer programs are not
    unpacked beyond their first bytes. `take` gets its name with the archive's, and its bytes."""
    name = f"{archive}/{packed.name}"
    named = shown_name(name)
    try:
        pieces = packed.pieces()
        first = next(pieces, b"")
        if reason := reason_to_ignore(packed.name, first):
            return FileFate(named, packed.size, "refused" if reason in NOT_READ else "ignored", reason)
        for piece in itertools.chain((first,), pieces):
            spool.add_here(piece)
        with spool.view() as data:
            return take(name, data)
    except BadInput as error:
        return FileFate(named, packed.size, "refused", error.code, dict(error.params))
    finally:
        spool.close()


def reason_to_ignore(name: str, data: Buffer) -> str:
    """Why a file is not for us (an error code), or ``""`` where it is, or seems to have been, an object or an ECG."""
    if name.replace("\\", "/").rpartition("/")[2].upper() == "DICOMDIR":
        return "dicomdir"
    if bytes(memoryview(data)[:4]) == b"PK\x03\x04" and name.lower().endswith(".zip"):
        return "zip_inside"  # it may hold images; other such archives (.jar, .docx) do not
    if looks_like_dicom(data) or name.lower().endswith(IMAGE_NAMES):
        return ""
    if is_paper(data):
        return "picture_without_order"
    if is_recording(data):
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
