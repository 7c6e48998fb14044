"""``python -m tests.django_suite [--suites queries,delete]``: run Django's own tests with every queryset cached.

Each suite runs twice in processes of its own, as committed transactions: as Django does, and with every model tracked and
every queryset cached, each query read twice and each hit judged by the database. A test that ends otherwise has to be
explained in ``explained.py``; a suite without hits fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, Any

import django

from project.local.folders import BASE_DIR, VAR, make_folder
from tests.django_suite.explained import EXPLAINED

if TYPE_CHECKING:
    from pathlib import Path

SUITES = (
    "queries",
    "aggregation",
    "annotations",
    "expressions",
    "select_related",
    "prefetch_related",
    "update",
    "delete",
    "many_to_many",
    "transactions",
    "bulk_create",
    "model_inheritance",
)
LONGEST = 900.0
"""Seconds that one run of one suite may take."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.django_suite", description=__doc__)
    parser.add_argument("--suites", default=",".join(SUITES), help="names of Django's suites, with commas")
    suites = parser.parse_args().suites.split(",")
    tests = _tests()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_suite.settings"
    from tests.django_suite import settings  # starts the servers, and keeps them for the processes below

    runs = {}
    for suite in suites:
        runs[suite] = _compare(suite, tests, settings.HOME)
        print(f"{suite}: {runs[suite]['seconds']} s", file=sys.stderr)
    _print(runs)
    (VAR / "django-suite.json").write_text(json.dumps(runs, indent=1))
    return int(
        any(run["unexplained"] or run["wrong"] or not run["outcomes"].get("hit") for run in runs.values())
    )


def _tests() -> Path:
    """The tests of the installed Django, from its source distribution."""
    name = f"django-{django.__version__}"
    make_folder(VAR)
    if not (VAR / name / "tests").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "Django"]
        subprocess.run([*command, "--dest", str(VAR), f"Django=={django.__version__}"], check=True)
        with tarfile.open(VAR / f"{name}.tar.gz") as archive:
            members = [member for member in archive.getmembers() if member.name.startswith(f"{name}/tests/")]
            archive.extractall(VAR, members=members, filter="data")
    return VAR / name / "tests"


def _compare(suite: str, tests: Path, home: Path) -> dict[str, Any]:
    """Run one suite uncached and cached."""
    begun = time.monotonic()
    plain, cached = (_run(suite, mode, tests, home) for mode in ("plain", "cached"))
    differ = {
        name: [plain["tests"].get(name), cached["tests"].get(name)]
        for name in sorted({*plain["tests"], *cached["tests"]})
        if _outcome(plain["tests"].get(name)) != _outcome(cached["tests"].get(name))
    }
    surprising = {*differ} ^ {name for name in EXPLAINED if name.startswith(f"{suite}.")}
    return {
        "tests": len(cached["tests"]),
        "failed_uncached": {name: end for name, end in plain["tests"].items() if _outcome(end) == "failed"},
        "seconds": round(time.monotonic() - begun),
        "differ": differ,
        "unexplained": sorted(surprising),
        **{name: cached[name] for name in ("outcomes", "refusals", "wrong")},
    }


def _run(suite: str, mode: str, tests: Path, home: Path) -> dict[str, Any]:
    output, log = home / "result.json", VAR / f"django-suite-{suite}-{mode}.log"
    output.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "LARDER_SUITE": suite,
        "LARDER_SUITE_MODE": mode,
        "PYTHONPATH": os.pathsep.join([str(BASE_DIR), str(tests)]),
    }
    command = [sys.executable, "-m", "tests.django_suite.suite", str(output)]
    with log.open("w") as lines, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=environment, stdout=lines, stderr=lines, timeout=LONGEST, check=False)
    if not output.exists():
        sys.exit(f"The suite {suite} did not end {mode} within {LONGEST:.0f} s; see {log}")
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def _outcome(end: str | None) -> str | None:
    return end if end in ("ok", "skipped", None) else "failed"


def _print(runs: dict[str, dict[str, Any]]) -> None:
    columns = ("tests", "hits", "again", "misses", "differ", "wrong", "failed", "s")
    print(f"{'suite':<18}{''.join(f'{name:>8}' for name in columns)}  bypasses and refusals by reason")
    for suite, run in runs.items():
        outcomes = dict(run["outcomes"])
        counts = [outcomes.pop(name, 0) for name in ("hit", "asked again", "miss")]
        ends = [len(run[name]) for name in ("differ", "wrong", "failed_uncached")]
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted({**outcomes, **run["refusals"]}.items()))
        figures = (run["tests"], *counts, *ends, run["seconds"])
        print(f"{suite:<18}{''.join(f'{figure:>8}' for figure in figures)}  {reasons}")
    print(
        "again: judged anew after each test wrote, and after that was undone; failed: uncached too, as committed transactions"
    )
    for run in runs.values():
        for name in run["unexplained"]:
            plain, cached = run["differ"].get(name, ["as cached", "as uncached"])
            print(f"\n{name}\n  uncached: {plain}\n  cached:   {cached}")
        for each in run["wrong"][:10]:
            print(f"\nwrong: {each}")


if __name__ == "__main__":
    sys.exit(main())
