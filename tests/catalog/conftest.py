"""Fixtures of the catalog's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model

if TYPE_CHECKING:
    from django.test import Client


@pytest.fixture
def staff(client: Client) -> Client:
    """A client that is logged in as a superuser."""
    client.force_login(get_user_model().objects.create_superuser("staff", password="secret"))
    return client
