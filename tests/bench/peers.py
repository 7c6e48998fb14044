"""A save under another cache library, which invalidates by it, beside the same that it does not watch."""

from __future__ import annotations

from tests.bench.measure import medians
from tests.bench.models import Peer, Plain
from tests.bench.writes import saver


def measure(*, rounds: int) -> tuple[float, float]:
    """Median seconds of a save, and its ratio to one that the library does not watch."""
    acts = {"bare": saver(Plain, "default"), "watched": saver(Peer, "default")}
    found = medians(acts, rounds=rounds)
    return found["watched"], found["watched"] / found["bare"]
