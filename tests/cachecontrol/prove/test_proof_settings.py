"""The settings of the proof are those of a project, with the tables, pages and servers of the proof."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from cachecontrol.prove.environment import VARIABLES, ProcessEnvironment
from cachecontrol.prove.installation import connection_string
from cachecontrol.prove.router import Router
from cachecontrol.prove.settings import proof_settings

SHOP = {"NAME": "shop", "USER": "owner", "HOST": "/first", "PORT": "5433", "OPTIONS": {"sslmode": "prefer"}}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables of a settings module, in a process that no proof started."""
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    return {
        "os": object(),
        "SECRET_KEY": "secret",
        "INSTALLED_APPS": ["cachecontrol", "kiosk"],
        "DATABASES": {"default": {"NAME": "other"}, "shop": SHOP},
        "DATABASE_ROUTERS": ["kiosk.Router"],
        "CACHES": {"default": {}, "pages": {"LOCATION": "redis://first", "OPTIONS": {"n": 1}}},
        "CACHECONTROL": {"ALIAS": "pages", "DATABASE": "shop", "WAIT": 0.5},
    }


def test_the_settings_of_the_project_are_kept(project: dict[str, Any]) -> None:
    made = proof_settings(project)
    assert "os" not in made
    assert made["SECRET_KEY"] == "secret"
    assert made["INSTALLED_APPS"] == ["cachecontrol", "kiosk", "cachecontrol.prove"]
    assert made["CACHES"] == project["CACHES"]


def test_the_captured_database_becomes_the_default_and_the_only_one(project: dict[str, Any]) -> None:
    made = proof_settings(project)
    assert made["DATABASES"] == {"default": SHOP}
    assert made["DATABASE_ROUTERS"] == []
    expected = {"ALIAS": "pages", "DATABASE": "default", "WAIT": 0.5, "MAX_LAG": 2.0, "REPLICAS": ()}
    assert made["CACHECONTROL"] == expected


def test_a_process_has_the_servers_that_its_environment_names(
    project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = ProcessEnvironment(
        max_lag=7.0, redis_url="redis://second", replica_url="postgresql://reader@/shop?host=/second"
    )
    for variable, value in environment.variables().items():
        monkeypatch.setenv(variable, value)
    made = proof_settings(project)
    assert made["CACHES"]["pages"] == {"LOCATION": "redis://second", "OPTIONS": {"n": 1}}
    expected = SHOP | {"USER": "reader", "HOST": "/second", "PORT": "", "PASSWORD": ""}
    assert made["DATABASES"]["replica"] == expected
    assert isinstance(made["DATABASE_ROUTERS"][0], Router)
    assert made["CACHECONTROL"]["REPLICAS"] == ("replica",)
    assert made["CACHECONTROL"]["MAX_LAG"] == 7.0


def test_a_process_reads_the_environment_that_was_written_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ProcessEnvironment(rule="epoch", clock_shift=-5.0, drain_pause=1.5, max_lag=1.0)
    for variable, value in environment.variables().items():
        monkeypatch.setenv(variable, value)
    assert ProcessEnvironment.read() == environment


def test_a_connection_string_names_the_server_without_options_of_the_session() -> None:
    database = SHOP | {"OPTIONS": {"sslmode": "prefer", "options": "-c x=y", "pool": True}}
    assert conninfo_to_dict(connection_string(database)) == {
        "dbname": "shop",
        "user": "owner",
        "host": "/first",
        "port": "5433",
        "sslmode": "prefer",
    }
    assert connection_string(settings.DATABASES["default"])
