"""Notes are written and cited in one form, so that a search for a title finds the note and every line that relies on it.

A note is a paragraph of a docstring or comment that begins with ``Note [Why …].``; it is cited with ``See Note [Why …]``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cachecontrol", "catalog", "project", "tests")
SUFFIXES = (".py", ".lua", ".html")
MENTION = re.compile(r"Note \[([^\]]*)\]")
NOTE = re.compile(r"Note \[Why [^\]]+\]\. \S")
CITATION = re.compile(r"\b(?:[Ss]ee|and) $")
"""What stands before a citation."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A title in brackets, in one paragraph of a file."""

    file: str
    title: str
    before: str
    """What the paragraph says before it: nothing if the note itself stands here."""
    paragraph: str

    def __str__(self) -> str:
        return f"{self.file}: Note [{self.title}]"


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a file, each in one line: of comments, of docstrings, and of what stands between them."""
    lines, was_comment = [], ""
    for line in text.replace('"""', "\n\n").splitlines():
        sign, words = re.findall(r"^\s*(#|--)?(.*)", line)[0]
        lines += ([] if sign == was_comment else [""]) + [words.strip()]
        was_comment = sign
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n{2,}", "\n".join(lines))]


def _mentions(path: Path) -> list[Mention]:
    file = str(path.relative_to(ROOT))
    return [
        Mention(file, found[1], paragraph[: found.start()], paragraph)
        for paragraph in _paragraphs(path.read_text())
        for found in MENTION.finditer(paragraph)
    ]


FILES = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES]
MENTIONS = [*chain.from_iterable(_mentions(path) for path in sorted({*FILES} - {Path(__file__)}))]
NOTES = [mention for mention in MENTIONS if not mention.before]
CITATIONS = [mention for mention in MENTIONS if mention.before]


def _assert_none(offenders: list[str]) -> None:
    assert not offenders, "\n" + "\n".join(offenders)


def test_every_note_is_spelled_in_one_form() -> None:
    _assert_none([str(note) for note in NOTES if not NOTE.match(note.paragraph)])


def test_no_two_notes_have_one_title() -> None:
    times = Counter(note.title for note in NOTES)
    _assert_none([str(note) for note in NOTES if times[note.title] > 1])


def test_every_note_is_cited() -> None:
    cited = {citation.title for citation in CITATIONS}
    assert cited
    _assert_none([str(note) for note in NOTES if note.title not in cited])


def test_every_citation_names_a_note() -> None:
    titles = {note.title for note in NOTES}
    assert titles
    _assert_none([str(citation) for citation in CITATIONS if citation.title not in titles])


def test_every_citation_is_spelled_in_one_form() -> None:
    _assert_none([str(citation) for citation in CITATIONS if not CITATION.search(citation.before)])


FILE = '''def one():
    """Do it.

    Note [Why so]. As
    said.
    """
    x = 1  # See Note [Why so].
    # Note [b]
    # c
'''


def test_a_note_begins_a_paragraph_of_a_docstring_or_comment() -> None:
    code = "x = 1 # See Note [Why so]."
    assert _paragraphs(FILE) == ["def one():", "Do it.", "Note [Why so]. As said.", code, "Note [b] c"]
