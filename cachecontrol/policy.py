"""Policies: named families of entries and how each is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cachecontrol.exceptions import Misconfigured


class Outcome(StrEnum):
    """How a read ended."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    BYPASS = "bypass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the entries of one family are kept. Times are seconds."""

    name: str
    kind: str
    """``page``, ``query`` or ``fragment``."""
    ttl: float = 3600.0
    stale_for: float = 0.0
    params: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    warm: bool = True
    enabled: bool = True


_policies: dict[str, Policy] = {}


def register(policy: Policy) -> Policy:
    """Keep a policy under its name. Declaring it twice alike is allowed; differently, it is an error."""
    known = _policies.setdefault(policy.name, policy)
    if known != policy:
        raise Misconfigured(f"policy {policy.name!r} is declared twice, differently: {known} and {policy}")
    return known


def policies() -> list[Policy]:
    """Every policy declared so far, by name."""
    return sorted(_policies.values(), key=lambda policy: policy.name)


def find(name: str) -> Policy | None:
    """The policy of that name, or None."""
    return _policies.get(name)
