"""Error pages: drawn like the shop, and there even when nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.template.loader import render_to_string

if TYPE_CHECKING:
    from django.test import Client


@pytest.mark.parametrize("name", ["400.html", "403.html", "404.html", "500.html"])
def test_they_need_neither_a_request_nor_a_database(name: str) -> None:
    """pytest-django fails a test that touches the database unasked."""
    assert 'class="error"' in render_to_string(name)


def test_an_unknown_address_is_told_kindly_without_the_database(client: Client) -> None:
    answer = client.get("/nowhere/at/all/")
    assert answer.status_code == 404
    assert "This page does not exist" in answer.content.decode()


def test_a_host_that_is_not_ours_is_refused(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere"]
    assert client.get("/robots.txt").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_without_postgresql_a_page_says_so_in_the_shops_own_dress(
    client: Client, redis: Any, monkeypatch: Any
) -> None:
    """The port is one that nothing listens on, so the connection is refused as by a server that is down."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    client.raise_request_exception = False
    try:
        answer = client.get("/c/kitchen/")
        assert answer.status_code == 500
        assert "Something broke on our side" in answer.content.decode()
        assert client.get("/nowhere/at/all/").status_code == 404
    finally:
        monkeypatch.undo()
        connection.close()
