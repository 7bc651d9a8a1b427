"""What readers write with: templates, phrases, critical lists, and the checks of a report."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import LookingAtCases
from reading_room.api.fields import REFUSALS, Body, Id, Line, Listed, Long, PathId, Remark, Word
from reading_room.api.shapes import WarningOut
from worklist.actions import aids as actions
from worklist.actions import checking, grading, looking
from worklist.queries import aids
from worklist.queries.aids import CriticalItemView, PhraseView, PriorWords, ReadingAids, TemplateView

router = APIRouter(tags=["writing aids"], responses=REFUSALS)

Text = Annotated[str, StringConstraints(max_length=10_000)]


class TemplateIn(Body):
    """A template. `{name}` in a text stands for a field; what is in `[[ ]]` is said only if its fields have values."""

    name: Line = ""
    name_en: Line = ""
    shortcut: Word = ""
    procedure_id: Word = ""
    modality: Word = ""
    body_part: Word = ""
    sex: Word = Field("", description="F, M, or empty: both.")
    is_normal: bool = Field(False, description="Taken by the one key for “nothing found”.")
    fields: list[dict[str, Any]] = Field(
        [],
        max_length=40,
        description="Each: name, kind (choice, choices, number, side, text), label, label_en, choices, unit, least, "
        "most, usual.",
    )
    findings: Text = ""
    impression: Text = ""
    place: Annotated[int, Field(ge=0, le=100_000)] = 0
    enabled: bool = True
    revision: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = Field(
        None, description="The one that was changed; another one held is refused."
    )


class PhraseIn(Body):
    """A phrase, with `{}` where something is to be filled in."""

    shortcut: Word = ""
    title: Line = ""
    words: Long = ""
    field: Word = Field("", description="findings, impression, or empty: where the cursor is.")
    modality: Word = ""
    body_part: Word = ""


class NewPhrase(PhraseIn):
    """A phrase of one's own, or of the center."""

    center_id: Id
    shared: bool = Field(False, description="Everybody's in the center; its manager and senior readers may.")


class CriticalItemIn(Body):
    """An entry of the list of critical results."""

    code: Word = ""
    name: Line = ""
    name_en: Line = ""
    modality: Word = ""
    words: Remark = Field("", description="How it is worded in the report; empty: its name.")
    place: Annotated[int, Field(ge=0, le=100_000)] = 0
    enabled: bool = True
    tier: Word = Field("critical", description="critical, or major: the second tier, with a ladder of its own.")
    measurement: Word = Field("", description="Of an ECG's device: by which it is suspected. Empty: it is not.")
    below: Annotated[int, Field(ge=-9999, le=9999)] | None = Field(None, description="Suspected where it is less.")
    from_on: Annotated[int, Field(ge=-9999, le=9999)] | None = Field(None, description="Or so much or more.")


class Grading(Body):
    """How good the images are."""

    grade: Word = Field("", description="A, B, C, rejected; empty takes the grade back.")
    reason: Annotated[str, StringConstraints(max_length=500)] = Field("", description="Needed with C and rejected.")


class Added(BaseModel):
    """How many things the starter set added."""

    added: int


@router.get("/readings/{reading_id}/aids")
def get_aids(web: Served, by: LookingAtCases, reading_id: PathId) -> ReadingAids:
    """Templates that fit a case (the most particular first), phrases, and the list of critical results."""
    return web.database.read(lambda s: aids.for_reading(s, by, reading_id))


@router.get("/readings/{reading_id}/warnings")
def get_warnings(web: Served, by: Acting, reading_id: PathId) -> Listed[WarningOut]:
    """What the checks say about the draft as it is held now."""
    return Listed([WarningOut.of(w) for w in web.database.read(lambda s: checking.warnings_of(s, by, reading_id))])


@router.get("/readings/{reading_id}/priors/{report_id}")
def get_prior_words(web: Served, by: LookingAtCases, reading_id: PathId, report_id: PathId) -> PriorWords:
    """The words of an earlier report of the patient, to be copied: each under a mark with that report's date."""
    now = web.clock()
    return web.database.write(lambda s: looking.open_prior_words(s, by, reading_id, report_id, now))


@router.post("/readings/{reading_id}/grade", status_code=204)
def grade_images(web: Served, by: Acting, reading_id: PathId, body: Grading) -> None:
    """Grade the images of a case that one holds."""
    now = web.clock()
    web.database.write(lambda s: grading.grade_images(s, by, reading_id, body.grade, body.reason, now))


@router.get("/centers/{center_id}/templates")
def get_templates(web: Served, by: LookingAtCases, center_id: PathId) -> Listed[TemplateView]:
    """A center's templates, those out of use too."""
    return Listed(web.database.read(lambda s: aids.templates_of(s, by, center_id)))


@router.post("/centers/{center_id}/templates", status_code=201)
def create_template(web: Served, by: Acting, center_id: PathId, body: TemplateIn) -> TemplateView:
    """Make a template of a center."""
    now = web.clock()
    return web.database.write(
        lambda s: aids.template(s, by, actions.save_template(s, by, center_id, body.given(), now).id)
    )


@router.put("/templates/{template_id}")
def change_template(web: Served, by: Acting, template_id: PathId, body: TemplateIn) -> TemplateView:
    """Change a template; fields that are left out stay as they are."""
    now = web.clock()

    def work(s: Session) -> TemplateView:
        held = aids.template(s, by, template_id)
        actions.save_template(s, by, held.center_id, body.given(), now, template_id)
        return aids.template(s, by, template_id)

    return web.database.write(work)


@router.get("/centers/{center_id}/phrases")
def get_phrases(web: Served, by: LookingAtCases, center_id: PathId) -> Listed[PhraseView]:
    """The caller's own phrases in a center, and the center's."""
    return Listed(web.database.read(lambda s: aids.phrases_of(s, by, center_id)))


@router.post("/phrases", status_code=201)
def create_phrase(web: Served, by: Acting, body: NewPhrase) -> PhraseView:
    """Keep a phrase."""
    now = web.clock()
    given = body.given()
    center_id, shared = given.pop("center_id"), given.pop("shared", False)

    def work(s: Session) -> PhraseView:
        row = actions.save_phrase(s, by, center_id, given, now, shared=shared)
        return aids.phrase(s, by, row.id)

    return web.database.write(work)


@router.put("/phrases/{phrase_id}")
def change_phrase(web: Served, by: Acting, phrase_id: PathId, body: PhraseIn) -> PhraseView:
    """Change a phrase."""
    now = web.clock()

    def work(s: Session) -> PhraseView:
        held = aids.phrase(s, by, phrase_id)
        actions.save_phrase(s, by, held.center_id, body.given(), now, phrase_id, shared=not held.own)
        return aids.phrase(s, by, phrase_id)

    return web.database.write(work)


@router.delete("/phrases/{phrase_id}", status_code=204)
def remove_phrase(web: Served, by: Acting, phrase_id: PathId) -> None:
    """Take a phrase away."""
    now = web.clock()
    web.database.write(lambda s: actions.remove_phrase(s, by, phrase_id, now))


@router.get("/centers/{center_id}/critical-items")
def get_critical_items(web: Served, by: LookingAtCases, center_id: PathId) -> Listed[CriticalItemView]:
    """A center's list of critical results, entries out of use too."""
    return Listed(web.database.read(lambda s: aids.critical_items_of(s, by, center_id)))


@router.post("/centers/{center_id}/critical-items", status_code=201)
def create_critical_item(web: Served, by: Acting, center_id: PathId, body: CriticalItemIn) -> CriticalItemView:
    """Add to a center's list of critical results."""
    now = web.clock()

    def work(s: Session) -> CriticalItemView:
        row = actions.save_critical_item(s, by, center_id, body.given(), now)
        return aids.critical_item(s, by, row.id)

    return web.database.write(work)


@router.put("/critical-items/{item_id}")
def change_critical_item(web: Served, by: Acting, item_id: PathId, body: CriticalItemIn) -> CriticalItemView:
    """Change an entry of the list, or take it out of use."""
    now = web.clock()

    def work(s: Session) -> CriticalItemView:
        held = aids.critical_item(s, by, item_id)
        actions.save_critical_item(s, by, held.center_id, body.given(), now, item_id)
        return aids.critical_item(s, by, item_id)

    return web.database.write(work)


@router.post("/centers/{center_id}/starter-set")
def add_starter_set(web: Served, by: Acting, center_id: PathId) -> Added:
    """Add the templates, phrases and critical results that the starter set has and the center has not."""
    now = web.clock()
    return Added(added=web.database.write(lambda s: actions.add_starter(s, by, center_id, now)))
