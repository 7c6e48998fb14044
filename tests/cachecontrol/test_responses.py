"""Responses: which may be stored, which stored values are responses, and what Cache-Status tells about a read."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from cachecontrol.core.reading import ReadResult
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import responses
from cachecontrol.reasons import Outcome, Reason

TEXT = b"word " * 100


def result(outcome: Outcome, reason: Reason | None = None, **fields: Any) -> ReadResult[Any]:
    return ReadResult(value=None, outcome=outcome, reason=reason, **fields)


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (result(Outcome.HIT), "hit"),
        (result(Outcome.STALE, Reason.MOVED), "hit; detail=stale"),
        (result(Outcome.BYPASS, Reason.DISABLED), "fwd=bypass; detail=disabled"),
        (result(Outcome.MISS, Reason.LEASE), "fwd=miss; collapsed"),
        (result(Outcome.MISS, Reason.ABSENT, is_stored=True), "fwd=uri-miss; stored"),
        (result(Outcome.MISS, Reason.EXPIRED, is_stored=True), "fwd=uri-miss; stored"),
        (result(Outcome.MISS, Reason.MOVED, refusal=Reason.UNCOVERED), "fwd=stale; detail=uncovered"),
    ],
)
def test_cache_status_tells_how_the_read_ended(read: ReadResult[Any], expected: str) -> None:
    assert responses.cache_status(read) == expected


def test_a_response_with_two_refusals_has_the_one_that_makes_it_personal() -> None:
    request = RequestFactory().get("/")
    response = HttpResponse(status=500, headers={"Cache-Control": "max-age=0, Private"})
    assert responses.refusal_of(request, response) is Reason.PRIVATE
    del response.headers["Cache-Control"]
    assert responses.refusal_of(request, response) is Reason.STATUS
    assert responses.refusal_of(request, HttpResponse()) is None
    assert responses.refusal_of(request, StreamingHttpResponse()) is Reason.STREAMING


@pytest.mark.parametrize("status", [200, 301, 404, 410])
def test_pages_are_worth_warming_and_error_pages_are_not(status: int) -> None:
    stored = responses.to_store(HttpResponse(status=status))
    assert responses.is_worth_warming(stored) is (status < 400)
    assert not responses.is_worth_warming(Reason.SET_COOKIE)


@pytest.mark.parametrize(
    ("response", "is_compressed"),
    [
        (HttpResponse(TEXT), True),
        (HttpResponse(b"short"), False),
        (HttpResponse(TEXT, headers={"Content-Encoding": "br"}), False),
    ],
    ids=["long", "short", "encoded"],
)
def test_a_long_body_is_stored_compressed_unless_it_has_an_encoding(
    response: HttpResponse, is_compressed: bool
) -> None:
    stored = responses.StoredFields(*responses.to_store(response))
    assert (bool(stored.compressed), bool(stored.body)) == (is_compressed, not is_compressed)
    assert responses.is_same(tuple(stored), response)


def test_headers_of_the_cache_itself_are_not_stored() -> None:
    response = HttpResponse(headers={"ETag": '"x"', "Age": "1", "Vary": "Cookie", "X-Own": "1"})
    stored = responses.StoredFields(*responses.to_store(response))
    assert stored.headers.keys() == {"Content-Type", "X-Own"}


STORED = (200, {"X": "a; b"}, b"body", b"", '"etag"')


@pytest.mark.parametrize(
    ("response", "is_same"),
    [
        (HttpResponse("body", headers={"X": "b;a"}), True),
        (HttpResponse("body", headers={"X": "a"}), False),
        (HttpResponse("other", headers={"X": "a; b"}), False),
        (HttpResponse("body", headers={"X": "a; b"}, status=404), False),
    ],
    ids=["order of a header", "header", "body", "status"],
)
def test_a_stored_response_is_compared_with_a_computed_one(response: HttpResponse, is_same: bool) -> None:
    assert responses.is_same(STORED, response) is is_same


@pytest.mark.parametrize(
    "value",
    [
        None,
        STORED[:4],
        (999, *STORED[1:]),
        (200, {"X": "line\nbreak"}, *STORED[2:]),
        (200, {"X Y": "a"}, *STORED[2:]),
        (200, {"X": 5}, *STORED[2:]),
        (200, [("X", "a")], *STORED[2:]),
        (*STORED[:4], '"\r\n"'),
    ],
    ids=["none", "too short", "status", "header", "name of a header", "no text", "no headers", "etag"],
)
def test_another_value_is_no_response(value: Any) -> None:
    assert not responses.is_sound(value)
    with pytest.raises(DamagedData):
        responses.is_same(value, HttpResponse())
