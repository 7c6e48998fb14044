"""The scene of a violation: what Redis and the change log say of the row when the wrong answer is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import redis

from cachecontrol.redis import keys

if TYPE_CHECKING:
    from cachecontrol.prove.checker import Violation


RELATIONS = {"item": "prove_item", "shelf": "prove_shelf", "list": "prove_item", "sum": "prove_item"}
CHANGES = """
SELECT xid::text, at::text, application, operation, tags[1:8]::text FROM cachecontrol_change
 WHERE relation = %s AND at > clock_timestamp() - interval '20 seconds'
   AND (tags && %s OR relation || '*' = ANY(tags)) ORDER BY id DESC LIMIT 20
"""


def look_around(database: str, store: str, violation: Violation) -> dict[str, Any]:
    """The clock, the tags of the row or shelf, and the last changes that moved them; an error where a server is away."""
    kind, pk = violation.fact[0], violation.fact[1]
    relation = RELATIONS.get(kind)
    if relation is None:
        return {}
    own = f"{relation}#{pk}" if kind in ("item", "shelf") else f"{relation}.shelf_id={pk}"
    try:
        with redis.Redis.from_url(store, socket_timeout=1, decode_responses=True) as client:
            tags = {tag: client.get(keys.tag(tag)) for tag in (relation, f"{relation}*", own)}
            clock = client.hgetall(keys.CLOCK)
        with psycopg.connect(database, connect_timeout=1) as connection:
            changes = connection.execute(CHANGES, [relation, [own]]).fetchall()
    except (redis.RedisError, psycopg.Error, UnicodeDecodeError) as error:
        return {"error": str(error)}
    return {"clock": clock, "tags": tags, "changes": changes}
