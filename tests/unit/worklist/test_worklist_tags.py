"""The tags that a device insists on: read as people write them, and nothing that would break its answers."""

from __future__ import annotations

import pytest

from worklist.errors import BadInput
from worklist.rules.worklist_tags import MOST_TAGS, read_worklist_tags


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("00102160", "00102160"),
        ("(0010,2160)", "00102160"),
        ("0010,21b0", "001021B0"),
        (" 00400100.00400007 ", "00400100.00400007"),
        ("(0040,0100).(0040,0007)", "00400100.00400007"),
        ("00321064", "00321064"),
    ],
)
def test_one_way_of_writing_is_kept(written: str, kept: str) -> None:
    assert read_worklist_tags([written, "", written]) == (kept,)


@pytest.mark.parametrize(
    "written",
    [
        "PatientName",
        "0010216",
        "001021600",
        "00400100.00400007.00080100",  # no path leads further than the step
        "00321064.00080100",  # nor into another sequence
        "00400100.",
        "00080005",  # the character set is ours to say
        "00400100",  # comes always
        "00100000",  # a group length
        "00091001",  # private
        "00020010",
        "7FE00010",
        "FFFEE000",
        "٠0100010",
    ],
)
def test_what_no_answer_can_hold_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match="worklist_tag_wrong"):
        read_worklist_tags([written])


def test_there_is_an_end_to_them() -> None:
    tags = [f"0010{number:04X}" for number in range(0x10, 0x10 + MOST_TAGS + 1)]
    assert len(read_worklist_tags(tags[:MOST_TAGS])) == MOST_TAGS
    with pytest.raises(BadInput, match="too_many_worklist_tags"):
        read_worklist_tags(tags)
