"""Which language is answered in, and what an error says."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from reading_room.error_words import error_text
from reading_room.labels import problem
from reading_room.words import DEFAULT_LANGUAGE, LANGUAGE_COOKIE, Words, language_of
from worklist.people import Actor


def _request(query: str = "", accept: str = "", cookie: str = "") -> Request:
    headers = [(b"accept-language", accept.encode())] if accept else []
    if cookie:
        headers.append((b"cookie", f"{LANGUAGE_COOKIE}={cookie}".encode()))
    return Request({"type": "http", "query_string": query.encode(), "headers": headers})


def test_the_address_wins_over_the_person_and_the_person_over_the_browser() -> None:
    chinese = Actor(id="1", name="tech1", language="zh_CN")
    assert language_of(_request("lang=en"), chinese) == "en"
    assert language_of(_request(accept="en"), chinese) == "zh_CN"
    assert language_of(_request(accept="en", cookie="zh_CN"), None) == "zh_CN"
    assert language_of(_request(accept="en"), None) == "en"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", DEFAULT_LANGUAGE),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
        ("en-GB,en;q=0.9,zh;q=0.3", "en"),
        ("zh;q=0.3,en;q=0.9", "en"),
        ("fr,de;q=0.5", DEFAULT_LANGUAGE),
        ("en;q=rubbish,zh", "zh_CN"),
        (";;;,,,q=", DEFAULT_LANGUAGE),
    ],
)
def test_the_browsers_wishes_are_weighed(header: str, language: str) -> None:
    assert language_of(_request(accept=header), None) == language


def test_an_unknown_language_is_no_language() -> None:
    assert Words("tlh").language == DEFAULT_LANGUAGE
    assert language_of(_request("lang=tlh", cookie="tlh"), None) == DEFAULT_LANGUAGE


def test_an_error_says_its_parameters_and_survives_missing_ones() -> None:
    english = Words("en")
    assert error_text("field_missing", {"field": "name"}, english) == "This field is needed: name."
    assert error_text("field_missing", {}, english) == "This field is needed: {field}."
    assert error_text("field_missing", {"field": "{0} {x!r} %s"}, english).endswith("{0} {x!r} %s.")


def test_an_error_without_words_shows_its_code() -> None:
    assert "brand_new_code" in error_text("brand_new_code", {}, Words("en"))


def test_states_roles_and_fields_in_an_error_are_translated() -> None:
    chinese = Words("zh_CN")
    assert "待阅片" in problem(chinese, "cannot_move", {"machine": "reading", "state": "unread", "verb": "sign"})
    assert "审核医师" in problem(chinese, "role_needed", {"roles": "reader, senior reader"})
    assert "出生日期" in problem(chinese, "field_wrong", {"field": "birth_date"})
