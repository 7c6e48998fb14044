"""What tests of the cache share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


@pytest.fixture
def redis(redis: Redis) -> Redis:
    """An empty Valkey that gets nothing of what earlier tests recorded."""
    recording.flush()
    redis.flushall()
    return redis


@pytest.fixture
def postgresql_down(transactional_db: None) -> Iterator[None]:
    """Nothing listens where this process looks for PostgreSQL."""
    connection.close()
    there = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    connection.settings_dict.update(HOST="127.0.0.1", PORT="1")
    yield
    connection.close()
    connection.settings_dict.update(HOST=there[0], PORT=there[1])


@pytest.fixture
def operator(transactional_db: None) -> User:
    """A member of staff who may see the dashboard and nothing else."""
    user = User.objects.create_user("operator", password="operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_dashboard"))
    return user
