"""The report: what was done, how many answers were judged, and what the figures allow to say."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from cachecontrol.prove.checker import Checker, Violation

SHOWN = 5
"""Violations that are printed; the file has them all."""


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything that a run is reported by."""

    seed: int
    seconds: float
    max_lag: float
    rule: str
    oracle: Checker
    writes: Counter[str]
    failed_writes: Counter[str]
    failed_reads: Counter[str]
    faults: Counter[str]
    changes: int
    undone: int
    """Rows whose last version was lost with a primary."""
    violations: list[Violation] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        outcomes = self.oracle.outcomes
        known = outcomes["hit"] + outcomes["miss"] + outcomes["bypass"]
        return outcomes["hit"] / known if known else 0.0

    @property
    def proves_something(self) -> bool:
        """Whether any answer came from the cache: without a hit nothing could have been stale."""
        return self.oracle.outcomes["hit"] > 0

    def staleness(self, share: float) -> float:
        """Seconds that this share of all answers was not staler than."""
        return _quantile(self.oracle.staleness, share)

    def cost(self, share: float) -> float:
        """Seconds that this share of all answers cost no more than, beyond their computation."""
        return _quantile(self.oracle.costs, share)

    @property
    def worst_share(self) -> float:
        """The upper 95 % confidence bound of the share of wrong answers (the rule of three where none was)."""
        judged, wrong = max(1, self.oracle.judged), len(self.violations)
        if wrong == 0:
            return min(1.0, 3 / judged)
        return min(1.0, (wrong + 1.96 * math.sqrt(wrong) + 1.92) / judged)

    def text(self) -> str:
        oracle = self.oracle
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, MAX_LAG {self.max_lag:g} s"
            + (f", WITHOUT {self.rule}" if self.rule else ""),
            f"judged reads   {oracle.judged:,} ({_counts(oracle.outcomes)}), hit rate {self.hit_rate:.1%},"
            f" {oracle.judged / self.seconds:.0f} a second",
            f"failed reads   {_counts(self.failed_reads)}",
            f"writes         {self.writes.total():,} ({_counts(self.writes)}), {self.changes:,} versions,"
            f" {self.undone:,} of them lost by promotions",
            f"failed writes  {_counts(self.failed_writes)}",
            f"faults         {self.faults.total()} ({_counts(self.faults)})",
            "staleness      " + _quantiles(self.staleness),
            "cost           " + _quantiles(self.cost),
            f"violations     {len(self.violations)}",
            f"consistency    {-math.log10(self.worst_share):.2f} nines: with 95 % confidence, fewer than"
            f" {self.worst_share * 1e6:.1f} of a million answers are wrong",
        ]
        if not self.proves_something:
            lines.append("There was no hit: this run proves nothing.")
        return "\n".join([*lines, *(_violation(violation) for violation in self.violations[:SHOWN])])

    def plain(self) -> dict[str, Any]:
        """The same in plain values."""
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "max_lag": self.max_lag,
            "break": self.rule,
            "reads": self.oracle.judged,
            "outcomes": dict(self.oracle.outcomes),
            "hit_rate": self.hit_rate,
            "failed_reads": dict(self.failed_reads),
            "writes": dict(self.writes),
            "failed_writes": dict(self.failed_writes),
            "versions": self.changes,
            "undone": self.undone,
            "faults": dict(self.faults),
            "staleness": {name: self.staleness(share) for name, share in _QUANTILES.items()},
            "cost": {name: self.cost(share) for name, share in _QUANTILES.items()},
            "nines": -math.log10(self.worst_share),
            "violations": [asdict(violation) for violation in self.violations],
        }


_QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def _quantile(milliseconds: Counter[int], share: float) -> float:
    """Seconds that this share of what was counted by milliseconds does not exceed."""
    passed = 0
    for each in sorted(milliseconds):
        passed += milliseconds[each]
        if passed >= share * milliseconds.total():
            return each / 1000
    return 0.0


def _quantiles(seconds: Callable[[float], float]) -> str:
    return ", ".join(f"{name} {seconds(share) * 1000:.0f} ms" for name, share in _QUANTILES.items())


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name or '-'} {number:,}" for name, number in counts.most_common()) or "none"


def _violation(violation: Violation) -> str:
    answer = violation.answer
    lines = [
        f"\n{violation.wrong}: {answer.reader} asked for {answer.asked} ({answer.outcome or 'outcome unknown'})"
        f" at {answer.sent:.3f}, was answered at {answer.got:.3f}: {_short(violation.fact)}"
    ]
    lines += [f"    {state}" for state in violation.states]
    lines += [f"    {name}: {said}" for name, said in violation.scene.items()]
    return "\n".join(lines)


def _short(fact: Any) -> str:
    text = str(fact)
    return text if len(text) < 300 else f"{text[:300]}…"
