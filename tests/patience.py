"""How long things may take in tests: machines that test are busy, so nothing gives up there unless a test says so."""

LONG = 300.0
"""Seconds that a test waits at most for what has to come; only one that fails waits as long."""
REDIS = {"SOCKET_CONNECT_TIMEOUT": 60, "SOCKET_TIMEOUT": 60}
"""Options of the cache's alias."""
CACHE = {"MAX_LAG": 600.0, "DRAIN_TIMEOUT": 60.0, "LEASE": 60.0, "WAIT": 60.0}
"""Settings of the cache: where time must pass, a test sets its own, and keeps the others."""
