"""``python -m tests.gates.newest``: the core's tests on the newest Python that is installed here, with two releases of Django.

First with the version that pyproject.toml names: all of CORE has to pass. Then with the newest that the package index has.
If that is another release (the second number of a version is another), the tests of OF_ONE_RELEASE are left out: the cache
stores only what it knows how to follow, and of another release it knows less. Everything else has to pass there, too.
A virtual environment under var/ is used, and no Python is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = (
    "tests/cachecontrol",
    "--ignore=tests/cachecontrol/prove",
    "tests/races/test_write_during_fill.py",
    "tests/races/test_lost_commit.py",
    "tests/races/test_capture.py",
    "tests/races/test_own_transaction.py",
    "tests/races/test_who_asks.py",
    "tests/races/test_unseen.py",
)
OPTIONS = (
    *("-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "-m", "not browser and not proof"),
    # What a newer Django or Python plans to remove is no error yet.
    *("-W", "default::DeprecationWarning", "-W", "default::PendingDeprecationWarning"),
)
TOOLS = (
    *(
        "axe-playwright-python",
        "django-debug-toolbar",
        "hypothesis",
        "packaging",
        "playwright",
        "psycopg-pool",
    ),
    *("pytest", "pytest-django", "pytest-xdist", "time-machine"),
)
"""What the core's tests need of the requirements for development."""
OF_ONE_RELEASE = (
    "test_this_project_passes_them_all",
    "test_a_django_that_was_not_tested_is_a_warning",
    "test_every_class_of_django_was_reviewed",
    # Since Django 6.0 these go through expressions that are not known: Exists is another, AggregateFilter is new.
    "test_a_joined_table_that_an_inner_query_refers_to_counts_as_a_table",
    "test_a_plain_queryset_in_the_condition_of_an_aggregate_counts_with_all_its_tables",
    "test_an_inner_query_is_refused_for_untrusted_sql_that_decides",
    "test_inner_queries_are_known_with_the_query_around_them",
    "test_subqueries_report_what_they_depend_on",
    "test_the_second_read_asks_redis_once_and_the_database_nothing",
    "test_untrusted_sql_in_an_expression_is_refused_or_the_answer_is_right",
    "test_untrusted_sql_is_refused",
)
LEAST = (3, 11)
PROBE = "import ensurepip, ssl, sys, venv; print(*sys.version_info[:3])"


def pythons() -> list[tuple[tuple[int, ...], str]]:
    """Return the versions and paths of the Pythons here that can make virtual environments, the newest first."""
    names = [f"python3.{minor}" for minor in range(30, 10, -1)]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    paths = [
        *filter(None, map(shutil.which, names)),
        *map(str, pyenv.glob("versions/3.*/bin/python")),
        sys.executable,
    ]
    interpreters = []
    for path in dict.fromkeys(paths):
        probe = subprocess.run([path, "-c", PROBE], check=False, capture_output=True, text=True)
        if probe.returncode == 0:  # a shim of pyenv fails for a version that is not chosen
            interpreters.append((tuple(map(int, probe.stdout.split())), path))
    return sorted((one for one in interpreters if one[0] >= LEAST), reverse=True)


def requirements() -> tuple[list[str], str]:
    """Return what the core's tests need beside Django, in the versions of pyproject.toml, and Django's requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    product: dict[str, str] = {
        canonicalize_name(Requirement(line).name): line for line in project["dependencies"]
    }
    dev: dict[str, str] = {
        canonicalize_name(Requirement(line).name): line for line in project["optional-dependencies"]["dev"]
    }
    django = product.pop("django")
    return [*product.values(), *(dev[name] for name in TOOLS)], django


def make_environment(needed: list[str]) -> Path | None:
    """Return the Python of a virtual environment of the newest Python in which ``needed`` can be installed."""
    for version, path in pythons():
        name = ".".join(map(str, version))
        folder = ROOT / "var" / f"newest-{name}"
        python = folder / "bin" / "python"
        if not python.exists():
            subprocess.run([path, "-m", "venv", folder], check=True)
        if install(python, *needed):
            return python
        print(f"Python {name} is here, but the requirements cannot be installed in it.", flush=True)
    return None


def install(python: Path, *needed: str) -> bool:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--upgrade",
        *needed,
    ]
    return subprocess.run(command, check=False).returncode == 0


def run(python: Path, tested: str) -> int:
    """Run the core's tests with the Django that is installed; ``tested`` is the version that pyproject.toml names."""
    probe = "import sys, django; print(sys.version.split()[0], django.__version__)"
    output = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True).stdout
    version, django = output.split()
    print(f"Python {version}, Django {django}", flush=True)
    chosen = []
    if django.split(".")[:2] != tested.split(".")[:2]:
        print(f"Left out, since they belong to Django {tested}: {', '.join(OF_ONE_RELEASE)}", flush=True)
        chosen = ["-k", f"not ({' or '.join(OF_ONE_RELEASE)})"]
    return subprocess.run(
        [python, "-m", "pytest", *OPTIONS, *CORE, *chosen], check=False, cwd=ROOT
    ).returncode


def main() -> int:
    needed, django = requirements()
    python = make_environment([*needed, django])
    if python is None:
        print("No Python here can run the tests.")
        return 1
    tested = str(Requirement(django).specifier).removeprefix("==")
    code = run(python, tested)
    if not install(python, *needed, "Django"):
        print("The newest Django cannot be installed with the other requirements; it was not tried.")
        return code
    return run(python, tested) or code


if __name__ == "__main__":
    sys.exit(main())
