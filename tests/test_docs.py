"""The documentation is tested: every setting, check, command, reason and public name stands in it."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from cachecontrol import api
from cachecontrol.conf import Conf
from cachecontrol.core.policy import Policy
from cachecontrol.reasons import Reason
from tests.write_tables import TABLES

ROOT = Path(__file__).resolve().parent.parent
DOCS = {path.name: path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]}
LUA = "\n".join(path.read_text() for path in (ROOT / "cachecontrol" / "redis" / "lua").glob("*.lua"))
EVERYTHING = "\n".join(DOCS.values())
CODE = [
    path
    for package in ("cachecontrol", "catalog", "project", "tests")
    for path in (ROOT / package).rglob("*")
    if path.suffix in (".py", ".lua", ".sql")
]
RACES = {path.stem: path for path in (ROOT / "tests" / "races").glob("test_*.py")}
CITATION = re.compile(r'docs/([a-z-]+\.md),((?: (?:and )?"[^"]+",?)+)')
"""A page and the titles of some of its sections, as code and tests cite them."""
NAMED = re.compile(r"\[`([\w./]+)`\]")
"""A module, or what one defines, as the map of the rooms names it."""
TARGET = re.compile(r"^\[`([\w./]+)`\]: \.\./(\S+)$", re.MULTILINE)
OURS = sorted(name for name, app in get_commands().items() if app in ("cachecontrol", "catalog", "project"))


@pytest.mark.parametrize("setting", [field.name.upper() for field in dataclasses.fields(Conf)])
def test_every_setting_is_documented_with_its_default(setting: str) -> None:
    (row,) = [line for line in DOCS["settings.md"].splitlines() if line.startswith(f"| `{setting}` |")]
    written = row.split("|")[2].strip().strip("`").replace("_", "")
    assert written.strip('"') == str(getattr(Conf(), setting.lower())).replace("_", "")


def test_no_setting_is_documented_that_is_not_there() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", DOCS["settings.md"], re.MULTILINE)
    assert rows == [field.name.upper() for field in dataclasses.fields(Conf)]


@pytest.mark.parametrize(
    "option", [field for field in dataclasses.fields(Policy) if field.name not in ("name", "kind")]
)
def test_every_option_of_a_policy_is_documented_with_its_default(option: dataclasses.Field[Any]) -> None:
    assert f"| `{option.name}` | `{option.default}` |" in DOCS["settings.md"]


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", DOCS["how-to.md"])


def test_every_check_is_documented() -> None:
    source = (ROOT / "cachecontrol" / "checks.py").read_text()
    assert set(re.findall(r'id="(cachecontrol\.[EW]\d+)"', source)) == set(
        re.findall(r"`(cachecontrol\.[EW]\d+)`", DOCS["settings.md"])
    )


@pytest.mark.parametrize("command", OURS)
def test_every_command_is_documented(command: str) -> None:
    assert f"manage.py {command}" in EVERYTHING


@pytest.mark.parametrize("page", DOCS)
def test_every_command_on_a_page_has_the_options_that_it_is_shown_with(page: str) -> None:
    shown = re.findall(r"manage\.py ([a-z]\w+)([^`\n]*)", DOCS[page])
    for name, arguments in shown:
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        known = {option for action in parser._actions for option in action.option_strings}
        assert {*re.findall(r"--[a-z-]+", arguments)} <= known, f"{page}: manage.py {name}{arguments}"


def test_every_target_of_make_on_a_page_exists() -> None:
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    assert {*re.findall(r"(?:`|^)make ([a-z-]+)", EVERYTHING, re.MULTILINE)} <= targets


def test_links_between_pages_lead_somewhere() -> None:
    for name, text in DOCS.items():
        folder = ROOT if name == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (folder / target).exists(), f"{name} links to {target}"


def test_the_tables_of_reasons_and_of_keys_are_those_of_the_code() -> None:
    """Write them with ``python -m tests.write_tables``."""
    for page, _, table in TABLES:
        assert table() in DOCS[page], page


def test_every_reason_says_where_it_occurs() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "cachecontrol").rglob("*.py"))
    unused = [reason for reason in Reason if f"Reason.{reason.name}" not in code and f"'{reason}'" not in LUA]
    assert unused == []
    assert all(reason.meanings for reason in Reason)


def test_every_variable_of_the_environment_is_documented() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "project").rglob("*.py"))
    read = {*re.findall(r'(?:env\.\w+\(|environ\.get\(|environ\[)\s*"([A-Z_]+)"', code)}
    assert {"DEBUG", "RELEASE", "HOST", "PORT", "ADMIN_PASSWORD"} <= read
    assert [name for name in read - {"PATH"} if f"`{name}`" not in DOCS["deploy.md"]] == []


def _joined(path: Path) -> str:
    """The text of a file in one line, without the signs that begin a comment."""
    return re.sub(r"\s*\n\s*(?:#|--)?\s*", " ", path.read_text())


def _cited(path: Path) -> list[tuple[str, str]]:
    """The pages and sections that a file cites."""
    citations = CITATION.findall(_joined(path))
    return [(page, title) for page, titles in citations for title in re.findall(r'"([^"]+)"', titles)]


def test_every_section_that_code_and_tests_cite_exists() -> None:
    cited = {(page, title, path.name) for path in CODE for page, title in _cited(path)}
    assert {"architecture.md", "races.md"} <= {page for page, _, _ in cited}
    headings = {
        (page, title) for page in DOCS for title in re.findall(r"^#+ (.+)$", DOCS[page], re.MULTILINE)
    }
    assert [(page, title, name) for page, title, name in cited if (page, title) not in headings] == []


def test_tests_cite_a_race_by_its_name_and_by_no_number() -> None:
    for path in {path for path in CODE if path.is_relative_to(ROOT / "tests")} - {Path(__file__)}:
        text = _joined(path)
        pages = [page for page, _ in CITATION.findall(text)]
        assert pages.count("races.md") == text.count("docs/races.md"), (
            f"{path} cites a page without a section"
        )
        assert not re.search(r"\b(?:hard cases?|findings?|attacks?) \d", text, re.IGNORECASE), path


def test_races_and_the_tests_that_stage_them_name_each_other() -> None:
    sections = re.findall(r"^### (.+)\n((?:(?!#).*\n)*)", DOCS["races.md"], re.MULTILINE)
    staged_lines = {title: re.findall(r"^Staged in .*", text, re.MULTILINE) for title, text in sections}
    assert [title for title, lines in staged_lines.items() if len(lines) != 1] == []
    staged = {
        (name, title) for title in staged_lines for name in re.findall(r"`(\w+)`", staged_lines[title][0])
    }
    cited = {
        (name, title) for name, path in RACES.items() for page, title in _cited(path) if page == "races.md"
    }
    assert sorted(staged ^ cited) == []
    assert sorted({*RACES} - {name for name, _ in cited}) == []


def _defined(path: Path) -> set[str]:
    """Every function, class, method and variable of a module, with the class before a dot."""

    def names(body: list[ast.stmt], prefix: str = "") -> set[str]:
        qualified: set[str] = set()
        for node in body:
            match node:
                case ast.FunctionDef(name=name):
                    qualified.add(prefix + name)
                case ast.ClassDef(name=name):
                    qualified |= {prefix + name} | names(node.body, f"{name}.")
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    qualified.add(prefix + name)
        return qualified

    return names(ast.parse(path.read_text()).body)


def _leads_to(label: str, target: str) -> bool:
    """Whether the module or script at ``target`` is, or defines, what ``label`` names."""
    path = ROOT / target
    if not path.is_file():
        return False
    if path.suffix != ".py":
        return target.removeprefix("cachecontrol/") == label
    module = target.removesuffix(".py").removeprefix("cachecontrol/").replace("/", ".")
    return label == module or (
        label.startswith(f"{module}.") and label.removeprefix(f"{module}.") in _defined(path)
    )


def test_the_map_names_modules_and_functions_that_exist() -> None:
    targets = dict(TARGET.findall(DOCS["architecture.md"]))
    named = {*NAMED.findall(TARGET.sub("", DOCS["architecture.md"]))}
    assert named == targets.keys()
    assert [(label, target) for label, target in targets.items() if not _leads_to(label, target)] == []


def _drawn_rooms() -> list[list[str]]:
    """The rooms in the picture, line by line from the top; packages end with a slash."""
    _, _, picture = DOCS["architecture.md"].partition("## The rooms of `cachecontrol`")
    lines = [line[1:35] for line in picture.splitlines() if line.startswith("│ ")]
    return [rooms for line in lines if (rooms := re.findall(r"\w+/?", line))]


def test_every_room_exists_and_is_on_the_map() -> None:
    folder = ROOT / "cachecontrol"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    packages = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")} - {"migrations/"}
    assert sorted(room for line in _drawn_rooms() for room in line) == sorted(modules | packages)


def test_the_map_draws_the_rooms_in_the_order_of_their_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["cachecontrol"]]
    drawn = [[room.rstrip("/") for room in line] for line in _drawn_rooms()]
    assert drawn == [re.findall(r"\w+", layer) for layer in layers]


def _exists(name: str) -> bool:
    """Whether a dotted name is a module, a package, or defined in a module."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        if path.with_suffix(".py").is_file():
            return end == len(parts) or ".".join(parts[end:]) in _defined(path.with_suffix(".py"))
    return ROOT.joinpath(*parts).is_dir()


@pytest.mark.parametrize("page", DOCS)
def test_every_dotted_name_on_a_page_exists(page: str) -> None:
    names = {*re.findall(r"\b(?:cachecontrol|catalog|project|tests)(?:\.\w+)+", DOCS[page])}
    others = re.compile(r"cachecontrol\.(?:[EW]\d+|tell)|catalog\.\w+_page")  # checks, a setting, policies
    assert [name for name in sorted(names) if not (_exists(name) or others.fullmatch(name))] == []
