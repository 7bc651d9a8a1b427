"""Images that the examining township proposes for the illustrated report (图文报告). The reader decides about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, NotFound
from worklist.people import Actor
from worklist.rules.documents import MOST_KEY_IMAGES
from worklist.tables import Instance, Study


def propose_images(
    session: Session, by: Actor, study_id: str, images: Sequence[tuple[str, int]], now: datetime
) -> None:
    """Propose (SOP Instance UID, frame from 1) of a study for the report, in this order; none takes all back.

    Raises
    ------
    BadInput
        ``key_images_too_many``, ``not_an_image_of_the_study``.
    NotFound
        ``no_such_study``: not there, or another institution's.
    Forbidden
        ``token_lacks_scope``, ``role_needed``.
    """
    by.require_scope("store")
    by.require("technician", "PACS admin")
    study = session.get(Study, study_id)
    if study is None or (study.institution_id != by.institution_id and not by.has("PACS admin")):
        raise NotFound("no_such_study")
    chosen = list(dict.fromkeys((uid, frame) for uid, frame in images))
    if len(chosen) > MOST_KEY_IMAGES:
        raise BadInput("key_images_too_many", most=MOST_KEY_IMAGES)
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.frames).where(
            Instance.study_id == study.id,
            Instance.sop_instance_uid.in_([uid for uid, _frame in chosen]),
            Instance.rows > 0,
            Instance.version_id.is_(None),
        )
    )
    frames = dict(rows.all())
    if any(not 1 <= frame <= frames.get(uid, 0) for uid, frame in chosen):
        raise BadInput("not_an_image_of_the_study")
    study.proposed_images = [[uid, frame] for uid, frame in chosen]
    audit.note(
        session,
        by,
        "images proposed",
        now,
        thing="study",
        thing_id=study.id,
        institution_id=study.institution_id,
        patient_id=study.patient_id,
        detail={"images": len(chosen)},
    )
