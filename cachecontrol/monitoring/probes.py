"""What an orchestrator asks: is the process alive, can it serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cachecontrol.conf import conf
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.postgres import clock_check
from cachecontrol.redis import protocol, server_state

if TYPE_CHECKING:
    from django.http import HttpRequest

    from cachecontrol.redis.protocol import Clock


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer; asks nothing of anyone."""
    return HttpResponse("alive\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether requests can be served, and what is degraded.

    200 as long as they can, "ready" or "degraded"; 503 ("unavailable") without PostgreSQL. ``degraded`` names whatever is
    not in order.
    """
    clock = failsafe(protocol.clock)
    checks = {
        "postgresql": _database(),
        "redis": _redis(),
        "clock": _age(clock),
        "drain": _drain(),
        "triggers": _triggers(clock),
    }
    degraded = [f"{name}_{state.split()[0]}" for name, state in checks.items() if state != "ok"]
    is_able = checks["postgresql"] == "ok"
    status = "unavailable" if not is_able else "degraded" if degraded else "ready"
    return JsonResponse(
        {"status": status, "degraded": degraded, "checks": checks}, status=200 if is_able else 503
    )


def _database() -> str:
    def ask() -> str:
        with connections[conf.database].cursor() as cursor:
            cursor.execute("SELECT 1")
        return "ok"

    return failsafe(ask, "down")


def _redis() -> str:
    """Return ok, full if Redis takes no writes, or down if it does not answer."""
    return failsafe(lambda: "full" if server_state.is_full() else "ok", "down")


def _age(clock: Clock | None) -> str:
    """Return ok, old, missing, or down if Redis does not answer."""
    if clock is None:
        return "down"
    if clock.age is None:
        return "missing"
    return "ok" if 0 <= clock.age <= conf.max_lag else "old"


def _triggers(clock: Clock | None) -> str:
    """Return ok, or what to do about tables that lacked working triggers when the last whole drain looked at them."""
    bare = clock_check.tables_without_triggers(clock) if clock else []
    return (
        f"off on {', '.join(bare)}: the mend job restores them; if it cannot, run migrate" if bare else "ok"
    )


def _drain() -> str:
    """Return ok, missing, or unknown if Redis does not answer."""
    return failsafe(lambda: "ok" if server_state.has_drain() else "missing", "unknown")
