"""Positions and epochs: points in the database's own history, written so that text order is time order."""

from __future__ import annotations

POSITION_LENGTH = 31
"""Characters of every position: ten digits, a dot, twenty digits."""


def epoch_text(number: int, random: str) -> str:
    """Return the written form of an epoch: its growing number, then its random part."""
    return f"{number:010d}.{random}"


def position_text(number: int, wal: int) -> str:
    """Return the written form of a position: the number of its epoch, then the WAL location in bytes.

    Text order is time order, across epochs too.
    """
    return f"{number:010d}.{wal:020d}"
