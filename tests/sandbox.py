"""Run a command under the restrictions of a systemd unit, as far as they can be had without systemd.

``python -m tests.sandbox outer UNIT COMMAND…`` applies the filter of system calls, the address families, the ban on memory
that is both written and executed and, as root, the read-only file system and the empty set of capabilities; all but one, since
the sockets of the tests' servers belong to several users. Not applied is what hides things: private folders for temporary
files (but /var/tmp), devices and users, and parts of /proc.
"""

from __future__ import annotations

import configparser
import ctypes
import ctypes.util
import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from project.local.folders import BASE_DIR

ALLOW, ERRNO, EQUAL = 0x7FFF0000, 0x00050000, 4
CLONE_NEWNS = 0x20000
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
NAMESPACES = {"unshare", "setns", "clone3", "personality"}


class Options(dict[str, Any]):
    """The options of a unit's service, each with all of its values."""

    def __setitem__(self, name: str, value: object) -> None:
        if isinstance(value, list) and name in self:
            self[name].extend(value)
        else:
            super().__setitem__(name, value)


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def service(unit: Path) -> dict[str, list[str]]:
    """Return the options of the unit's service, each with all of its values."""
    parser = configparser.RawConfigParser(dict_type=Options, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return {name: value.split("\n") for name, value in parser.items("Service")}


def calls(group: str) -> set[str]:
    """Return the system calls of one of systemd's groups."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True
    ).stdout
    names = {line.strip() for line in listed.splitlines()[1:] if line.strip() and "#" not in line}
    nested = [calls(name) for name in names if name.startswith("@")]
    return {name for name in names if not name.startswith("@")}.union(*nested)


def allowed(filters: list[str]) -> set[str]:
    """Return the system calls that the lines of SystemCallFilter let through."""
    through: set[str] = set()
    for line in filters:
        groups = [calls(group) for group in line.removeprefix("~").split()]
        through = through.difference(*groups) if line.startswith("~") else through.union(*groups)
    return through - NAMESPACES


def filter_calls(options: dict[str, list[str]]) -> None:
    """Let through what the unit allows, and answer everything else with EPERM."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | errno.EPERM))
    for name in allowed(options["SystemCallFilter"]) - {"socket"}:
        if (number := library.seccomp_syscall_resolve_name(name.encode())) >= 0:
            library.seccomp_rule_add(context, ALLOW, number, 0)
    number = library.seccomp_syscall_resolve_name(
        b"clone3"
    )  # its flags lie in memory: libraries then use clone
    library.seccomp_rule_add(context, ERRNO | errno.ENOSYS, number, 0)
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in options["RestrictAddressFamilies"][0].split():
        library.seccomp_rule_add(context, ALLOW, number, 1, Comparison(0, EQUAL, getattr(socket, family), 0))
    if library.seccomp_load(context):
        sys.exit("the filter of system calls cannot be loaded")


def refuse_writable_code() -> None:
    """Refuse memory that is both written and executed; kernels before 6.3 do not know how."""
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


def make_read_only(writable: list[Path]) -> None:
    """Make all file systems read-only but those of the kernel, and ``writable``."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        sys.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    mount("--make-rprivate", "/")
    for path in writable:
        path.mkdir(parents=True, exist_ok=True)
        mount("--bind", str(path), str(path))
    mount("-t", "tmpfs", "tmpfs", "/var/tmp")  # as PrivateTmp does; /tmp stays, where the tests' servers are
    writable = [*writable, Path("/var/tmp")]
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in points:
        if not point.startswith(("/proc", "/sys", "/dev")) and Path(point) not in writable:
            mount("-o", "remount,bind,ro", point)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def main() -> None:
    stage, unit, *command = sys.argv[1:]
    options = service(Path(unit))
    if stage == "outer":
        if os.geteuid() == 0:
            make_read_only([BASE_DIR / "var"])
        drop = ["setpriv", "--no-new-privs", "--bounding-set=-all,+dac_override", "--inh-caps=-all"]
        drop = drop if os.geteuid() == 0 and shutil.which("setpriv") else []
        inner = [*drop, sys.executable, "-m", "tests.sandbox", "inner", unit, *command]
        os.execvp(inner[0], inner)
    if "true" in options["MemoryDenyWriteExecute"]:
        refuse_writable_code()
    filter_calls(options)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
