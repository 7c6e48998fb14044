"""The results of the workload: answers that wait to be judged, errors, and the numbers of reads and writes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from cachecontrol.prove.checker import Answer, Violation, ViolationKind
from cachecontrol.prove.messages import MessageKind

LONGEST_WRITE_ERROR, LONGEST_READ_ERROR = 60, 90
"""Characters by which errors are counted."""


@dataclass(slots=True)
class Results:
    """Receives the messages of all processes."""

    answers: deque[Answer] = field(default_factory=deque)
    """In the order of their arrival."""
    errors: list[Violation] = field(default_factory=list)
    """Reads that failed, which are violations if the database was available."""
    writes: Counter[str] = field(default_factory=Counter)
    """By the name of the way to write."""
    failed_writes: Counter[str] = field(default_factory=Counter)
    failed_reads: Counter[str] = field(default_factory=Counter)
    """By error, as are ``failed_writes``."""

    def receive(self, message: dict[str, Any]) -> None:
        """Take in a message. May be called from several threads."""
        kind, error = MessageKind(message.pop("kind")), message.pop("error", "")
        match kind:
            case MessageKind.ANSWER:
                self.answers.append(Answer(**message))
            case MessageKind.ERROR:
                self.failed_reads[error[:LONGEST_READ_ERROR]] += 1
                self.errors.append(_violation(error, **message))
            case MessageKind.NO_RESPONSE:
                self.failed_reads[error] += 1
            case MessageKind.WRITE if error:
                self.failed_writes[f"{message['name']}: {error[:LONGEST_WRITE_ERROR]}"] += 1
            case MessageKind.WRITE:
                self.writes[message["name"]] += 1


def _violation(error: str, *, traceback: list[str], **answer: Any) -> Violation:
    return Violation(
        kind=ViolationKind.ERROR,
        answer=Answer(**answer, facts=[]),
        fact=("error", error),
        evidence=dict(enumerate(traceback)),
    )
