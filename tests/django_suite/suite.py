"""One suite of Django's in one process, which the environment names: ``LARDER_SUITE`` and ``LARDER_SUITE_MODE``."""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_suite.settings"
os.environ["RUNNING_DJANGOS_TEST_SUITE"] = "true"

import django
from django.db import connections
from django.test.runner import DiscoverRunner


class Results(unittest.TextTestResult):
    """Remembers how each test ended: ``ok``, ``skipped``, or the error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ended: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.ended.setdefault(test.id(), "ok")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.ended[test.id()] = "skipped"

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.ended[test.id()] = "ok"

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.ended[test.id()] = f"{err[0].__name__}: {err[1]}"[:400]

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.ended[test.id()] = f"{err[0].__name__}: {err[1]}"[:400]

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.ended[test.id()] = f"{err[0].__name__}: {err[1]}"[:400]


class Runner(DiscoverRunner):
    """Runs the tests as committed transactions, cached if the mode says so."""

    ended: dict[str, str]

    def get_resultclass(self) -> type[Results]:
        return Results

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        suite = super().build_suite(*args, **kwargs)
        for test in suite:
            case: Any = type(test)
            case.available_apps = None  # changing the registry for each class takes longer than the tests
        return suite

    def run_checks(self, databases: Any) -> None:
        """The models do not say that they are tracked, as the checks would have it: this tool says it for them."""

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        from cachecontrol.drain.runner import runner
        from tests.django_suite import committed, everything

        committed.begin()
        for connection in connections.all():
            connection.force_debug_cursor = True
        if os.environ["LARDER_SUITE_MODE"] == "cached":
            everything.cache()
            committed.after.append(everything.ask_again)
        result: Any = super().run_suite(suite, **kwargs)
        runner.close()
        self.ended = result.ended
        return result


def main() -> None:
    output = Path(sys.argv[1])
    django.setup()
    from tests.django_suite import everything

    everything.track()
    runner = Runner(verbosity=0, interactive=False)
    runner.run_tests([os.environ["LARDER_SUITE"]])
    output.write_text(
        json.dumps(
            {
                "tests": runner.ended,
                "outcomes": everything.outcomes,
                "refusals": everything.refusals,
                "wrong": everything.wrong,
            }
        )
    )


if __name__ == "__main__":
    main()
