"""The user that PostgreSQL runs as: this process's own, or for root, as whom it refuses to run, an unprivileged one."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

from project.local.server import ServiceError

if TYPE_CHECKING:
    from pathlib import Path


def hidden_from_others(path: Path) -> bool:
    """Whether this process is root's and another user cannot pass through this path, wherever its links lead."""
    if os.geteuid() != 0:
        return False
    path = path.resolve()
    return not all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents) if p.exists())


def make_private(folder: Path, *, data_folder: Path, recursive: bool = False) -> None:
    """Make a private folder of the user that runs the PostgreSQL of ``data_folder``. Another user's folder is an error."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _user(data_folder)
    if folder.lstat().st_uid not in {os.geteuid(), user.pw_uid}:
        raise ServiceError(f"{folder} belongs to another user: run as that user, or remove it.")
    folder.chmod(0o700)
    if os.geteuid() != 0:
        return
    for path in [folder, *(folder.rglob("*") if recursive else ())]:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def unprivileged(data_folder: Path) -> dict[str, Any]:
    """Return the arguments of ``subprocess.run`` that make a program run as the user of ``data_folder``."""
    if os.geteuid() != 0:
        return {}
    user = _user(data_folder)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _user(data_folder: Path) -> pwd.struct_passwd:
    """Return this process's user, or for root the owner of ``data_folder``, ``larder`` or ``nobody``."""
    if os.geteuid() != 0:
        return _account(os.geteuid())
    if data_folder.exists() and (owner := data_folder.stat().st_uid):
        return _account(owner)
    if not _exists("larder") and (useradd := shutil.which("useradd")):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "larder"]
        subprocess.run(command, capture_output=True, check=False)
    for name in ("larder", "nobody"):
        if _exists(name):
            return pwd.getpwnam(name)
    raise ServiceError(
        "PostgreSQL refuses to run as root, and no other user is here: run as an ordinary user."
    )


def _account(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError as error:
        raise ServiceError(
            f"PostgreSQL needs a user with a name; user {uid} has none in /etc/passwd."
        ) from error


def _exists(user: str) -> bool:
    return any(entry.pw_name == user for entry in pwd.getpwall())
