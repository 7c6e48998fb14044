"""The codec gives back exactly what it was given, refuses what it does not know, and survives any bytes."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import struct
import time
import tracemalloc
import zlib
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from psycopg.types import multirange as pg_multirange
from psycopg.types import range as pg_range

from cachecontrol.core import codec, compression
from cachecontrol.exceptions import DamagedData, UnknownType

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]
RANGES = [
    pg_range.Range,
    pg_range.Int4Range,
    pg_range.Int8Range,
    pg_range.NumericRange,
    pg_range.DateRange,
    pg_range.TimestampRange,
    pg_range.TimestamptzRange,
]
MULTIRANGES = [pg_multirange.Multirange, pg_multirange.DateMultirange, pg_multirange.NumericMultirange]


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


codec.register(Colour, "tests.Colour", to=lambda colour: colour.value, from_=Colour)


def exact(value: Any) -> Any:
    """A form of the value in which two values are equal only if nothing at all tells them apart."""
    match value:
        case float():
            facts: Any = struct.pack(">d", value)
        case Decimal():
            facts = value.as_tuple()
        case dt.datetime() | dt.time():
            facts = (value.replace(tzinfo=None, fold=0).isoformat(), value.fold, exact(value.tzinfo))
        case ZoneInfo():
            facts = value.key
        case dt.timezone():
            facts = (value.utcoffset(None), value.tzname(None))
        case list() | tuple() | pg_multirange.Multirange():
            facts = [exact(item) for item in value]
        case set() | frozenset():
            facts = sorted((exact(item) for item in value), key=repr)
        case dict():
            facts = [(exact(key), exact(item)) for key, item in value.items()]
        case pg_range.Range():
            facts = (exact(value.lower), exact(value.upper), value.isempty, value.isempty or value.bounds)
        case _:
            facts = value
    return type(value), facts


zones = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from(ZONES).map(ZoneInfo),
    st.timedeltas(min_value=dt.timedelta(hours=-23), max_value=dt.timedelta(hours=23)).map(dt.timezone),
    st.builds(dt.timezone, st.just(dt.timedelta(hours=2)), st.text(max_size=5)),
)
datetimes = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(),
    zones,
    st.sampled_from([0, 1]),
)
times = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.times(),
    zones,
    st.sampled_from([0, 1]),
)
addresses = st.one_of(
    st.ip_addresses(),
    st.builds(
        lambda address, prefix: ipaddress.ip_interface((address, prefix)),
        st.ip_addresses(),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, prefix: ipaddress.ip_network((address, prefix), strict=False),
        st.ip_addresses(),
        st.integers(0, 32),
    ),
    st.ip_addresses(v=6).map(lambda address: ipaddress.IPv6Address(f"{address}%eth0")),
)
decimals = st.one_of(
    st.decimals(),
    st.sampled_from(["0E-10", "-0", "1E+30", "-1.2300", "NaN123", "sNaN", "-Infinity", "1E+999999"]).map(
        Decimal
    ),
)
texts = st.text(st.characters(codec=None))
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    texts,
    st.binary(),
    st.dates(),
    st.uuids(),
    decimals.filter(lambda number: not number.is_snan()),
)
leaves = st.one_of(
    keys,
    st.integers(-(2**70), 2**70),
    st.floats(),
    decimals,
    datetimes,
    times,
    st.timedeltas(),
    addresses,
    st.sampled_from(Colour),
)
bounds = st.one_of(st.none(), st.integers(), decimals, st.dates(), datetimes)
ranges = st.one_of(
    st.builds(
        lambda kind, lower, upper, edges: kind(lower, upper, edges),
        st.sampled_from(RANGES),
        bounds,
        bounds,
        st.sampled_from(["[)", "(]", "()", "[]"]),
    ),
    st.sampled_from(RANGES).map(lambda kind: kind(empty=True)),
)
multiranges = st.builds(
    lambda kind, items: kind(items), st.sampled_from(MULTIRANGES), st.lists(ranges, max_size=3)
)
values = st.recursive(
    st.one_of(leaves, ranges, multiranges),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(texts, inner, max_size=5),
        st.dictionaries(keys, inner, max_size=5),
        st.sets(keys, max_size=5),
        st.frozensets(keys, max_size=5),
    ),
    max_leaves=20,
)


@given(values)
@example(
    [True, 1, 1.0, Decimal(1), -0.0, 0.0, Decimal("-0.00"), float("nan"), struct.unpack(">d", b"\xff" * 8)[0]]
)
@example({1: "a", "1": "b", (1, (2, None)): "c", frozenset({1}): "d", b"1": "e"})
@example([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**200000])
@example(dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))
@example([dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)])
@example(["\ud800", {"\udfff": "\ud83d\ude00"}])
def test_every_value_comes_back_to_the_bit(value: Any) -> None:
    assert exact(codec.decode(codec.encode(value))) == exact(value)


@given(st.binary(), st.sampled_from([memoryview, bytearray]))
def test_bytes_like_values_come_back_as_bytes(data: bytes, kind: Any) -> None:
    assert exact(codec.decode(codec.encode([kind(data)]))) == exact([data])


def test_a_utc_moment_comes_back_in_the_same_zone_object() -> None:
    assert codec.decode(codec.encode(dt.datetime.now(dt.UTC))).tzinfo is dt.UTC


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), "builtins.object at value"),
        ([1, {"a": (2, {3, Level.LOW})}], ".Level at value[1]['a'][1]["),
        ({"x": Point(1, 2)}, ".Point at value['x']"),
        (OrderedDict(a=1), "collections.OrderedDict at value"),
        (type("Text", (str,), {})("a"), ".Text at value"),
        ([True, {1: print}], "builtins.builtin_function_or_method at value[1][1]"),
        ([msgpack.ExtType(1, b"")], "msgpack.ext.ExtType at value[0]"),
        ([msgpack.Timestamp(1)], "msgpack.ext.Timestamp at value[0]"),
        ([1 << 8 * 65536], "an integer of 65537 bytes, more than 65536, at value"),
        ((None,) * 65_537, "a collection of 65537 items"),
        (b"a" * codec.MAX_BYTES, "bytes, more than 4194304"),
    ],
)
def test_what_the_codec_does_not_know_is_refused_by_type_and_place(value: Any, complaint: str) -> None:
    with pytest.raises(UnknownType) as caught:
        codec.encode(value)
    assert complaint in str(caught.value)


def test_a_value_inside_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnknownType, match="inside itself"):
        codec.encode(loop)


def test_the_deepest_and_the_longest_values_come_back() -> None:
    deep: list[Any] = []
    for _ in range(codec.MAX_DEPTH - 1):
        deep = [deep]
    for value in (deep, [None] * codec.MAX_ITEMS, {str(n): n for n in range(codec.MAX_ITEMS)}):
        assert codec.decode(codec.encode(value)) == value


def test_a_type_or_name_is_registered_once() -> None:
    for kind, name in [
        (Colour, "other"),
        (Level, "tests.Colour"),
        (list, "other"),
        (int, "other"),
        (Decimal, "other"),
    ]:
        with pytest.raises(ValueError, match="taken"):
            codec.register(kind, name, to=int, from_=kind)


def damaged(data: bytes) -> bool:
    """Decode the bytes: whether they were refused, and in the one way that is allowed."""
    try:
        codec.decode(data)
    except DamagedData:
        return True
    return False


@given(st.binary())
def test_random_bytes_are_damaged_or_a_value(data: bytes) -> None:
    assert damaged(data) or data[:1] == codec.VERSION
    damaged(codec.VERSION + data)


@settings(max_examples=400)
@given(values, st.data())
def test_altered_bytes_are_damaged_or_a_value_of_known_types(value: Any, data: st.DataObject) -> None:
    body = bytearray(codec.encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assume(body)
    if not damaged(bytes(body)):
        codec.encode(codec.decode(bytes(body)))


@given(values, st.data())
def test_every_truncation_and_addition_is_damaged(value: Any, data: st.DataObject) -> None:
    body = codec.encode(value)
    assert damaged(body[: data.draw(st.integers(0, len(body) - 1))])
    assert damaged(body + data.draw(st.binary(min_size=1)))


def packed(value: Any) -> bytes:
    return bytes(codec.VERSION + msgpack.packb(value))


def mark(name: str) -> msgpack.ExtType:
    return msgpack.ExtType(codec.MARK, name.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        codec.VERSION,
        b"\x02" + msgpack.packb(1),
        b"\x80\x04N.",  # a pickle
        codec.VERSION + b"\xc1",
        codec.VERSION + b"\xa1\xff",
        codec.VERSION + b"\xdd\xff\xff\xff\xff",
        codec.VERSION + b"\xdb\xff\xff\xff\xff",
        codec.VERSION + b"\xdf\xff\xff\xff\xff",
        codec.VERSION + b"\xc9\xff\xff\xff\xff\x02",
        codec.VERSION + b"\x91" * 1_000_000,
        codec.VERSION + b"\x81\xa1a" * 1_000_000,
        packed(msgpack.ExtType(99, b"")),
        packed(msgpack.ExtType(1, b"\x7f" * 70_000)),
        packed(msgpack.ExtType(2, b"1,5")),
        packed(msgpack.ExtType(3, b"2026-02-30")),
        packed(msgpack.ExtType(4, struct.pack(">iII", 2**31 - 1, 0, 0))),
        packed(msgpack.ExtType(5, b"short")),
        packed(msgpack.ExtType(6, b"../../../../etc/passwd")),
        packed(msgpack.ExtType(6, b"/etc/passwd")),
        packed(msgpack.ExtType(6, b"Europe")),
        packed(msgpack.ExtType(7, b"999.1.1.1")),
        packed(msgpack.ExtType(11, b"10.0.0.1/8")),
        packed({1: 2}),
        packed({None: 2}),
        packed([mark("os.system"), "id"]),
        packed([mark("tests.Colour"), "blue"]),
        packed([mark("tests.Colour")]),
        packed([mark("s"), [mark("l")]]),
        packed([mark("d"), 1]),
        packed([mark("d"), [mark("l")], 1]),
        packed([mark("datetime"), "2026-01-01", 0, "UTC"]),
        packed([mark("datetime"), "2026-01-01", 7, None]),
        packed([mark("Range"), 1, 2, "<>"]),
        packed([mark("Multirange"), 1]),
        packed([mark("timezone"), 5]),
        packed([1, mark("l")]),
        packed([mark("l"), mark("l")]),
        packed({"a": mark("l")}),
        packed(mark("l")),
    ],
)
def test_forged_bytes_are_damaged(data: bytes) -> None:
    assert damaged(data)


def bomb(head: bytes) -> bytes:
    return codec.VERSION + head * (codec.MAX_BYTES // len(head) - 1)


@pytest.mark.parametrize(
    "data",
    [
        bomb(struct.pack(">BI", 0xDD, codec.MAX_ITEMS)),
        bomb(struct.pack(">BI", 0xDF, 2**32 - 1)),
        packed([mark("s"), *(msgpack.ExtType(1, (n * (2**61 - 1)).to_bytes(16)) for n in range(2, 50_000))]),
        packed([mark("s"), *([(n >> s & 1) * (2**61 - 1) for s in range(16)] for n in range(50_000))]),
        packed([mark("d"), *(msgpack.ExtType(5, (n * (2**61 - 1)).to_bytes(16)) for n in range(50_000))]),
    ],
    ids=["announced arrays", "announced maps", "colliding integers", "colliding tuples", "colliding uuids"],
)
def test_bombs_cost_little_time_and_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        start = time.thread_time()
        assert damaged(data)
        assert time.thread_time() - start < 5
        assert tracemalloc.get_traced_memory()[1] < 700 * 1024 * 1024
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=2000))
def test_compressed_bodies_come_back_within_the_limit(body: bytes) -> None:
    data = compression.compress(body)
    assert compression.decompress(data, len(body)) == body
    assert compression.compress(body) == data
    with pytest.raises(DamagedData):
        compression.decompress(data[:-1], len(body))
    with pytest.raises(DamagedData):
        compression.decompress(data + b"x", len(body))


@given(st.binary())
def test_bytes_that_nobody_compressed_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedData):
        compression.decompress(data, 1000)


def test_a_compression_bomb_stops_at_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=compression.GZIP)
    data = b"".join(packer.compress(bytes(1_000_000)) for _ in range(500)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(DamagedData, match="more than 100000 bytes"):
            compression.decompress(data, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
