"""What PostgreSQL gives comes back exactly: through a raw cursor, and through the fields of a model."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.postgres import fields as pg
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids, register_type_handlers
from django.db import connection, models
from django.test.utils import isolate_apps
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from cachecontrol.core import codec
from tests.cachecontrol.test_codec import exact

EXPRESSIONS = {
    "smallint": ("(-32768)::smallint", int),
    "bigint": ("9223372036854775807::bigint", int),
    "numeric": ("(-12.3400)::numeric(20,4)", Decimal),
    "numeric with every digit": ("repeat('9', 131072)::numeric", Decimal),
    "numeric nan": ("'NaN'::numeric", Decimal),
    "numeric infinity": ("'-Infinity'::numeric", Decimal),
    "real": ("0.1::real", float),
    "double": ("'-0'::float8", float),
    "double nan": ("'NaN'::float8", float),
    "boolean": ("true", bool),
    "null": ("null::text", type(None)),
    "text": ("'Grüße 😀'::text", str),
    "citext": ("'MiXed'::citext", str),
    "enum": ("'green'::codec_colour", str),
    "bytea": (r"'\x00ff80'::bytea", bytes),
    "uuid": ("'12345678-1234-5678-1234-567812345678'::uuid", uuid.UUID),
    "date": ("'0001-01-01'::date", dt.date),
    "time": ("'23:59:59.999999'::time", dt.time),
    "timetz": ("'10:00:00.5+05:30'::timetz", dt.time),
    "timestamp": ("'9999-12-31 23:59:59.999999'::timestamp", dt.datetime),
    "timestamptz": ("'2026-10-25 02:30:00.123456+02'::timestamptz", dt.datetime),
    "interval": ("'-3 days 4 hours 0.000001 seconds'::interval", dt.timedelta),
    "json": ("""'{"a": [1, 2.5, null, true, {"b": "\\u00e4"}]}'::json""", dict),
    "jsonb": ("""'{"a": [1, 2.5, null, true, {"b": "ä"}]}'::jsonb""", str),
    "inet": ("'10.0.0.1/8'::inet", str),
    "cidr": ("'2001:db8::/32'::cidr", str),
    "hstore": ("""'a=>1, b=>NULL, "ä"=>""'::hstore""", dict),
    "array": ("array[[1,null],[3,4]]", list),
    "array of timestamptz": ("array['2026-01-01'::timestamptz, null]", list),
    "array of citext": ("array['A','b']::citext[]", list),
    "array of uuid": ("array['12345678-1234-5678-1234-567812345678']::uuid[]", list),
    "int4range": ("'[1,5)'::int4range", Range),
    "empty range": ("'empty'::int8range", Range),
    "unbounded range": ("'(,)'::daterange", Range),
    "numrange": ("'(1.10,2.200]'::numrange", Range),
    "tstzrange": ("'[2026-01-01,2026-02-01]'::tstzrange", Range),
    "multirange": ("'{[1,3),[5,9)}'::int4multirange", Multirange),
    "tstzmultirange": ("'{[2026-01-01,2026-02-01)}'::tstzmultirange", Multirange),
    "row": ("row(1, 'a', null::int)", tuple),
    "point": ("'(1,2)'::point", str),
    "tsvector": ("to_tsvector('english', 'red shoes')", str),
    "oid": ("'pg_class'::regclass", str),
}


@pytest.fixture
def extensions(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("create extension if not exists hstore; create extension if not exists citext")
        cursor.execute("create type codec_colour as enum ('red', 'green')")
    oids: list[Any] = [get_hstore_oids, get_citext_oids]
    for cached in oids:
        cached.cache_clear()
    register_type_handlers(connection)


def returned(value: Any) -> Any:
    return codec.decode(codec.encode(value))


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_what_a_cursor_gives_comes_back(extensions: None, settings: Any, name: str, zone: str) -> None:
    expression, kind = EXPRESSIONS[name]
    settings.TIME_ZONE = zone
    with connection.cursor() as cursor:
        cursor.execute(f"select {expression}")
        rows = cursor.fetchall()
    assert type(rows[0][0]) is kind
    assert exact(returned(rows)) == exact(rows)


def test_what_a_cursor_in_another_zone_gives_comes_back(extensions: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set local time zone 'Europe/Berlin'")
        rows = cursor.connection.execute("select '2026-10-25 02:30:00+01'::timestamptz").fetchall()
    assert rows[0][0].tzinfo is not None
    assert exact(returned(rows)) == exact(rows)


@isolate_apps("tests")
def test_what_model_fields_give_comes_back(extensions: None) -> None:
    class Everything(models.Model):
        price = models.DecimalField(max_digits=20, decimal_places=4)
        ratio = models.FloatField()
        moment = models.DateTimeField()
        day = models.DateField()
        hour = models.TimeField()
        span = models.DurationField()
        name = models.UUIDField()
        data = models.JSONField()
        address = models.GenericIPAddressField()
        blob = models.BinaryField()
        numbers = pg.ArrayField(pg.ArrayField(models.IntegerField(null=True)))
        pairs = pg.HStoreField()
        whole = pg.IntegerRangeField()
        decimals = pg.DecimalRangeField()
        days = pg.DateRangeField()
        moments = pg.DateTimeRangeField()

        class Meta:
            app_label = "tests"

    now = dt.datetime(2026, 10, 25, 0, 30, 0, 1, tzinfo=dt.UTC)
    given = Everything(
        price=Decimal("-1.5000"),
        ratio=-0.0,
        moment=now,
        day=now.date(),
        hour=now.time(),
        span=dt.timedelta(days=-1, microseconds=1),
        name=uuid.UUID(int=7),
        data={"a": [1, 2.5, None, {"b": "ä"}]},
        address="2001:db8::1",
        blob=b"\x00\xff",
        numbers=[[1, None], [3, 4]],
        pairs={"a": "1", "b": None},
        whole=(1, None),
        decimals=(Decimal("1.10"), Decimal("2.2")),
        days=(now.date(), now.date() + dt.timedelta(days=1)),
        moments=(now, None),
    )
    with connection.schema_editor() as editor:
        editor.create_model(Everything)
    given.save()
    names = [field.attname for field in Everything._meta.concrete_fields]
    rows = list(Everything._default_manager.values_list(*names))
    blob = names.index("blob")
    plain = [tuple(bytes(value) if at == blob else value for at, value in enumerate(row)) for row in rows]
    assert exact(returned(rows)) == exact(plain)
    assert returned(list(Everything._default_manager.values()))[0]["data"] == given.data
