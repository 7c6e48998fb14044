"""Encodes values as bytes and decodes them, exactly: every type that PostgreSQL returns through psycopg and Django, and no code.

The format is one version byte, then MessagePack. Types that MessagePack lacks are written in two ways. A *leaf* (Decimal, date,
UUID…) is an extension whose number names the type. A *composite* (list, set, range…) is an array that begins with a mark, which
is an extension that contains the composite's name. An array without a mark is a tuple, since rows are tuples.

Note [Why decoding is bounded]. Another program that can write to Redis chooses these bytes. The decoder nests in C, at most 1,024
deep. An array must not announce more than MAX_ITEMS, so that announced items which are missing cost nothing. Only text can be a
key of a map, and its hash is salted. Other keys, and the members of sets, can be made to collide, so their hashes are counted
before a table is built. A mark is only consumed at the head of an array; a mark that is left over makes the whole value damaged.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import struct
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import msgpack
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from cachecontrol.exceptions import DamagedData, UnknownType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


T = TypeVar("T")


VERSION = b"\x01"
MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 128
MAX_ITEMS = 65_536
MAX_INTEGER_BYTES = 65_536  # PostgreSQL's longest numeric needs 54,428
MAX_COLLISIONS = 64
MARK, LONG = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """A type that is written as its parts, after a mark."""

    mark: msgpack.ExtType
    parts: Callable[[Any], Iterable[Any]]
    """Returns the parts of a value."""
    build: Callable[[list[Any]], Any]
    """Returns the value that has these parts."""


_SPAN = struct.Struct(">iII")  # days, seconds, microseconds
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_writers: dict[type, tuple[int, Callable[[Any], bytes]]] = {}
_readers: dict[int, Callable[[bytes], Any]] = {}
_composites: dict[type, Composite] = {}
_marks: dict[bytes, Composite] = {}


def encode(value: Any) -> bytes:
    """Return the bytes of a value, from which ``decode`` returns an equal value of the same types, to the bit.

    Bytes-like values (bytearray, memoryview) come back as bytes. Raises UnknownType, with the path to it, for
    a value whose exact type is neither built in nor registered, and for one beyond MAX_DEPTH, MAX_ITEMS or
    MAX_BYTES.
    """
    try:
        body: bytes = VERSION + msgpack.packb(
            _plain(value, MAX_DEPTH), default=_long, strict_types=True, unicode_errors="surrogatepass"
        )
    except _EncodeError as error:
        raise UnknownType(f"{error.what} at value{error.path}") from None
    if len(body) > MAX_BYTES:
        raise UnknownType(f"a value of {len(body)} bytes, more than {MAX_BYTES}")
    return body


def decode(data: bytes) -> Any:
    """Return the value that ``encode`` was given. Raises DamagedData, and nothing else, for other bytes.

    See Note [Why decoding is bounded].
    """
    if data[:1] != VERSION or len(data) > MAX_BYTES:
        raise DamagedData(f"{len(data)} bytes of version {data[:1].hex()}")
    reader = _Reader()
    try:
        value = msgpack.unpackb(
            memoryview(data)[1:],
            ext_hook=reader.extension,
            list_hook=reader.array,
            timestamp=3,  # as datetimes in UTC
            unicode_errors="surrogatepass",
            max_array_len=min(len(data), MAX_ITEMS + 1),
        )
    except Exception as error:
        raise DamagedData(f"{type(error).__name__}: {error}") from error
    if reader.loose_marks:
        raise DamagedData("a mark that is not at the head of an array")
    return value


def register(kind: type[T], name: str, *, to: Callable[[T], Any], from_: Callable[[Any], T]) -> None:
    """Allow values of exactly this type to be stored.

    ``to`` converts a value to one that can be encoded. ``from_`` converts it back, and must raise for a value that ``to`` did not
    return. ``name`` is stored beside the value.
    """
    _compose(kind, name, lambda value: (to(value),), lambda parts: from_(*parts))


class _EncodeError(Exception):
    """A value that cannot be encoded, with the path to it: each level on the way up adds its own step at the front."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.path = ""


def _plain(value: Any, depth: int) -> Any:
    """Return the value as types that MessagePack knows."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind in _writers:
        code, write = _writers[kind]
        return msgpack.ExtType(code, write(value))
    if kind is dt.datetime and value.tzinfo is dt.UTC and not value.fold:
        since = value - _EPOCH
        return msgpack.Timestamp(since.days * 86_400 + since.seconds, since.microseconds * 1_000)
    if kind in (memoryview, bytearray):
        return bytes(value)
    return _collection(kind, value, depth)


def _collection(kind: type, value: Any, depth: int) -> Any:
    if depth == 0:
        raise _EncodeError(f"a value more than {MAX_DEPTH} deep, or inside itself,")
    if kind is tuple:
        return _items(value, depth)
    if kind is dict and set(map(type, value)) <= {str}:
        return dict(zip(value, _items(value.values(), depth, value), strict=True))
    if kind not in _composites:
        raise _EncodeError(f"{kind.__module__}.{kind.__qualname__}")
    composite = _composites[kind]
    return [composite.mark, *_items(composite.parts(value), depth)]


def _items(values: Iterable[Any], depth: int, names: Iterable[str] = ()) -> list[Any]:
    items = [*values]
    if len(items) > MAX_ITEMS:
        raise _EncodeError(f"a collection of {len(items)} items, more than {MAX_ITEMS},")
    if _ATOMS.issuperset(map(type, items)):  # as most of what JSON holds
        return items
    for index, value in enumerate(items):
        if type(value) not in _ATOMS:
            try:
                items[index] = _plain(value, depth - 1)
            except _EncodeError as error:
                error.path = f"[{([*names] or range(len(items)))[index]!r}]{error.path}"
                raise
    return items


class _Reader:
    """The hooks of one decoding: extensions become leaves or marks, marked arrays become composites."""

    __slots__ = ("loose_marks",)

    def __init__(self) -> None:
        self.loose_marks = 0

    def extension(self, code: int, data: bytes) -> Any:
        if code != MARK:
            return _readers[code](data)
        self.loose_marks += 1
        return _marks[data]

    def array(self, items: list[Any]) -> Any:
        if not items or type(items[0]) is not Composite:
            return tuple(items)
        self.loose_marks -= 1
        return items[0].build(items[1:])


def _leaf(code: int, kind: type[T], write: Callable[[T], bytes], read: Callable[[bytes], T]) -> None:
    _writers[kind] = (code, write)
    _readers[code] = read


def _compose(
    kind: type[T], name: str, parts: Callable[[T], Iterable[Any]], build: Callable[[list[Any]], T]
) -> None:
    mark = msgpack.ExtType(MARK, name.encode())
    if kind in _composites or kind in _writers or kind in _ATOMS or mark.data in _marks:
        raise ValueError(f"{kind.__qualname__} or the name {name!r} is taken")
    _composites[kind] = _marks[mark.data] = Composite(mark, parts, build)


def _refuse_collisions(keys: list[Any]) -> None:
    if len(keys) - len(set(map(hash, keys))) > MAX_COLLISIONS:
        raise ValueError("keys that collide")


def _build_dict(parts: list[Any]) -> dict[Any, Any]:
    _refuse_collisions(parts[::2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _build_set(parts: list[Any]) -> set[Any]:
    _refuse_collisions(parts)
    return set(parts)


def _long(value: int) -> msgpack.ExtType:
    """Write an integer of more than 64 bits. The packer calls its ``default`` for nothing else."""
    length = value.bit_length() // 8 + 1
    if length > MAX_INTEGER_BYTES:
        raise _EncodeError(f"an integer of {length} bytes, more than {MAX_INTEGER_BYTES},")
    return msgpack.ExtType(LONG, value.to_bytes(length, signed=True))


def _read_long(data: bytes) -> int:
    if len(data) > MAX_INTEGER_BYTES:
        raise ValueError("an integer that is too long")
    return int.from_bytes(data, signed=True)


def _span(value: dt.timedelta) -> bytes:
    return _SPAN.pack(value.days, value.seconds, value.microseconds)


def _text(value: Any) -> bytes:
    return str(value).encode()


def _read_text(read: Callable[[str], T]) -> Callable[[bytes], T]:
    return lambda data: read(data.decode())


def _moment_parts(value: dt.datetime | dt.time) -> Iterable[Any]:
    return value.replace(tzinfo=None, fold=0).isoformat(), value.fold, value.tzinfo


def _moment_builder(read: Callable[[str], Any]) -> Callable[[list[Any]], Any]:
    def build(parts: list[Any]) -> Any:
        text, fold, zone = parts
        return read(text).replace(fold=fold, tzinfo=zone)

    return build


def _timezone_parts(zone: dt.timezone) -> Iterable[Any]:
    offset, name = zone.utcoffset(None), zone.tzname(None)
    return (offset,) if name == str(dt.timezone(offset)) else (offset, name)


def _family(base: type[T]) -> list[type[T]]:
    """psycopg's own classes of ranges: the base, which is what it reads, and one for each of PostgreSQL's."""
    return [base, *(kind for kind in base.__subclasses__() if kind.__module__ == base.__module__)]


def _range_parts(value: Range[Any]) -> Iterable[Any]:
    return () if value.isempty else (value.lower, value.upper, value.bounds)


def _build_range(kind: type[Range[Any]], parts: list[Any]) -> Range[Any]:
    return kind(*parts) if parts else kind(empty=True)


def _build_multirange(kind: type[Multirange[Any]], parts: list[Any]) -> Multirange[Any]:
    return kind(parts)


@lru_cache(maxsize=2048)  # more than there are zones: no bytes can make us read zone files again and again
def _zone(key: str) -> ZoneInfo:
    return ZoneInfo(key)


def _zone_key(zone: ZoneInfo) -> bytes:
    if zone.key is None:
        raise _EncodeError("a ZoneInfo without a key")
    return zone.key.encode()


_readers[LONG] = _read_long
_leaf(2, Decimal, _text, _read_text(Decimal))
_leaf(3, dt.date, _text, _read_text(dt.date.fromisoformat))
_leaf(4, dt.timedelta, _span, lambda data: dt.timedelta(*_SPAN.unpack(data)))
_leaf(5, uuid.UUID, lambda value: value.bytes, lambda data: uuid.UUID(bytes=data))
_leaf(6, ZoneInfo, _zone_key, _read_text(_zone))
_leaf(7, ipaddress.IPv4Address, _text, _read_text(ipaddress.IPv4Address))
_leaf(8, ipaddress.IPv6Address, _text, _read_text(ipaddress.IPv6Address))
_leaf(9, ipaddress.IPv4Interface, _text, _read_text(ipaddress.IPv4Interface))
_leaf(10, ipaddress.IPv6Interface, _text, _read_text(ipaddress.IPv6Interface))
_leaf(11, ipaddress.IPv4Network, _text, _read_text(ipaddress.IPv4Network))
_leaf(12, ipaddress.IPv6Network, _text, _read_text(ipaddress.IPv6Network))
_compose(list, "l", iter, list)
_compose(dict, "d", lambda value: chain.from_iterable(value.items()), _build_dict)
_compose(set, "s", iter, _build_set)
_compose(frozenset, "f", iter, lambda parts: frozenset(_build_set(parts)))
_compose(dt.datetime, "datetime", _moment_parts, _moment_builder(dt.datetime.fromisoformat))
_compose(dt.time, "time", _moment_parts, _moment_builder(dt.time.fromisoformat))
_compose(dt.timezone, "timezone", _timezone_parts, lambda parts: dt.timezone(*parts))
for _range in _family(Range):
    _compose(_range, _range.__name__, _range_parts, partial(_build_range, _range))
for _multirange in _family(Multirange):
    _compose(_multirange, _multirange.__name__, iter, partial(_build_multirange, _multirange))
