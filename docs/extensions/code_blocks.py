"""Find the code blocks of Markdown pages, and which public names and commands they use.

The site links every name to the pages that use it, and the tests run the same blocks. Nothing here imports
Sphinx.
"""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

#: Pages whose blocks are shown on the site or in the README; their paths are relative to the repository.
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))),
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "md_examples").glob("*.md"))),
    "models/README.md",
)
_FENCE = re.compile(r"^```([\w{}-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block: the page it is on, the line it begins at, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Page and line, as editors take them."""
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[str]:
    """Return the shell commands of a console or bash block: what follows ``$``, or all of it."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [line.strip() for line in joined.splitlines()]
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def subcommands_in(command: str) -> Iterator[str]:
    """Yield the subcommands of ase-schnet that a line of shell calls."""
    words = shlex.split(command.replace(";", " ; ").replace("&&", " ; "), comments=True)
    for before, after in itertools.pairwise(words):
        if before in ("ase-schnet", "ase_schnet") and re.fullmatch(r"[a-z-]+", after):
            yield after


def names_in(code: str) -> set[str]:
    """Return the names that Python code imports from ase_schnet and then uses."""
    tree = ast.parse(code)
    imported = {
        alias.name: alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "ase_schnet"
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return {name for name, here in imported.items() if here in used}


def pages_by_name() -> dict[str, list[str]]:
    """Return for each public name the pages, then the examples, in whose code it is used."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        # a page is one story: what an earlier block imports a later one may use
        code = "\n".join(b.text for b in blocks_of(page) if b.language == "python")
        for name in sorted(names_in(code)):
            found.setdefault(name, []).append(page)
    for script in sorted((ROOT / "md_examples").glob("*.py")):
        for name in sorted(names_in(script.read_text(encoding="utf-8"))):
            found.setdefault(name, []).append(script.relative_to(ROOT).as_posix())
    return found


def pages_by_command() -> dict[str, list[str]]:
    """Return for each subcommand the pages whose blocks call it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for block in blocks_of(page):
            if block.language in ("console", "bash"):
                for command in commands_of(block):
                    for name in subcommands_in(command):
                        pages = found.setdefault(name, [])
                        if page not in pages:
                            pages.append(page)
    return found
