"""Settings are safe in production, and development is what is switched on."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from project.local.folders import BASE_DIR
from tests.patience import LONG

if TYPE_CHECKING:
    from django.test import Client

NAMES = (
    "LOCAL",
    "DEBUG",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "BEHIND_PROXY",
    "HTTPS",
    "DJANGO_ALLOW_ASYNC_UNSAFE",
)
EMPTY = os.environ["DATABASE_URL"].replace("/larder?", "/postgres?")
"""The URL of a database without a table of ours."""


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in NAMES} | {"LOCAL": "1"}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command,
        cwd=BASE_DIR,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


@pytest.fixture
def production() -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "LOCAL": "0",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "shop.example",
    }


def setting(expression: str, **environment: str) -> Any:
    code = f"from django.conf import settings; import json; print(json.dumps({expression}))"
    result = manage(
        "shell", "--no-imports", "-c", code, DJANGO_SETTINGS_MODULE="project.settings", **environment
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_djangos_own_checks_find_nothing_to_say_about_production(production: dict[str, str]) -> None:
    result = manage("check", "--deploy", "--fail-level", "WARNING", **production)
    assert "no issues" in result.stdout, result.stderr
    assert result.returncode == 0


def test_production_without_a_secret_key_does_not_start(production: dict[str, str]) -> None:
    result = manage("check", **production | {"SECRET_KEY": ""})
    assert result.returncode == 1
    assert "SECRET_KEY" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("switch", "name"),
    [
        ("LOCAL", "DATABASE_URL"),
        ("SECRET_KEY", "DATABASE_URL"),
        ("ALLOWED_HOSTS", "REDIS_URL"),
        ("CSRF_TRUSTED_ORIGINS", "REDIS_URL"),
        ("BEHIND_PROXY", "DATABASE_URL"),
    ],
)
def test_production_does_not_start_on_embedded_servers(switch: str, name: str) -> None:
    variables = {"DJANGO_SETTINGS_MODULE": "project.settings", "SECRET_KEY": "x", "LOCAL": "", name: ""}
    result = manage("services", **variables | {switch: "0" if switch == "LOCAL" else "on"})
    assert result.returncode == 1
    assert result.stderr.startswith(f"manage.py: {name} is missing, and production is switched on by")
    assert switch in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_foreign_server_alone_is_no_production() -> None:
    assert setting("[settings.LOCAL, settings.SECURE_SSL_REDIRECT]", LOCAL="") == [True, False]


def test_the_password_of_a_service_is_not_shown() -> None:
    urls = {
        "DATABASE_URL": "postgres://larder:geheim1@127.0.0.1/larder",
        "REDIS_URL": "redis://:geheim2@127.0.0.1/0",
    }
    shown = manage("services", DJANGO_SETTINGS_MODULE="project.settings", **urls).stdout
    assert "geheim" not in shown
    assert "postgres://larder:***@127.0.0.1/larder" in shown
    assert "redis://:***@127.0.0.1/0" in shown
    urls |= {"REDIS_URL": "unix:///run/valkey?password=geheim3&db=1"}
    shown = manage("services", DJANGO_SETTINGS_MODULE="project.settings", **urls).stdout
    assert "unix:///run/valkey?password=***&db=1" in shown


def test_a_broken_database_url_is_one_line() -> None:
    result = manage("check", DJANGO_SETTINGS_MODULE="project.settings", DATABASE_URL="nonsense")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "DATABASE_URL" in result.stderr


@pytest.mark.parametrize(
    ("command", "environment", "message"),
    [
        (
            "demo",
            {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/x"},
            "does not answer, see DATABASE_URL: conn",
        ),
        (
            "drain --once",
            {"REDIS_URL": "redis://127.0.0.1:1"},
            "Redis does not answer: Error 111 connecting to 127",
        ),
        ("demo", {"DATABASE_URL": EMPTY}, "not up to date, run “manage.py migrate”: relation"),
        ("demo", {"REDIS_URL": "redis://host:port"}, "REDIS_URL: Port could not be cast"),
    ],
)
def test_every_command_says_in_a_line_what_is_wrong_with_a_service(
    command: str, environment: dict[str, str], message: str
) -> None:
    result = manage(*command.split(), DJANGO_SETTINGS_MODULE="project.settings", **environment)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS", "ture"),
        ("DEBUG", "maybe"),
        ("HSTS_SECONDS", "x"),
        ("BEHIND_PROXY", "X_Forwarded_Proto"),
        ("LOG_LEVEL", "loud"),
        ("TIME_ZONE", "Mars"),
    ],
)
def test_a_variable_that_cannot_be_read_is_one_line(name: str, value: str) -> None:
    result = manage("check", DJANGO_SETTINGS_MODULE="project.settings", **{name: value})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"manage.py: {name} must be")


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("off", None),
        ("on", ["HTTP_FORWARDED", "proto=https"]),
        ("X-Forwarded-Proto", ["HTTP_X_FORWARDED_PROTO", "https"]),
    ],
)
def test_a_proxy_is_believed_by_the_header_that_is_named(value: str, header: list[str] | None) -> None:
    assert setting("settings.SECURE_PROXY_SSL_HEADER", BEHIND_PROXY=value) == header


def test_an_empty_variable_is_an_unset_one() -> None:
    assert setting("settings.ALLOWED_HOSTS", ALLOWED_HOSTS="") == ["localhost", "127.0.0.1", "[::1]"]


def test_names_may_stand_apart() -> None:
    assert setting("settings.ALLOWED_HOSTS", ALLOWED_HOSTS="shop.example, www.shop.example") == [
        "shop.example",
        "www.shop.example",
    ]


def test_a_secret_key_may_begin_with_a_dollar() -> None:
    assert setting("settings.SECRET_KEY", SECRET_KEY="$5kdj39") == "$5kdj39"


def test_what_an_earlier_secret_key_signed_stays_valid() -> None:
    earlier, signing = secrets.token_urlsafe(50), "__import__('django.core.signing').core.signing"
    signed = setting(f"{signing}.dumps(7)", SECRET_KEY=earlier)
    fallbacks = f"{secrets.token_urlsafe(50)}, {earlier}"
    environment = {"SECRET_KEY": secrets.token_urlsafe(50), "SECRET_KEY_FALLBACKS": fallbacks}
    assert setting(f"{signing}.loads({signed!r})", **environment) == 7


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    code = "import signal; print('on', flush=True); signal.raise_signal(signal.SIGINT)"
    result = manage("shell", "--no-imports", "-c", code, DJANGO_SETTINGS_MODULE="project.settings")
    assert (result.returncode, result.stdout, result.stderr) == (130, "on\n", "")


def test_debug_is_off_unless_it_is_switched_on() -> None:
    assert setting("settings.DEBUG") is False
    assert setting("[settings.DEBUG, settings.MIDDLEWARE[0]]", DEBUG="1") == [
        True,
        "debug_toolbar.middleware.DebugToolbarMiddleware",
    ]


def test_development_has_entries_of_its_own_since_its_pages_name_other_static_files() -> None:
    expression = "settings.CACHECONTROL['RELEASE']"
    assert setting(expression) == ""
    assert setting(expression, DEBUG="1") == "debug"
    assert setting(expression, DEBUG="1", RELEASE="7") == "7"


def test_a_local_checkout_speaks_plain_http_and_production_does_not(production: dict[str, str]) -> None:
    expression = (
        "[settings.SECURE_SSL_REDIRECT, settings.SESSION_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS > 0]"
    )
    assert setting(expression) == [False, False, False]
    del production["DJANGO_SETTINGS_MODULE"]
    assert setting(expression, **production) == [True, True, True]


def test_production_logs_json_a_line_and_a_local_checkout_logs_for_a_person(
    production: dict[str, str],
) -> None:
    code = "import structlog; structlog.get_logger('shop').warning('sold_out', sku='A-1')"
    line = manage("shell", "--no-imports", "-c", code, **production).stderr.splitlines()[-1]
    assert (
        json.loads(line).items()
        >= {"event": "sold_out", "sku": "A-1", "level": "warning", "logger": "shop"}.items()
    )
    line = manage(
        "shell", "--no-imports", "-c", code, DJANGO_SETTINGS_MODULE="project.settings"
    ).stderr.splitlines()[-1]
    assert "sold_out" in line
    assert "{" not in line


def test_celery_takes_its_broker_from_the_settings_and_not_as_its_command_line_found_it() -> None:
    code = "from project.celery import app; print(app.conf.broker_url)"
    url = {"BROKER_URL": "rediss://queue/5", "CELERY_BROKER_URL": "rediss://queue/5"}
    result = manage("shell", "--no-imports", "-c", code, DJANGO_SETTINGS_MODULE="project.settings", **url)
    assert result.stdout == "rediss://queue:6379/5?ssl_cert_reqs=required\n"


def test_a_lost_broker_is_told_in_a_line_each_time() -> None:
    code = "import logging; logging.getLogger('celery.beat').error('Message Error: gone\\nstack', exc_info=OSError('x'))"
    stderr = manage("shell", "--no-imports", "-c", code, DJANGO_SETTINGS_MODULE="project.settings").stderr
    assert "Message Error: gone" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.django_db
def test_every_page_forbids_inline_scripts_and_styles(client: Client) -> None:
    policy = client.get("/admin/login/").headers["Content-Security-Policy"]
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == "'self'"
    assert directives["object-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


def test_the_cache_alias_raises_when_redis_is_gone_and_does_not_wait_long() -> None:
    names = "IGNORE_EXCEPTIONS", "SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT"
    options = setting(f"[settings.CACHES['default']['OPTIONS'].get(name) for name in {names}]")
    assert options[0] in {None, False}
    assert options[1] <= 0.25
    assert options[2] <= 0.5
