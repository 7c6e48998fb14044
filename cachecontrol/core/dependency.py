"""Dependencies: on what an entry depends, each a tag with the columns whose changes matter.

Note [Why dependencies name columns]. The result of a query depends on two kinds of columns. A column decides if it affects which
rows the result has, their order or computed values: the result depends on it in every row of the table or slice. Other columns
are only selected: the result depends on them in the rows that it contains. INSERT and DELETE change all columns of a row, and so
does a new primary key. So a change of a column that a query does not read ends no entry of that query.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from cachecontrol.core import tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALL = ""
"""The columns of a dependency that ends with any change, and of a change that may have changed any column."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")


class Dependency(NamedTuple):
    """A tag, and the columns whose changes matter."""

    tag: str
    columns: str = ALL
    """Written names of columns, sorted and separated by commas; empty: all columns."""

    def __str__(self) -> str:
        return f"{self.tag}({self.columns})" if self.columns else self.tag


def written_column(name: str) -> str:
    """Return the name of a column as the change log, the tags and the entries write it: letters that separate become a digest."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return f"~{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def written_columns(names: Iterable[str]) -> str:
    """Return the written form of columns, which must not be empty: without any, it means all columns."""
    return ",".join(sorted({*map(written_column, names)}))


def union(*columns: str) -> str:
    """Return the written form of all columns in these written forms."""
    if ALL in columns:
        return ALL
    return ",".join(sorted({name for written in columns for name in written.split(",")}))


def meet(one: str, other: str) -> bool:
    """Whether two written forms of columns have a column in common. All columns have one in common with any."""
    return ALL in (one, other) or not set(one.split(",")).isdisjoint(other.split(","))


def coarsen(positions: Mapping[Dependency, str], limit: int) -> dict[Dependency, str]:
    """Return fewer dependencies that end no later than these, each with its position.

    More than ``limit`` rows of a table are replaced by the table, and so are more than ``limit`` slices: with all their
    columns, at their earliest position. Dependencies on one tag at one position are joined.
    """
    if len(positions) <= limit:
        return _joined(positions.items())
    groups: dict[str, set[str]] = {}
    for tag, _ in positions:
        if group := tags.group_of(tag):
            groups.setdefault(group, set()).add(tag)
    crowded = {group for group, members in groups.items() if len(members) > limit}
    kept = [(d, at) for d, at in positions.items() if tags.group_of(d.tag) not in crowded]
    for group in sorted(crowded):
        members = [(d, at) for d, at in positions.items() if tags.group_of(d.tag) == group]
        columns, earliest = union(*(d.columns for d, _ in members)), min(at for _, at in members)
        kept.append((Dependency(tags.table(group[:-1]), columns), earliest))
    return _joined(kept)


def _joined(pairs: Iterable[tuple[Dependency, str]]) -> dict[Dependency, str]:
    columns: dict[tuple[str, str], str] = {}
    for (tag, names), position in pairs:
        known = columns.get((tag, position))
        columns[tag, position] = names if known is None else union(known, names)
    joined: dict[Dependency, str] = {}
    for (tag, position), names in columns.items():
        dependency = Dependency(tag, names)
        joined[dependency] = min(position, joined.get(dependency, position))
    return joined
