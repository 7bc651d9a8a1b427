"""Query parameters and Accept headers of DICOMweb, strictly read."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from gateway.dicomweb import keys
from gateway.dicomweb.answers import NotAcceptable, accepted, choose, warning
from worklist.errors import BadInput
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_views import Place


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Foo", "1"),
        ("00091001", "1"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "٣"),
        ("offset", "100001"),
        ("StudyDate", "2026"),
        ("StudyDate", "20260101-20260102-"),
        ("StudyDate", "2026010120260102"),
        ("StudyTime", "99"),
        ("StudyInstanceUID", "1.2.x"),
        ("StudyInstanceUID", "1.2*"),
        ("PatientSex", "男"),
        ("ModalitiesInStudy", "ct"),
        ("PatientName", "a\0"),
        ("PatientName", "\ud800"),
        ("PatientName", "x" * 257),
        ("SeriesNumber", "1"),
        ("SOPInstanceUID", "1.2"),
        ("fuzzymatching", "yes"),
        ("includefield", "Foo"),
        ("includefield", ""),
        ("continue", "nonsense"),
        ("continue", "W10"),
        ("continue", keys.token_of(Place("a", "b", ("c", "d")))),
        ("continue", keys.token_of(Place("a", "b", (1, "d", 2)))),
        ("continue", keys.token_of(Place("a\0", "b"))),
    ],
)
def test_what_is_wrong_is_refused(key: str, value: str) -> None:
    with pytest.raises(BadInput):
        keys.read([(key, value)], "study")


def test_keys_are_read_by_tag_and_by_keyword() -> None:
    for name in ("StudyDate", "00080020"):
        query = keys.read([(name, "20260101-")], "study").query
        assert (query.date_from, query.date_to) == ("20260101", "")
    query = keys.read([("StudyDate", "-20260131"), ("StudyTime", "0930")], "study").query
    assert (query.date_from, query.date_to) == ("", "20260131")
    assert (query.time_from, query.time_to) == ("0930", "0930")
    assert keys.read([("StudyInstanceUID", "1.2,1.3\\1.4")], "study").query.study_uids == ("1.2", "1.3", "1.4")
    assert keys.read([("Modality", "CT")], "study").query.modalities == ("CT",)
    assert keys.read([("Modality", "CT")], "series").query.modality == ("CT",)
    assert keys.read([("PatientName", "*"), ("PatientID", "")], "study").query.patient_name == ""


def test_an_address_cannot_be_widened_by_a_parameter() -> None:
    named = keys.read([], "series", study_uid="1.2")
    assert named.query.study_uids == ("1.2",)
    with pytest.raises(BadInput, match="query_key_twice"):
        keys.read([("StudyInstanceUID", "1.3")], "series", study_uid="1.2")


def test_what_is_not_supported_is_said() -> None:
    asked = keys.read([("fuzzymatching", "true"), ("ReferringPhysicianName", "x"), ("00400275.00400009", "1")], "study")
    assert len(asked.warnings) == 3
    assert asked.query == ImageQuery()
    assert keys.read([("fuzzymatching", "false")], "study").warnings == []


def test_a_place_survives_its_token() -> None:
    for place in (Place("20260101", "s1"), Place("", "s1", (1, "e")), Place("20260101", "s1", (1, "e", -3, "i"))):
        assert keys.place_of(keys.token_of(place)) == place


def _request(*accept: str, query: str = "") -> Request:
    headers = [(b"accept", value.encode()) for value in accept]
    return Request({"type": "http", "headers": headers, "query_string": query.encode(), "path": "/", "method": "GET"})


def test_accept_headers() -> None:
    offers = ("application/dicom+json", "application/json")
    for header in ("*/*", "application/*", "application/dicom+json", "text/html, application/dicom+json;q=0.1"):
        assert choose(_request(header), *offers) == offers[0], header
    assert choose(_request(), *offers) == offers[0]
    assert choose(_request("application/json"), *offers) == offers[1]
    assert choose(_request("application/dicom+json;q=0, */*"), *offers) == offers[1]
    assert choose(_request("text/html", "APPLICATION/JSON ; q=0.3"), *offers) == offers[1]
    assert choose(_request("text/html", query="accept=application/dicom+json"), *offers) == offers[0]
    for header in ('multipart/related; type="application/dicom+xml"', "image/png", "*/*;q=0"):
        with pytest.raises(NotAcceptable):
            choose(_request(header), *offers)
    for header in ("nonsense", "a/b/c", "application/json;q", "x" * 5000):
        with pytest.raises(BadInput):
            choose(_request(header), *offers)
    (found, _rest) = accepted(_request('multipart/related; type="image/jls, \\"x"; transfer-syntax=*, */*;q=0.2'))
    assert dict(found.parameters) == {"type": 'image/jls, "x', "transfer-syntax": "*"}


def test_a_warning_is_plain() -> None:
    assert warning('a "b" 王\r\n') == '299 huren "a ?b? ???"'
