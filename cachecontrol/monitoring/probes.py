"""Probes of an orchestrator: whether the process is alive, and whether it can serve requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cachecontrol.limits.failsafe import failsafe
from cachecontrol.monitoring import state
from cachecontrol.redis import protocol

if TYPE_CHECKING:
    from django.http import HttpRequest


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer, without asking PostgreSQL or Redis."""
    return HttpResponse("alive\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Tell whether requests can be served, and what is not in order.

    The status is 200 as long as they can ("ready" or "degraded") and 503 without PostgreSQL ("unavailable"). ``checks`` contains
    the state of each service; ``degraded`` names those that are not "ok".
    """
    checks = _checks()
    degraded = [f"{name}_{text.split()[0]}" for name, text in checks.items() if text != "ok"]
    is_able = checks["postgresql"] == "ok"
    status = "unavailable" if not is_able else "degraded" if degraded else "ready"
    return JsonResponse(
        {"status": status, "degraded": degraded, "checks": checks}, status=200 if is_able else 503
    )


def _checks() -> dict[str, str]:
    clock = failsafe(protocol.clock)
    bare = ", ".join(state.tables_without_triggers(clock))
    return {
        "postgresql": "ok" if state.database_version() else "down",
        "redis": state.redis_state(),
        "clock": state.clock_state(clock),
        "drain": state.drain_state(),
        "triggers": f"off on {bare}: the mend job restores them; if it cannot, run migrate" if bare else "ok",
    }
