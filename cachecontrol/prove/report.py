"""The report of a proof: its workload, the number of judged answers, and the figures that follow from them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from cachecontrol.prove.checker import Checker, Violation
    from cachecontrol.prove.options import Options
    from cachecontrol.prove.results import Results

PRINTED = 5
"""Violations that are printed. The file of ``--report`` has all of them."""
LONGEST_FACT = 300
"""Characters of a fact that are printed."""
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(slots=True, kw_only=True)
class Report:
    """The results of a proof and the figures that follow from them."""

    options: Options
    seconds: float
    """How long the proof took."""
    checker: Checker
    results: Results
    faults: Counter[str]
    versions: int
    """Versions of rows that became visible."""
    lost_versions: int
    """Versions that were lost with a primary."""

    @property
    def violations(self) -> list[Violation]:
        """The violations, in the order in which they were found."""
        return self.checker.violations

    @property
    def hit_rate(self) -> float:
        """The share of hits among the answers whose outcome is known."""
        outcomes = self.checker.outcomes
        hits = outcomes["hit"] + outcomes["local"]
        counted = hits + outcomes["miss"] + outcomes["bypass"]
        return hits / counted if counted else 0.0

    @property
    def has_hits(self) -> bool:
        """Whether any answer came from the cache. Without a hit nothing could be wrong, so that nothing is proven."""
        return self.checker.outcomes["hit"] + self.checker.outcomes["local"] > 0

    @property
    def wrong_share(self) -> float:
        """The upper 95 % confidence bound of the share of wrong answers; the rule of three if none was wrong."""
        judged, wrong = max(1, self.checker.judged), len(self.violations)
        if wrong == 0:
            return min(1.0, 3 / judged)
        return min(1.0, (wrong + 1.96 * math.sqrt(wrong) + 1.92) / judged)

    @property
    def nines(self) -> float:
        """The consistency in nines."""
        return -math.log10(self.wrong_share)

    def staleness(self, share: float) -> float:
        """Return the seconds by which this share of the answers was stale at most."""
        return _quantile(self.checker.staleness, share)

    def cost(self, share: float) -> float:
        """Return the seconds that this share of the answers cost at most."""
        return _quantile(self.checker.costs, share)

    def text(self) -> str:
        """Return the report for a reader, with the first violations."""
        lines = [*self._workload_lines(), *self._judgement_lines()]
        if not self.has_hits:
            lines.append("No answer came from the cache: this run proves nothing.")
        return "\n".join([*lines, *map(_violation_text, self.violations[:PRINTED])])

    def _workload_lines(self) -> list[str]:
        options, results, outcomes = self.options, self.results, self.checker.outcomes
        rule = f", without the rule {options.rule}" if options.rule else ""
        rate = self.checker.judged / self.seconds
        return [
            f"run            {self.seconds:.0f} s, seed {options.seed}, MAX_LAG {options.max_lag:g} s{rule}",
            f"judged reads   {self.checker.judged:,} ({_counts(outcomes)}), {rate:.0f} per second",
            f"hit rate       {self.hit_rate:.1%}",
            f"failed reads   {_counts(results.failed_reads)}",
            f"writes         {results.writes.total():,} ({_counts(results.writes)})",
            f"failed writes  {_counts(results.failed_writes)}",
            f"versions       {self.versions:,} of rows, {self.lost_versions:,} of them lost by promotions",
            f"faults         {self.faults.total()} ({_counts(self.faults)})",
        ]

    def _judgement_lines(self) -> list[str]:
        return [
            f"staleness      {_quantiles(self.staleness)}",
            f"cost           {_quantiles(self.cost)}",
            f"violations     {len(self.violations)}",
            f"consistency    {self.nines:.2f} nines: with 95 % confidence, fewer than"
            f" {self.wrong_share * 1e6:.1f} of a million answers are wrong",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the report in plain values, with all violations."""
        options = self.options
        run = {
            "seed": options.seed,
            "seconds": self.seconds,
            "max_lag": options.max_lag,
            "break": options.rule,
            "faults": dict(self.faults),
            "versions": self.versions,
            "lost_versions": self.lost_versions,
        }
        return {**run, **self._figures(), "violations": [asdict(violation) for violation in self.violations]}

    def _figures(self) -> dict[str, Any]:
        results = self.results
        return {
            "reads": self.checker.judged,
            "outcomes": dict(self.checker.outcomes),
            "hit_rate": self.hit_rate,
            "failed_reads": dict(results.failed_reads),
            "writes": dict(results.writes),
            "failed_writes": dict(results.failed_writes),
            "staleness": {name: self.staleness(share) for name, share in QUANTILES.items()},
            "cost": {name: self.cost(share) for name, share in QUANTILES.items()},
            "nines": self.nines,
        }


def _quantile(counts: Counter[int], share: float) -> float:
    """Return the seconds that this share of the values does not exceed, which are counted by milliseconds."""
    passed = 0
    for milliseconds in sorted(counts):
        passed += counts[milliseconds]
        if passed >= share * counts.total():
            return milliseconds / 1000
    return 0.0


def _quantiles(seconds: Callable[[float], float]) -> str:
    return ", ".join(f"{name} {seconds(share) * 1000:.0f} ms" for name, share in QUANTILES.items())


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name or 'unknown'} {number:,}" for name, number in counts.most_common()) or "none"


def _violation_text(violation: Violation) -> str:
    answer = violation.answer
    fact = str(violation.fact)
    fact = fact if len(fact) <= LONGEST_FACT else f"{fact[:LONGEST_FACT]}…"
    lines = [
        f"\n{violation.kind}: {answer.client} asked for {answer.request} ({answer.outcome or 'outcome unknown'})"
        f" at {answer.asked_at:.3f} and was answered at {answer.received_at:.3f}: {fact}"
    ]
    lines += [f"    {state}" for state in violation.states]
    lines += [f"    {name}: {value}" for name, value in violation.evidence.items()]
    return "\n".join(lines)
