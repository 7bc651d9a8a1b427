"""The documents of a version, made once at signing and stored before anything is issued; and the reprint of an old one.

Drawing, laying out and sealing take some tenths of a second and a core: they happen outside any transaction and a few
at a time. Whatever fails here refuses the signature; nothing is issued without all of its documents.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from gateway.ecgs import sheet_of
from gateway.http import Web
from gateway.store import ObjectStore
from interfaces.dicom.report_objects import ReportObject, write_encapsulated_pdf, write_structured_report
from interfaces.ecg.paper import Sheet
from reading_room import previews
from reading_room.documents.content import sign_content
from reading_room.documents.paper import Mark, Picture, Tracing, render
from reading_room.documents.seal import Seals
from reading_room.documents.signer import Signer
from reading_room.documents.wording import ECG_SCALE
from worklist.actions.reports import Prepared
from worklist.documents import verification_page
from worklist.errors import BadInput, Broken, Conflict, HurenError
from worklist.facts import DocumentKind, ReportDocument, SignedReport
from worklist.rules.documents import documents_of

PICTURE_SIDE: Final = 1400  # pixels: 300 dpi on the width that four pictures leave to each
_AT_ONCE: Final = threading.BoundedSemaphore(2)


def make(web: Web, prepared: Prepared) -> tuple[ReportDocument, ...]:
    """Make and store every document that belongs to the version (`worklist.rules.documents`).

    Raises
    ------
    Conflict
        ``key_image_unreadable``: no picture can be made of a chosen image; the signer takes it off.
    Broken, TryLater
        the store, the seal or the layout failed; what was stored so far is deleted again.
    """
    kept: list[ReportDocument] = []
    try:
        with _AT_ONCE:
            _make(web, prepared, kept)
    except BaseException:
        discard(web.store, kept)
        raise
    return tuple(kept)


def discard(store: ObjectStore, documents: Iterable[ReportDocument]) -> None:
    """Take back documents of a version that is certainly not issued."""
    for document in documents:
        with suppress(HurenError):  # an orphan, which `huren reconcile` lists
            store.delete(document.stored.key)


def reprint(web: Web, report: SignedReport, mark: Mark, store_keys: Mapping[str, str]) -> bytes:
    """An old version on paper again, with a watermark over it; not sealed, since it is not what was issued.

    `store_keys` are those of its key images, and of an ECG's recordings, by SOP Instance UID; one that is not held any
    more is left out.
    """
    shown = [(store_keys[uid], frame) for uid, frame in report.key_images if uid in store_keys]
    with _AT_ONCE:
        page = verification_page(web.public_url)
        traced = _tracing(web.store, report, store_keys)
        return render(report, _pictures(web.store, shown), verify_url=page, trial=False, mark=mark, tracing=traced)


def _make(web: Web, prepared: Prepared, kept: list[ReportDocument]) -> None:
    report, filing = prepared.report, prepared.filing
    wanted = documents_of(prepared.status, is_filed=filing.is_filed)
    signer = _signer(web, report)
    keys = {seen.sop_instance_uid: seen.store_key for seen in filing.seen}
    pictures = _pictures(web.store, [(keys[uid], frame) for uid, frame in report.key_images])
    page, traced = verification_page(web.public_url), _tracing(web.store, report, keys)
    paper = render(report, pictures, verify_url=page, trial=signer.trial, tracing=traced)
    pdf = signer.seal(paper, f"{report.report_id} v{report.version}", report.signed_at)
    objects: dict[DocumentKind, ReportObject] = {}
    if "encapsulated pdf" in wanted:
        objects["encapsulated pdf"] = write_encapsulated_pdf(report, filing, pdf)
    if "sr" in wanted:
        objects["sr"] = write_structured_report(report, filing)
    content = sign_content(signer, report, pdf, objects)
    kept.append(ReportDocument("json", web.store.put([content.document], kind="json", into_reserve=True)))
    kept.append(ReportDocument("pdf", web.store.put([pdf], kind="pdf", into_reserve=True)))
    for kind, made in content.objects.items():
        kept.append(_keep(web, prepared, kind, made))


def _keep(web: Web, prepared: Prepared, kind: DocumentKind, made: ReportObject) -> ReportDocument:
    return ReportDocument(
        kind,
        web.store.put([made.dataset], made.head, kind="dcm", into_reserve=True),
        sop_class_uid=made.sop_class_uid,
        sop_instance_uid=made.sop_instance_uid,
        series_instance_uid=made.series_instance_uid,
        study_instance_uid=prepared.filing.study_instance_uid,
    )


def _pictures(store: ObjectStore, chosen: Iterable[tuple[str, int]]) -> list[Picture]:
    """Pictures of (store key, frame from 1)."""
    try:
        return [
            Picture(previews.draw(store, key, frame - 1, PICTURE_SIDE), f"图 {number}")
            for number, (key, frame) in enumerate(chosen, start=1)
        ]
    except BadInput as error:
        raise Conflict("key_image_unreadable") from error


def _tracing(store: ObjectStore, report: SignedReport, store_keys: Mapping[str, str]) -> Tracing | None:
    """Of an ECG report, the recording that was made last among those that it rests on: on each sheet the same."""
    if report.modality != "ECG":
        return None
    sheets: list[tuple[datetime, str, Sheet]] = []
    zone = ZoneInfo(report.timezone)
    for uid, _digest in report.instances:
        if uid not in store_keys:
            continue
        with suppress(BadInput):  # no recording, or none that can be drawn: it was read on the screen
            sheet = sheet_of(store, store_keys[uid])
            sheets.append((local(sheet.recorded_at, zone), uid, sheet))
    if not sheets:
        return None
    made, _uid, sheet = max(sheets, key=lambda one: one[:2])
    words = [ECG_SCALE]
    if sheet.recorded_at:
        words.append(f"记录时间 {made:%Y-%m-%d %H:%M:%S}")
    if sheet.left_out:
        words.append(f"未打印的导联 {' '.join(sheet.left_out)}")
    return Tracing(sheet.svg, sheet.width, sheet.height, sheet.labels, "　　".join(words))


def local(recorded_at: str, zone: ZoneInfo) -> datetime:
    """A device's time in `zone`, where it was if the device names none; the earliest of all where it says nothing."""
    if not recorded_at:
        return datetime.min.replace(tzinfo=zone)
    at = datetime.fromisoformat(recorded_at)
    return at.astimezone(zone) if at.tzinfo else at.replace(tzinfo=zone)


def _signer(web: Web, report: SignedReport) -> Signer:
    try:
        return _seals(web.seals).of(report.head.institution_id, report.head.institution_name)
    except OSError as error:
        raise Broken("seal_unusable", file="") from error


@functools.cache
def _seals(folder: Path) -> Seals:
    return Seals(folder)
