"""Texts that docstrings refer to can be opened: by DOI, arXiv, or docs/sources.md."""

import re
from functools import cache
from pathlib import Path

from ase_schnet.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "sources.md").read_text()
CODE = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
TESTS = {path.name: path for path in sorted((ROOT / "tests").rglob("test_*.py"))}
FILES = {path: path.read_text() for path in sorted((ROOT / "ase_schnet").rglob("*.py"))}


def test_no_file_refers_to_a_text_that_nobody_can_open():
    closed = re.compile(r"SCIENCE|implementation report|the notes|\(R[0-9]|pes_loss|papers/")
    found = [
        f"{path}: {line}"
        for path, text in FILES.items()
        for line in text.split("\n")
        if closed.search(line)
    ]
    assert not found


def test_what_is_looked_up_in_the_sources_is_there():
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    known = tuple(heading.casefold() for heading in headings)
    references = 0
    for path, text in FILES.items():
        flat = re.sub(r"\s+#?:? ?", " ", text).casefold()
        for match in re.finditer(r"docs/sources\.md, ", flat):
            references += 1
            assert flat.startswith(known, match.end()), f"{path}: {flat[match.start() :][:80]}"
    assert references > 5


def lines_of_the_tables() -> list[list[str]]:
    """The cells of each line below a heading "Line by line"."""
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    tables = [part for part in parts if part.startswith("Line by line")]
    assert len(tables) == 5
    rows = [line for table in tables for line in table.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


@cache
def file_named(name: str) -> Path | None:
    """The file that the page calls so: a path from the root, the package, the benchmarks, or a test."""
    candidates = [ROOT / name, ROOT / "ase_schnet" / name, ROOT / "benchmarks" / name]
    candidates += [TESTS[name]] if name in TESTS else []
    return next((path for path in candidates if path.exists()), None)


def test_every_file_and_test_that_the_page_names_exists():
    names = [name for name in CODE if re.fullmatch(r"[\w./-]+(\.(py|md|json|png)(::\w+)?|/)", name)]
    assert len(names) > 100
    for name in names:
        file, _, test = name.partition("::")
        path = file_named(file)
        assert path is not None, name
        assert not test or f"def {test}(" in path.read_text(), name


def test_every_link_of_the_page_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_every_command_of_the_page_exists_with_its_options():
    commands = [name for name in CODE if name.startswith(("ase-schnet ", "python "))]
    assert len(commands) > 10
    subcommands = build_parser()._subparsers._group_actions[0].choices
    for command in commands:
        words = command.split()
        if words[0] == "ase-schnet":
            known = subcommands[words[1]]._option_string_actions
            assert {word for word in words if word.startswith("--")} <= set(known), command
        else:
            file = words[1] if words[1] != "-m" else words[2].replace(".", "/") + ".py"
            assert file_named(file) is not None, command


def test_every_claim_is_somewhere_or_says_why_not():
    rows = [row for row in lines_of_the_tables() if not row[0].startswith(("in the text", "---"))]
    assert len(rows) > 70
    for row in rows:
        assert len(row) == 4, row
        names = re.findall(r"`([^`]+\.py)(?:::\w+)?`", row[2])
        assert any(file_named(name) for name in names) or row[2].startswith("not "), row
