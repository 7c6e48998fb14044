"""Readers and writers report answers and errors, and both reach the results of the proof."""

from __future__ import annotations

import io

import pytest
from django.db import DataError, connection

from cachecontrol.prove import messages
from cachecontrol.prove.checker import ViolationKind
from cachecontrol.prove.messages import MessageKind, send
from cachecontrol.prove.results import Results
from cachecontrol.prove.workload.reports import reported


def received(output: bytes) -> Results:
    """Return the results of these messages."""
    results = Results()
    for message in messages.receive(io.BytesIO(output)):
        results.receive(message)
    return results


def test_an_answer_arrives_with_its_times_and_facts(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with reported("reader0", "queryset of shelf 3, item 1") as answer:
        answer["facts"] = [("list", 3, {1: 6})]
    (arrived,) = received(capfdbinary.readouterr().out).answers
    assert arrived.facts == (("list", 3, {1: 6}),)
    assert arrived.asked_at <= arrived.received_at
    assert arrived.client == "reader0"


@pytest.mark.django_db(transaction=True)
def test_an_error_of_the_database_is_reported_and_not_raised(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    with reported("writer0", "own item 1"), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    (violation,) = received(capfdbinary.readouterr().out).errors
    assert violation.kind is ViolationKind.ERROR
    assert violation.fact == ("error", "division by zero")
    assert any(DataError.__name__ in line for line in violation.evidence.values())


def test_writes_and_failures_are_counted(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    send(MessageKind.WRITE, name="save", error="")
    send(MessageKind.WRITE, name="save", error="gone")
    send(MessageKind.NO_RESPONSE, error="ConnectionResetError")
    results = received(capfdbinary.readouterr().out)
    assert results.writes == {"save": 1}
    assert results.failed_writes == {"save: gone": 1}
    assert results.failed_reads == {"ConnectionResetError": 1}


def test_a_message_that_is_cut_off_is_dropped(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    send(MessageKind.WRITE, name="save", error="")
    output = capfdbinary.readouterr().out
    assert received(output + output[:-3]).writes == {"save": 1}
