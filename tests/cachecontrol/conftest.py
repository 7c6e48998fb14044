"""What tests of the cache share."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from cachecontrol.stats import recording


@pytest.fixture
def redis(redis):
    """An empty Valkey that gets nothing of what earlier tests recorded."""
    recording.flush()
    redis.flushall()
    return redis


@pytest.fixture
def postgresql_down(transactional_db):
    """Nothing listens where this process looks for PostgreSQL."""
    connection.close()
    there = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    connection.settings_dict.update(HOST="127.0.0.1", PORT="1")
    yield
    connection.close()
    connection.settings_dict.update(HOST=there[0], PORT=there[1])


@pytest.fixture
def operator(transactional_db):
    """A member of staff who may see the dashboard and nothing else."""
    user = User.objects.create_user("operator", password="operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_dashboard"))
    return user
