"""Who is compared: each server's name, and how it is started and made warm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.core.management import call_command

from catalog.models import Product
from catalog.queries import visible_products
from tests.bench.http import servers

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from tests.bench.http.servers import Server

BYTES = 11_500
NAMES = {
    "bare": "Django, uncached",
    "cachalot": "Django, queries by cachalot",
    "cacheops": "Django, queries by cacheops",
    "cache_page": "Django's `cache_page` on django-redis",
    "larder-redis": "Larder, `LOCAL_BYTES` = 0: hits by Redis",
    "larder": "Larder",
    "constant": "the same web server, with a constant: no work at all",
    "proxy_cache": "nginx `proxy_cache`",
    "static": "nginx, a static file",
}
HITS = {"larder": "larder; hit; detail=local", "larder-redis": "larder; hit"}
"""``Cache-Status`` of a warm server."""


def prepare(products: int) -> None:
    """Create the tables, and a catalog."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("demo", products=products, verbosity=0)


def choose(server: Server, *, of: int) -> str:
    """Return the path of the product whose page is nearest to ``BYTES`` long, among the first that visitors see."""
    visible = visible_products(Product.objects.all()).order_by("pk")
    slugs = visible.values_list("slug", flat=True)[:of]
    paths = [f"/p/{slug}/" for slug in slugs]
    return min(paths, key=lambda path: abs(len(server.get(path)[0]) - BYTES))


def start(stack: ExitStack, folder: Path, *, products: int) -> tuple[dict[str, Server], str]:
    """Start all servers, until the stack is closed. Return them, and the path of the page that all of them have."""
    stack.enter_context(servers.drain())
    bare = stack.enter_context(servers.django("bare"))
    path = choose(bare, of=products)
    started = {"bare": bare}
    for name in ("cachalot", "cacheops", "cache_page", "larder-redis", "larder"):
        started[name] = stack.enter_context(servers.django(name))
    file = folder / "static" / "files" / path.strip("/") / "page.html"
    file.parent.mkdir(parents=True)
    file.write_bytes(bare.get(path)[0])
    started["constant"] = stack.enter_context(servers.django("constant", page=file))
    if servers.program("nginx"):
        cache = servers.PROXY_CACHE.format(behind=bare.port)
        started["proxy_cache"] = stack.enter_context(servers.nginx(folder / "proxy", cache, path))
        started["static"] = stack.enter_context(servers.nginx(folder / "static", servers.STATIC, path))
    for name, server in started.items():
        warm(server, path, HITS.get(name))
        assert server.get(path)[0] == bare.get(path)[0], f"another page: {name}"
    return {name: started[name] for name in NAMES if name in started}, path


def warm(server: Server, path: str, status: str | None = None) -> None:
    """Ask for the page until it is cached, and with it whatever the server does at its first requests.

    Raises:
        TimeoutError: if the server does not come to answer with this ``Cache-Status``.
    """
    deadline = time.monotonic() + servers.SECONDS
    hits = 0
    while hits < 50:
        found = {name.lower(): value for name, value in server.get(path)[1].items()}.get("cache-status")
        hits = hits + 1 if found == status or status is None else 0
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page is not cached: {found}")
