"""Forensics: what Redis and the change log hold about a row at the moment when a violation is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import redis

from cachecontrol.redis import keys

if TYPE_CHECKING:
    from cachecontrol.prove.checker import Violation


RELATIONS = {"item": "prove_item", "shelf": "prove_shelf", "list": "prove_item", "sum": "prove_item"}
CHANGES = """
SELECT xid::text, at::text, application, operation, tags[1:8]::text, columns::text FROM cachecontrol_change
 WHERE relation = %s AND at > clock_timestamp() - interval '20 seconds'
   AND (tags && %s OR relation || '*' = ANY(tags)) ORDER BY id DESC LIMIT 20
"""


def evidence(database_url: str, redis_url: str, violation: Violation) -> dict[str, Any]:
    """Return the clock, the tags of the row or shelf, and the last changes that moved them.

    Empty if the violation is not about a row. Only ``error`` if a server does not answer.
    """
    kind, pk = violation.fact[0], violation.fact[1]
    relation = RELATIONS.get(kind)
    if relation is None:
        return {}
    tag = f"{relation}#{pk}" if kind in ("item", "shelf") else f"{relation}.shelf_id={pk}"
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=1, decode_responses=True) as client:
            tags = {name: client.get(keys.tag(name)) for name in (relation, f"{relation}*", tag)}
            clock = client.hgetall(keys.CLOCK)
        with psycopg.connect(database_url, connect_timeout=1) as connection:
            changes = connection.execute(CHANGES, [relation, [tag]]).fetchall()
    except (redis.RedisError, psycopg.Error, UnicodeDecodeError) as error:
        return {"error": str(error)}
    return {"clock": clock, "tags": tags, "changes": changes}
