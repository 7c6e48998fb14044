"""Races run in the world of the shelf."""

from tests.shelf.world import door, subject, transactional_db, world

__all__ = ["door", "subject", "transactional_db", "world"]
