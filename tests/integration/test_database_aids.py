"""Templates, phrases, the critical list, checks before a report goes: on both databases."""

from __future__ import annotations

import pytest

from tests.world import World
from worklist.actions import aids, checking, configuration, grading, readings
from worklist.actions.checking import Warned
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import ReportText
from worklist.people import HUREN
from worklist.queries import aids as queries
from worklist.rules import starter_ecg
from worklist.rules.starter import CRITICAL, PHRASES, TEMPLATES
from worklist.tables import CriticalItem, CriticalResult, Phrase, Reading, ReportTemplate, ReportVersion


@pytest.fixture(autouse=True)
def starter(world: World) -> None:
    """The county's center has the starter set."""
    world.do(aids.add_starter, HUREN, world.centers["CH01"], world.now)


def test_an_ecg_center_begins_with_its_own(world: World) -> None:
    fields = {"institution_id": world.institutions["CH01"], "discipline": "ecg", "name": "心电诊断中心"}
    center = world.do(configuration.save_center, HUREN, fields, world.now).id
    whole = len(starter_ecg.TEMPLATES) + len(starter_ecg.PHRASES) + len(starter_ecg.CRITICAL)
    assert world.do(aids.add_starter, HUREN, center, world.now) == whole
    assert world.do(aids.add_starter, HUREN, center, world.now) == 0
    words = {item.name for item in world.rows(CriticalItem, CriticalItem.center_id == center)}
    assert "急性心肌梗死" in words


def test_the_starter_set_comes_once(world: World) -> None:
    whole = len(TEMPLATES) + len(PHRASES) + len(CRITICAL)
    assert len(world.rows(ReportTemplate)) + len(world.rows(Phrase)) + len(world.rows(CriticalItem)) == whole
    assert world.do(aids.add_starter, HUREN, world.centers["CH01"], world.now) == 0


def test_templates_that_fit_come_first_and_those_out_of_use_do_not(world: World) -> None:
    reading = world.ready()
    offered = world.ask(queries.for_reading, world.actor("reader1"), reading).templates
    assert [t.name for t in offered if t.fit][:2] == ["头颅CT平扫 未见异常", "头颅CT 脑出血"]
    senior = world.actor("senior1")
    world.do(aids.save_template, senior, world.centers["CH01"], {"enabled": False}, world.now, offered[0].id)
    again = world.ask(queries.for_reading, world.actor("reader1"), reading).templates
    assert offered[0].id not in [t.id for t in again]


def test_two_people_who_change_a_template_at_once(world: World) -> None:
    senior, center = world.actor("senior1"), world.centers["CH01"]
    row = world.rows(ReportTemplate)[0]
    world.do(aids.save_template, senior, center, {"name": "甲", "revision": row.revision}, world.now, row.id)
    with pytest.raises(Conflict, match="template_is_newer"):
        world.do(aids.save_template, senior, center, {"name": "乙", "revision": row.revision}, world.now, row.id)


def test_phrases_are_ones_own(world: World) -> None:
    reader, other, center = world.actor("reader1"), world.actor("reader2"), world.centers["CH01"]
    own = world.do(aids.save_phrase, reader, center, {"shortcut": "JH", "words": "见前。"}, world.now).id
    with pytest.raises(Conflict, match="shortcut_taken"):
        world.do(aids.save_phrase, reader, center, {"shortcut": "jh", "words": "再见前。"}, world.now)
    with pytest.raises(BadInput, match="shortcut_wrong"):
        world.do(aids.save_phrase, reader, center, {"shortcut": "见 前", "words": "见前。"}, world.now)
    assert own not in [p.id for p in world.ask(queries.phrases_of, other, center)]
    with pytest.raises(NotFound):
        world.do(aids.remove_phrase, other, own, world.now)
    with pytest.raises(NotFound):
        world.do(aids.save_phrase, other, center, {"words": "x"}, world.now, own)
    world.do(aids.remove_phrase, reader, own, world.now)


def test_another_centers_aids_are_not_there(world: World) -> None:
    city = world.actor("citysenior")
    row = world.rows(ReportTemplate)[0]
    with pytest.raises(NotFound):
        world.do(aids.save_template, city, world.centers["CH01"], {"name": "x"}, world.now, row.id)
    with pytest.raises(NotFound):
        world.do(aids.save_template, city, world.centers["CITY"], {"name": "x"}, world.now, row.id)
    with pytest.raises(NotFound):
        world.ask(queries.template, city, row.id)
    with pytest.raises(NotFound):
        world.ask(queries.phrases_of, city, world.centers["CH01"])


def test_a_draft_keeps_its_template_and_values(world: World) -> None:
    reading = world.ready()
    template = world.one(ReportTemplate, ReportTemplate.name == "头颅CT 脑出血")
    reader = world.actor("reader1")
    world.claim("reader1", reading)
    values = {"侧别": "R", "长径": "900"}
    text = ReportText("右侧基底节区高密度影。", "右侧基底节区脑出血。", "")
    world.do(readings.save_draft, reader, reading, text, None, world.now, template_id=template.id, values=values)
    draft = world.one(ReportVersion, ReportVersion.reading_id == reading)
    assert (draft.template_id, draft.values) == (template.id, values)
    warned = [w.code for w in world.ask(checking.warnings_of, reader, reading)]
    assert warned == ["critical_not_marked", "value_doubtful"]
    world.do(readings.save_draft, reader, reading, text, None, world.now)  # who says nothing of it leaves it
    assert world.one(ReportVersion, ReportVersion.reading_id == reading).template_id == template.id
    world.do(readings.save_draft, reader, reading, text, None, world.now, template_id="")
    draft = world.one(ReportVersion, ReportVersion.reading_id == reading)
    assert (draft.template_id, draft.values) == (None, {})
    with pytest.raises(NotFound, match="no_such_report_template"):
        world.do(readings.save_draft, reader, reading, text, None, world.now, template_id="nowhere")


def test_warnings_are_shown_once_and_kept_when_overruled(world: World) -> None:
    reading = world.ready()
    reader = world.actor("reader1")
    world.write("reader1", reading, ReportText("脑实质正常，前列腺不大，子宫正常。", "未见异常。", ""))
    with pytest.raises(Warned) as warned:
        world.do(checking.pass_on, reader, reading, [], world.now)
    seen = [w.key for w in warned.value.warnings]
    assert world.one(ReportVersion, ReportVersion.reading_id == reading).warnings == []
    world.do(checking.pass_on, reader, reading, seen, world.now)
    kept = world.one(ReportVersion, ReportVersion.reading_id == reading).warnings
    assert [w["code"] for w in kept] == ["sex_contradiction"]


def test_a_marked_result_knows_its_entry_of_the_list(world: World) -> None:
    reading = world.ready()
    text = ReportText("右侧基底节区血肿。", "脑出血。", "右侧基底节区急性脑出血，已电话通知")
    world.signed(reading, text)
    item = world.one(CriticalItem, CriticalItem.name == "脑出血")
    assert world.one(CriticalResult, CriticalResult.reading_id == reading).item_id == item.id


def test_poor_images_need_a_reason(world: World) -> None:
    reading = world.ready()
    reader = world.actor("reader1")
    world.claim("reader1", reading)
    with pytest.raises(BadInput, match="grade_reason_missing"):
        world.do(grading.grade_images, reader, reading, "C", " ", world.now)
    world.do(grading.grade_images, reader, reading, "C", "呼吸伪影", world.now)
    held = world.one(Reading, Reading.id == reading)
    assert (held.image_grade, held.image_grade_reason, held.graded_by_id) == ("C", "呼吸伪影", reader.id)
    world.do(grading.grade_images, reader, reading, "", "", world.now)
    held = world.one(Reading, Reading.id == reading)
    assert (held.image_grade, held.image_grade_reason, held.graded_by_id) == ("", "", None)
