"""Nothing public without a page and a working example; no link that leads nowhere; a README of one screen."""

import argparse
import re
from pathlib import Path
from urllib.parse import unquote

import api_pages
import command_pages
import pytest
from code_blocks import PAGES, ROOT, blocks_of, pages_by_command, pages_by_name

import ase_schnet
from ase_schnet.cli import COMMANDS

LINKED_FROM = [
    *PAGES,
    "CHANGELOG.md",
    *(f"benchmarks/{p.name}" for p in (ROOT / "benchmarks").glob("*.md")),
]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_public_name_has_a_working_example():
    """Blocks of pages and scripts of md_examples are all run: test_page_blocks, test_figures, CI."""
    used = pages_by_name()
    without = [name for name in ase_schnet.__all__ if name not in used]
    assert not without, (
        f"use them in a Python block of docs/ or in a script of md_examples: {without}"
    )


def test_every_command_has_a_working_example():
    used = pages_by_command()
    without = [name for name in COMMANDS if name not in used]
    assert not without, f"use them in a console block of docs/: {without}"


def test_every_name_and_command_is_in_the_index_of_the_reference():
    listed = [name for names in api_pages.grouped().values() for name in names]
    assert sorted(listed) == ase_schnet.__all__
    commands = [n for names in command_pages.grouped(list(COMMANDS)).values() for n in names]
    assert sorted(commands) == sorted(COMMANDS)


def test_a_new_command_and_a_new_name_get_a_page(monkeypatch):
    assert command_pages.grouped(["md", "unheard-of"])["Other"] == ["unheard-of"]
    monkeypatch.setitem(ase_schnet._HOME, "shape_of", "unheard_of.room")
    assert api_pages.grouped()["Unheard of"] == ["shape_of"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_a_command_has_all_its_options(command):
    parser = command_pages.parsers()[command]
    page = command_pages.command_page(command, parser, "")
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in page, option


@pytest.mark.parametrize("page", LINKED_FROM)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        generated = "docs/reference" in file.resolve().as_posix()
        assert generated or file.exists(), f"{page}: {target}"
        assert ROOT in file.resolve().parents, f"{page}: {target} is not in the repository"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page}: {target}"


def test_the_readme_fits_on_a_screen_and_names_what_a_visitor_has():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    assert len(text.split()) <= 700
    assert "../" not in text
    for name in re.findall(r"(?:md_examples|models|docs|benchmarks|ase_schnet)/[\w./]+\w", text):
        assert name == "docs/build" or (ROOT / name).exists(), name


def test_pages_are_in_the_contents():
    """What lies in docs is in a table of contents of its first page, which Sphinx checks for all others."""
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or re.search(rf"^(.+ <)?{page.stem}>?$", index, re.MULTILINE), (
            page.stem
        )
    assert all(Path(page).suffix == ".md" for page in PAGES)
    assert any(blocks_of(page) for page in PAGES)
