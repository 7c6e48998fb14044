"""Checks of the repository itself, which ``make lint`` and ``.ci/run`` run."""
