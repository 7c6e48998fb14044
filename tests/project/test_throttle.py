"""Who guesses at a password has to wait, and who knows it gets in soon."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from project import throttle
from project.models import LoginAttempts
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from time_machine import TimeMachineFixture

    from project.local.valkey import Valkey
    from tests.replies import ClientResponse

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def keeper() -> User:
    return User.objects.create_superuser("keeper", "k@shop.example", "right")


@pytest.fixture
def log_in(client: Client, keeper: User) -> Callable[..., ClientResponse]:
    def log_in(password: str, name: str = "keeper", language: str = "en") -> ClientResponse:
        form = {"username": name, "password": password}
        return client.post("/admin/login/?next=/admin/", form, headers={"accept-language": language})

    return log_in


def is_in(answer: ClientResponse) -> bool:
    return answer.status_code == 302


def test_of_twelve_wrong_passwords_at_full_speed_five_are_looked_at(
    log_in: Callable[..., ClientResponse], time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    answers = [log_in(f"wrong {number}").content.decode() for number in range(12)]
    waits = ["Too many wrong passwords. Try again in 5 seconds." in answer for answer in answers]
    assert waits == 4 * [False] + 8 * [True]
    assert LoginAttempts.objects.get().count == 5
    assert not is_in(log_in("right"))
    assert (
        "Zu viele falsche Passwörter. Versuchen Sie es in 5 Sekunden"
        in log_in("x", language="de").content.decode()
    )


def test_who_knows_the_password_gets_in_after_the_wait_and_all_is_forgotten(
    log_in: Callable[..., ClientResponse], time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    for _ in range(8):
        log_in("wrong")
    time_machine.move_to(NOON + timedelta(seconds=5))
    assert is_in(log_in("right"))
    assert not LoginAttempts.objects.exists()


def test_nobody_waits_longer_than_a_minute_however_long_somebody_guesses(
    log_in: Callable[..., ClientResponse], time_machine: TimeMachineFixture
) -> None:
    moment, waits = NOON, list[int]()
    for _ in range(12):
        time_machine.move_to(moment, tick=False)
        log_in("wrong")
        waits.append(throttle.wait("keeper").seconds)
        moment += timedelta(seconds=waits[-1])
    assert waits == [0, 0, 0, 0, 5, 10, 20, 40, 60, 60, 60, 60]
    time_machine.move_to(moment, tick=False)
    assert is_in(log_in("right"))


def test_a_name_that_nobody_has_waits_as_well_and_other_names_do_not(
    log_in: Callable[..., ClientResponse],
) -> None:
    for _ in range(6):
        log_in("wrong", name="nobody")
    assert "Too many wrong passwords" in log_in("wrong", name="Nobody").content.decode()
    assert is_in(log_in("right"))


def test_guesses_that_arrive_at_once_are_counted_one_by_one(keeper: User) -> None:
    def attempt(_: int) -> bool:
        try:
            return throttle.attempt("keeper")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(40))) == throttle.FREE


def log_in_asynchronously(password: str) -> object:
    """Log in from a thread of its own: where a browser has run before, an event loop runs in that of the tests."""
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(async_to_sync(aauthenticate), username="keeper", password=password).result(
                LONG
            )
        finally:
            pool.submit(connections.close_all).result(LONG)


def test_asynchronous_code_waits_as_well(keeper: User) -> None:
    assert [log_in_asynchronously("wrong") for _ in range(throttle.FREE)] == [None] * throttle.FREE
    assert log_in_asynchronously("right") is None
    LoginAttempts.objects.update(blocked_until=timezone.now())
    assert log_in_asynchronously("right") == keeper


def test_a_redis_that_is_away_changes_nothing(log_in: Callable[..., ClientResponse], valkey: Valkey) -> None:
    valkey.stop()
    try:
        for _ in range(8):
            log_in("wrong")
        assert not is_in(log_in("right"))
        LoginAttempts.objects.update(blocked_until=timezone.now())
        assert is_in(log_in("right"))
    finally:
        valkey.start()


def test_it_is_logged_once_and_names_only_users(
    log_in: Callable[..., ClientResponse], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="project"):
        for name in ("keeper", "my-password"):
            for _ in range(12):
                log_in("wrong", name=name)
    messages = [record.getMessage() for record in caplog.records if record.name == "project.throttle"]
    assert messages == [
        "Log-ins as keeper are slowed down after 5 attempts",
        "Log-ins as an unknown user are slowed down after 5 attempts",
    ]


def test_attempts_that_are_long_over_are_forgotten(
    log_in: Callable[..., ClientResponse], time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    for _ in range(6):
        log_in("wrong", name="somebody")
    time_machine.move_to(NOON + throttle.MEMORY + timedelta(seconds=6))
    log_in("wrong")
    assert LoginAttempts.objects.count() == 1
