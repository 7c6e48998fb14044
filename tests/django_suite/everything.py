"""Track every model, cache every query, read each twice, and judge every hit by the database."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models
from django.db.models import sql
from django.db.models.signals import pre_save
from psycopg.types.json import Jsonb

from cachecontrol import engine
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.dependencies.collection import outside_collection
from cachecontrol.dependencies.databases import is_captured
from cachecontrol.exceptions import Misconfigured
from cachecontrol.frontends import queries
from cachecontrol.frontends.instances import CachedModelIterable
from cachecontrol.frontends.queries import TrackedQuery
from cachecontrol.frontends.query_recipes import QueryRecipe, to_plain
from cachecontrol.postgres import captured, tracked_models
from cachecontrol.reasons import Outcome, PolicyKind
from cachecontrol.stats import recording
from tests.library.compiled import outside_reports

if TYPE_CHECKING:
    from cachecontrol.core.reading import ReadRequest, ReadResult

OWN_STATEMENTS = ("FROM cachecontrol_read_point", captured.CAPTURED_SQL)
"""What a fill asks beside its query. ``guarded`` sends each within a longer text."""

outcomes: Counter[str] = Counter()
refusals: Counter[str] = Counter()
wrong: list[str] = []
"""Hits that differed from the database, and second reads that differed from the first."""


class CachedQuery(TrackedQuery):
    """What every queryset of the suite asks with."""

    policy = register_policy(Policy(name="django.suite", kind=PolicyKind.QUERY))


def track() -> None:
    """Track every model with a table of its own, with all the slices that it may have."""
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if options.proxy or not options.managed or options.app_label == "cachecontrol":
            continue
        fields = options.local_concrete_fields
        slices = [f.name for f in fields if not f.primary_key and tracked_models._may_have_written_form(f)]
        try:
            tracked_models.track(model, slices=slices)
        except Misconfigured as error:
            print(f"not tracked: {error}")


def cache() -> None:
    """From here on every new queryset is cached, and counted."""
    vars(sql)["Query"] = CachedQuery  # for mypy, no class can take the place of another
    engine.read = twice
    compiler: Any = queries._TrackedCompiler
    compiler.compiled, compiler._report_known = _compiled_as_well, _reported_as_well
    iterable: Any = models.query.ModelIterable
    iterable._marked = iterable.__iter__
    iterable.__iter__ = CachedModelIterable.__iter__
    pre_save.disconnect(dispatch_uid="cachecontrol.refuse_full_save")  # the suite saves what it read
    recording.record_read, recording.record_refusal = _record, _refused


_compiled, _report_known = queries._TrackedCompiler.compiled, queries._TrackedCompiler._report_known


def _compiled_as_well(compiler: Any) -> Any:
    """Compile a query whose SQL is known as well, and compare."""
    found = _compiled(compiler)
    if compiler._known:
        _compare_compiled(compiler, *found)
    return found


def _reported_as_well(compiler: Any, *args: Any) -> Any:
    if found := _report_known(compiler, *args):
        _compare_compiled(compiler, *found)
    return found


def _compare_compiled(compiler: Any, sql: str, params: Any) -> None:
    outcomes["known"] += 1
    with outside_reports():
        expected_sql, expected = compiler.query.chain().get_compiler(compiler.using).as_sql()
    found = sql, [*map(to_plain, params)]
    if found != (expected_sql, [*map(to_plain, expected)]):
        wrong.append(f"known as {found}, and compiled to {expected_sql} {expected}")


def _record(policy: str, outcome: str, reason: str | None, seconds: float, **_: Any) -> None:
    name = outcome if outcome in (Outcome.HIT, Outcome.MISS) else f"{outcome} {reason}"
    outcomes[name] += 1


def _refused(policy: str, reason: str, detail: str = "") -> None:
    refusals[reason] += 1


LATELY = 12
"""Reads that are asked for again at the end of each test."""

_get = engine.read
_asked: dict[str, ReadRequest[Any]] = {}
_ran: dict[str, list[dict[str, str]]] = {}
"""What a query executed when it was computed last: what a test that counts queries would have seen."""


def twice(request: ReadRequest[Any]) -> ReadResult[Any]:
    """Read, read again, and leave in the log of queries what one read of the database would have left."""
    if request.recipe is not None and is_captured(request.database):
        _asked[request.key] = request
        while len(_asked) > LATELY:
            del _asked[next(iter(_asked))]
    log = connections[request.database].queries_log
    before = [*log]
    first = _get(request)
    if first.outcome is not Outcome.HIT:
        _ran[request.key] = [entry for entry in [*log][len(before) :] if not _is_own(entry["sql"])]
    second = _get(request) if first.outcome is Outcome.MISS else first
    if Outcome.HIT in (first.outcome, second.outcome):
        _judge(request, first, second)
    log.clear()
    log.extend([*before, *_ran.get(request.key, [])])
    return second


def _is_own(statement: str) -> bool:
    """Whether the cache itself executed this."""
    return any(own in statement for own in OWN_STATEMENTS)


class _NotFreshError(Exception):
    """Raised in place of computing: only what is still held to be fresh is asked for again."""


def _give_up() -> Any:
    raise _NotFreshError


def ask_again() -> None:
    """Judge what was read lately and is still held to be fresh: something has been written since."""
    for request in _asked.values():
        try:
            fetched = _get(dataclasses.replace(request, compute=_give_up))
        except _NotFreshError:
            continue
        if fetched.outcome is Outcome.HIT:
            outcomes["hit"] -= 1
            outcomes["asked again"] += 1
            assert isinstance(request.recipe, QueryRecipe)
            answer = _cut(_answer(request.recipe), fetched.value)
            _compare(request, _unordered(fetched.value), _unordered(answer))


def _answer(recipe: QueryRecipe) -> Any:
    """What the database says now to the SQL of a read."""
    params: list[Any] = [Jsonb(json.loads(p["jsonb"])) if isinstance(p, dict) else p for p in recipe.params]
    with connections[recipe.database].cursor() as cursor:
        cursor.execute(recipe.sql, params)
        return cursor.fetchone() if recipe.is_single else [cursor.fetchall()]


def _cut(answer: Any, like: Any) -> Any:
    """Rows with the columns that were asked for: Django drops those that it adds to combine or to order them."""
    if isinstance(answer, tuple) and isinstance(like, tuple):
        return answer[: len(like)]
    if isinstance(answer, list) and isinstance(like, list):
        width = next((len(row) for chunk in like for row in chunk), None)
        return [[row[:width] for row in chunk] for chunk in answer]
    return answer


def _judge(request: ReadRequest[Any], first: ReadResult[Any], second: ReadResult[Any]) -> None:
    """A second read that hits gives the very same value; a first one gives what the database gives now."""
    if first is not second:
        expected = repr(first.value)
    else:
        with outside_collection():
            expected = _unordered(request.compute())
    got = repr(second.value) if first is not second else _unordered(second.value)
    _compare(request, got, expected)


def _compare(request: ReadRequest[Any], got: str, expected: str) -> None:
    if got != expected:
        wrong.append(
            f"{getattr(request.recipe, 'sql', 'an aggregate')}: {got[:300]} instead of {expected[:300]}"
        )


def _unordered(value: Any) -> str:
    """Rows as text, whatever their order: a query that names none may give them in any."""
    if isinstance(value, list):
        return repr(sorted(repr(row) for chunk in value for row in chunk))
    return repr(value)
