"""Issued reports on paper: the sealed bytes, a marked copy of what is no longer valid, and several in one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room.documents import making
from reading_room.documents.joining import join
from worklist.actions import printing
from worklist.documents import from_canonical
from worklist.errors import BadInput
from worklist.people import Actor
from worklist.queries import reports
from worklist.queries.views import VersionView

MOST_TOGETHER: Final = 50  # reports in one PDF


def together(web: Web, actor: Actor, report_ids: Sequence[str]) -> bytes:
    """The newest versions of several reports as one PDF; each print is on record, or none is.

    Raises
    ------
    BadInput
        ``nothing_to_print``, ``too_much_to_print``.
    """
    chosen = list(dict.fromkeys(report_ids))
    if not chosen:
        raise BadInput("nothing_to_print")
    if len(chosen) > MOST_TOGETHER:
        raise BadInput("too_much_to_print", most=MOST_TOGETHER)
    now = web.clock()

    def note(session: Session) -> list[tuple[str, list[VersionView], VersionView]]:
        done = [(id, printing.print_version(session, actor, id, None, now)) for id in chosen]
        return [(id, reports.versions(session, actor, id, now), printed.version) for id, printed in done]

    return join(on_paper(web, id, versions, version) for id, versions, version in web.database.write(note))


def on_paper(web: Web, report_id: str, versions: list[VersionView], chosen: VersionView) -> bytes:
    """A version as PDF: as it was issued or, once it is no longer valid, with a watermark."""
    mark = printing.mark_of(versions, chosen)
    if not mark:
        return web.store.read(web.database.read(lambda session: reports.document(session, chosen, "pdf")).store_key)
    report = from_canonical(web.store.read(chosen.document_key))

    def keys(session: Session) -> dict[str, str]:
        wanted = [uid for uid, _frame in report.key_images]
        if report.modality == "ECG":
            wanted += [uid for uid, _digest in report.instances]
        return reports.key_image_keys(session, report_id, wanted)

    return making.reprint(web, report, mark, web.database.read(keys))
