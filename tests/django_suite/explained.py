"""Tests of Django's that end otherwise when every queryset is cached, each with why. ``docs/caveats.md`` says the same."""

EXPLAINED: dict[str, str] = {}
