"""The files of deploy/ load where they are meant to, and the units' restrictions leave the processes able to work."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project.celery import app
from project.local.folders import BASE_DIR
from tests.certificates import self_signed
from tests.patience import LONG
from tests.ports import reserved_port
from tests.product import ask, environment, listens, running, schedules, until
from tests.programs import program
from tests.sandbox import service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

DEPLOY = BASE_DIR / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
EXPOSURE = 20
"""Tenths: what systemd-analyze may find at most. It found 13 in systemd 252; newer ones look at more."""
GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")


def installed(folder: Path) -> list[Path]:
    """Copy the units to a folder as they are named when they run here, with our Python in place of /srv/larder's."""
    copies = []
    for unit in [*UNITS, DEPLOY / "larder.target"]:
        copies.append(folder / unit.name.replace("@", "@8000"))
        copies[-1].write_text(unit.read_text().replace("/srv/larder/.venv/bin/python", sys.executable))
    return copies


def start_command(unit: str, **values: str) -> str:
    """Return what a unit starts, with our Python and these values of the instance and the environment's variables."""
    (command,) = service(DEPLOY / f"{unit}.service")["ExecStart"]
    return substitute(command, values)


def substitute(command: str, values: dict[str, str]) -> str:
    command = command.replace("/srv/larder/.venv/bin/python", sys.executable).replace(
        "%i", values.pop("instance", "")
    )
    for name, value in values.items():
        command = command.replace(f"${{{name}}}", value)
    assert "$" not in command
    return command


def write_site(folder: Path, ports: dict[int, int]) -> Path:
    """Write a configuration with the site of deploy/ in its http block, other ports, and a certificate made for it."""
    certificate, key = self_signed(folder, "shop.example", subject="DNS:shop.example")
    site = (DEPLOY / "nginx.conf").read_text()
    live = "/etc/letsencrypt/live/shop.example"
    site = site.replace(f"{live}/fullchain.pem", str(certificate)).replace(f"{live}/privkey.pem", str(key))
    for old, new in ports.items():
        site, found = re.subn(rf"(listen (?:\[::\]:)?|127\.0\.0\.1:){old}\b", rf"\g<1>{new}", site)
        assert found
    (folder / "site.conf").write_text(site)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        "events { worker_connections 256; }\nhttp {\naccess_log off;\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in places)
        + f"include {folder}/site.conf;\n}}\n"
    )
    return folder / "nginx.conf"


def test_nginx_loads_the_site(tmp_path: Path) -> None:
    with reserved_port() as plain, reserved_port() as tls:
        configuration = write_site(tmp_path, {80: plain, 443: tls})
        tried = subprocess.run(
            [program("nginx"), "-t", "-c", str(configuration)], capture_output=True, text=True, check=False
        )
    assert tried.returncode == 0, tried.stderr
    assert "test is successful" in tried.stderr


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    command = [program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no"]
    tried = subprocess.run([*command, *installed(tmp_path)], capture_output=True, text=True, check=False)
    assert (tried.returncode, tried.stdout, tried.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])
def test_the_units_are_hardly_exposed(tmp_path: Path, unit: Path) -> None:
    (copy,) = (copy for copy in installed(tmp_path) if copy.name.startswith(unit.stem))
    command = [program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE}", str(copy)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout


def test_the_target_wants_every_unit() -> None:
    wanted = [unit.partition("@")[0] for unit in service_names("Wants")]
    assert {*wanted} == {unit.stem.removesuffix("@") for unit in UNITS}


def service_names(option: str) -> list[str]:
    lines = (DEPLOY / "larder.target").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{option}="))
    return [name.removesuffix(".service") for name in line.removeprefix(f"{option}=").split()]


EXAMPLE = DEPLOY / "larder.env.example"
WRITTEN = dict(re.findall(r"^(\w+)='(.*)'$", EXAMPLE.read_text(), re.MULTILINE))


def test_a_shell_reads_the_file_of_variables_as_it_is_written() -> None:
    assert "&" in WRITTEN["DATABASE_URL"]
    script = f"set -a; . {EXAMPLE}; set +a; exec {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    read = json.loads(
        subprocess.run(["/bin/sh", "-eu", "-c", script], env={}, check=True, capture_output=True).stdout
    )
    assert read.items() >= WRITTEN.items()


def test_systemd_reads_the_file_of_variables_as_it_is_written(tmp_path: Path) -> None:
    program("systemd-analyze")
    (tmp_path / "environment.d").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "environment.d" / "larder.conf")
    output = subprocess.run(
        [GENERATOR], env={"XDG_CONFIG_HOME": str(tmp_path)}, check=True, capture_output=True, text=True
    ).stdout
    read = dict(line.split("=", 1) for line in output.splitlines())
    assert {name: read.get(name, "").strip('"') for name in WRITTEN} == WRITTEN


def test_every_value_in_the_file_of_variables_is_quoted_and_every_variable_of_the_units_is_there() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(WRITTEN)
    used = {name for unit in UNITS for name in re.findall(r"\$\{(\w+)\}", unit.read_text())}
    assert used <= WRITTEN.keys()


def sandboxed(unit: str, **values: str) -> str:
    """Return what a unit starts, under its restrictions."""
    outer = f"{sys.executable} -m tests.sandbox outer {DEPLOY / unit}.service"
    return f"{outer} {start_command(unit, **values)}"


def worker_answers() -> bool:
    """Ask by a connection of its own: a pooled one may lead to a server that an earlier test stopped."""
    with app.connection_for_write() as connection:
        return bool(app.control.ping(timeout=0.5, connection=connection))


@pytest.mark.django_db(transaction=True)
def test_all_four_processes_work_under_the_restrictions_of_their_units(tmp_path: Path, redis: Redis) -> None:
    program("systemd-analyze")
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        commands = (
            sandboxed("larder-web@", instance=str(port), HOST="127.0.0.1", WEB_WORKERS="1"),
            sandboxed("larder-worker", WORKER_CONCURRENCY="1"),
            sandboxed("larder-drain"),
            sandboxed("larder-beat"),
        )
        programs = [stack.enter_context(running(command, tmp_path)) for command in commands]
        until(lambda: listens(port), *programs)
        assert ask(port, "/")[0] == 200, programs[0].log
        until(lambda: json.loads(ask(port, "/readyz")[1])["status"] == "ready", *programs)
        until(worker_answers, *programs)
        until(lambda: schedules(programs[-1].process.pid), *programs)
        assert "Traceback" not in "".join(program.log for program in programs)


def visit(port: int, method: str) -> int:
    """Ask the site through nginx, as a visitor does; return the status."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=LONG, context=context)
    try:
        client.request(method, "/", headers={"Host": "shop.example"})
        return client.getresponse().status
    finally:
        client.close()


@contextmanager
def visitors(port: int) -> Iterator[Counter[tuple[str, int | str]]]:
    """Let four visitors ask for the home page, and send it forms, without a pause; give how often what was answered."""
    answers: Counter[tuple[str, int | str]] = Counter()
    over = threading.Event()

    def ask_on(method: str) -> None:
        while not over.wait(0.03):
            try:
                answers[method, visit(port, method)] += 1
            except OSError as error:
                answers[method, type(error).__name__] += 1

    threads = [threading.Thread(target=ask_on, args=(method,)) for method in ("GET", "POST") * 2]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.django_db(transaction=True)
def test_every_request_is_answered_while_one_web_process_after_the_other_restarts(
    tmp_path: Path, redis: Redis
) -> None:
    with ExitStack() as stack:
        plain, tls, first, second = (stack.enter_context(reserved_port()) for _ in range(4))
        configuration = write_site(tmp_path, {80: plain, 443: tls, 8000: first, 8001: second})

        (after,) = service(DEPLOY / "larder-web@.service")["ExecStartPost"]

        def start(port: int) -> ExitStack:
            command = start_command("larder-web@", instance=str(port), HOST="127.0.0.1", WEB_WORKERS="1")
            instance = stack.enter_context(ExitStack())
            instance.enter_context(running(command, tmp_path))
            return instance

        instances = {port: start(port) for port in (first, second)}
        stack.enter_context(running(f"{program('nginx')} -c {configuration}", tmp_path))
        until(lambda: listens(first) and listens(second) and reaches(tls))
        with visitors(tls) as answers:
            for port in (first, second):  # as systemctl restart does, which waits for ExecStartPost
                seen = answers.total()
                instances[port].close()
                until_more(answers, seen)
                start(port)
                waiting = substitute(after, {"instance": str(port)}).split()
                subprocess.run(waiting, cwd=BASE_DIR, env=environment(), check=True, timeout=LONG)
                until_more(answers, answers.total())
    assert {*answers} == {("GET", 200), ("POST", 403)}, answers  # forms without a token are refused by Django
    assert answers.total() > 200


def until_more(answers: Counter[tuple[str, int | str]], seen: int) -> None:
    """Wait until fifty more requests than ``seen`` were answered."""
    until(lambda: answers.total() > seen + 50)


def reaches(port: int) -> bool:
    try:
        return visit(port, "GET") == 200
    except OSError:
        return False
