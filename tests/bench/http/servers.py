"""The servers that are compared, each with one worker, on a port of this machine's loopback."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from project.local.folders import BASE_DIR
from tests.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = "tests.bench.http.settings"
HOST = "shop.example"
"""What all are asked for, since the page has absolute addresses."""
SECONDS = 60
NGINX_CONF = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    default_type "text/html; charset=utf-8";
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    server {{
        listen 127.0.0.1:{port};
        {site}
    }}
}}
"""
STATIC = "root {folder}/files; index page.html; open_file_cache max=100;"
PROXY_CACHE = """
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $host;
            proxy_cache pages;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;
        }}"""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds of CPU that its processes have taken."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(time.user + time.system for time in times)

    def memory(self) -> float:
        """Resident megabytes of its largest process, which is the worker."""
        return max(process.memory_info().rss for process in self._processes()) / 2**20

    def get(self, path: str) -> tuple[bytes, dict[str, str]]:
        """Ask for a page; return the body and the headers."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            client.request("GET", path, headers={"Host": HOST})
            response = client.getresponse()
            body = response.read()
            assert response.status == 200, f"{path}: {response.status}"
            return body, dict(response.getheaders())
        finally:
            client.close()

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def program(name: str) -> str | None:
    """Return the path of a program of the system, also if only root's PATH has its folder."""
    return shutil.which(
        name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    )


@contextmanager
def django(
    contestant: str, *, interface: str = "wsgi", threads: int = 4, page: Path | None = None
) -> Iterator[Server]:
    """Granian as the Procfile runs it, with one worker, and with another interface or number of threads if asked.

    ``page`` is the file that the contestant ``constant`` sends.
    """
    (line,) = [line for line in (BASE_DIR / "Procfile").read_text().splitlines() if line.startswith("web:")]
    command = line.removeprefix("web:").replace("project.wsgi:", f"tests.bench.http.{interface}:")
    command = command.replace("--interface wsgi", f"--interface {interface}")
    command = command.replace("--blocking-threads 4", f"--blocking-threads {threads}")
    with reserved_port() as port:
        folder = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {"HOST": "127.0.0.1", "PORT": str(port), "WEB_WORKERS": "1", "PATH": folder}
        variables["BENCH_PAGE"] = str(page or "")
        with _running(f"exec {command}", contestant=contestant, **variables) as process:
            yield _started(Server(port, process), "/robots.txt")


@contextmanager
def nginx(folder: Path, site: str, path: str) -> Iterator[Server]:
    """Nginx with one worker and this site; its files are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    with reserved_port() as port:
        site = site.format(folder=folder) if "{folder}" in site else site
        (folder / "conf").write_text(NGINX_CONF.format(folder=folder, port=port, site=site, user=user))
        with _running(
            f"exec {program('nginx')} -e {folder}/error.log -p {folder} -c {folder}/conf"
        ) as process:
            yield _started(Server(port, process), path)


@contextmanager
def drain() -> Iterator[None]:
    """The drain process, which Larder needs; it belongs to no web server."""
    with _running(f"exec {sys.executable} manage.py drain", contestant="larder"):
        yield


@contextmanager
def _running(command: str, *, contestant: str = "", **variables: str) -> Iterator[psutil.Process]:
    settings = {"DJANGO_SETTINGS_MODULE": SETTINGS, "BENCH_CONTESTANT": contestant}
    environment = os.environ | settings | variables
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=BASE_DIR, env=environment, stdin=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
        assert process.poll() is None, f"ended before its time: {command}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(server: Server, path: str) -> Server:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            server.get(path)
        except OSError:
            assert server.process.is_running(), "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        else:
            return server
