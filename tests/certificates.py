"""Certificates for servers that tests start."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path


def self_signed(folder: Path, name: str, *, subject: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """Make a certificate for ``subject`` that is its own authority; return the files of it and of its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def signed(
    folder: Path, name: str, *, by: tuple[Path, Path], subject: str = "IP:127.0.0.1"
) -> tuple[Path, Path]:
    """Make a certificate for ``subject`` that the authority ``by`` signs; return the files of it and of its key."""
    certificate, key, request = (folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
    options = folder / f"{name}.ext"
    options.write_text(f"subjectAltName={subject}\n")
    authority, authority_key = by
    make = [program("openssl"), "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*make, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)],
        check=True,
        capture_output=True,
    )
    sign = [program("openssl"), "x509", "-req", "-days", "2", "-in", str(request), "-extfile", str(options)]
    subprocess.run(
        [*sign, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key
