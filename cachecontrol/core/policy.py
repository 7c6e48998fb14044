"""Policies: named families of entries and how each is kept."""

from __future__ import annotations

from dataclasses import dataclass

from cachecontrol.exceptions import Misconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the entries of one family are kept."""

    name: str
    kind: str
    """A ``PolicyKind``: the front end whose entries these are."""
    ttl: float = 3600.0
    """Seconds that an entry lives."""
    stale_for: float = 0.0
    """Seconds for which an entry may be served after a tag moved."""
    params: tuple[str, ...] = ()
    """Query parameters that a page sees."""
    vary: tuple[str, ...] = ()
    """Values of the visitor's request that a page varies by."""
    warm: bool = True
    """Whether the warm job fills hot entries."""
    local: bool = True
    """Whether the local tier of a process may hold the entries."""
    enabled: bool = True
    """If not, each read is a bypass (``disabled``)."""


_policies: dict[str, Policy] = {}


def register_policy(policy: Policy) -> Policy:
    """Register a policy under its name, and return it.

    The same policy may be registered again. Raises Misconfigured if another one has the name.
    """
    registered = _policies.setdefault(policy.name, policy)
    if registered != policy:
        raise Misconfigured(
            f"policy {policy.name!r} is declared twice, differently: {registered} and {policy}"
        )
    return registered


def all_policies() -> list[Policy]:
    """Return every policy that was registered so far, by name."""
    return sorted(_policies.values(), key=lambda policy: policy.name)


def find_policy(name: str) -> Policy | None:
    """Return the policy of that name, or None."""
    return _policies.get(name)
