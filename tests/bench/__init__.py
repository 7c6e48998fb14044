"""Measurements of the cache against Django's own and against none, as ratios within one run."""
