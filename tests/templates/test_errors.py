"""Error pages look like the shop, and need neither a request nor a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.template.loader import render_to_string

if TYPE_CHECKING:
    from django.test import Client


@pytest.mark.parametrize("name", ["400.html", "403.html", "404.html", "500.html"])
def test_they_need_neither_a_request_nor_a_database(name: str) -> None:
    """Without a database fixture, pytest-django fails a test that uses the database."""
    assert 'class="error"' in render_to_string(name)


def test_an_unknown_url_gets_the_error_page_without_the_database(client: Client) -> None:
    response = client.get("/nowhere/at/all/")
    assert response.status_code == 404
    assert "This page does not exist" in response.content.decode()


def test_an_unknown_host_is_refused(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere"]
    assert client.get("/robots.txt").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_without_postgresql_a_page_gets_the_error_page(client: Client, redis: Any, monkeypatch: Any) -> None:
    """No server listens on the port, so the connection is refused."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    client.raise_request_exception = False
    try:
        response = client.get("/c/kitchen/")
        assert response.status_code == 500
        assert "Something broke on our side" in response.content.decode()
        assert client.get("/nowhere/at/all/").status_code == 404
    finally:
        monkeypatch.undo()
        connection.close()
