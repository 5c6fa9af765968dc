"""Sphinx extension: writes the generated pages, and leads links to scripts to the pages that show them."""

from __future__ import annotations

import ast
from pathlib import Path

import api_pages
import command_pages
from code_blocks import ROOT, pages_by_command, pages_by_name
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

import ase_schnet

#: Generated pages; the folder is not kept in the repository.
REFERENCE = ROOT / "docs" / "reference"
FIGURES = ROOT / "docs" / "figures"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(REFERENCE))
    app.connect(
        "doctree-read", _link_scripts_to_pages, priority=400
    )  # before downloads are collected
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write all generated pages, and remove those of names that are no more."""
    pages = dict(_pages())
    for old in folder.rglob("*.*"):
        if old.relative_to(folder).as_posix() not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (
            not path.exists() or path.read_text(encoding="utf-8") != text
        ):  # else Sphinx reads it again
            path.write_text(text, encoding="utf-8")


def _pages():
    yield "python/index.rst", api_pages.index_page()
    used = pages_by_name()
    for name in ase_schnet.__all__:
        links = ", ".join(
            f":doc:`{_title(p)} </{_document(p)}>`" for p in _shown(used.get(name, []))
        )
        yield f"python/{name}.rst", api_pages.name_page(name, links)
    yield "commands/index.md", command_pages.index_page()
    used = pages_by_command()
    for name, parser in command_pages.parsers().items():
        links = ", ".join(f"[{_title(p)}](/{_file(p)})" for p in _shown(used.get(name, [])))
        yield f"commands/{name}.md", command_pages.command_page(name, parser, links)
    for script in sorted((ROOT / "md_examples").glob("*.py")):
        yield f"examples/{script.stem}.md", _script_page(script)
    yield "benchmarks.md", _benchmarks_page()


def _shown(pages: list[str]) -> list[str]:
    """Return the pages that are part of the site."""
    return [page for page in pages if page != "README.md"]


def _document(page: str) -> str:
    """Return the Sphinx document of a page or of an example script."""
    path = Path(page)
    if path.suffix == ".py":
        return f"docs/reference/examples/{path.stem}"
    return path.with_suffix("").as_posix()


def _file(page: str) -> str:
    return f"{_document(page)}.md"


def _title(page: str) -> str:
    """Return the heading of a page, or the name of a script."""
    if page.endswith(".py"):
        return page
    text = (ROOT / page).read_text(encoding="utf-8")
    return next(line for line in text.splitlines() if line.startswith("# ")).removeprefix("# ")


def _script_page(script: Path) -> str:
    """Return the page of an example: what it says of itself, what it drew and printed, and its code."""
    source = script.read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(source)) or script.stem).split("\n")
    lines = ["---", "orphan: true", "---", "", f"# {script.name}", "", "```text", *said, "```", ""]
    for picture in sorted(FIGURES.glob(f"{script.stem}*.png")):
        lines += [f"![picture of {script.name}](/docs/figures/{picture.name})", ""]
    output = FIGURES / f"{script.stem}.txt"
    if output.exists():
        lines += [
            "It prints:",
            "",
            f"```{{literalinclude}} /docs/figures/{output.name}",
            ":language: text",
            "```",
            "",
        ]
    relative = script.relative_to(ROOT).as_posix()
    lines += [f"```{{literalinclude}} /{relative}", ":language: python", "```", ""]
    return "\n".join(lines)


def _benchmarks_page() -> str:
    """Return the list of all pages of measurements."""
    pages = sorted((ROOT / "benchmarks").glob("*.md"))
    lines = [
        "# Benchmarks",
        "",
        "Every figure that is quoted was measured; these are the pages as the scripts, or the people who "
        "measured, wrote them. Each names its command. The build of this site repeats none of them.",
        "",
        "```{toctree}",
        "",
        *(f"/benchmarks/{page.stem}" for page in pages),
        "```",
        "",
    ]
    return "\n".join(lines)


def _link_scripts_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Replace downloads of example scripts by links to their pages."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for node in list(doctree.findall(addnodes.download_reference)):
        target = str(node["reftarget"])
        path = ROOT / target[1:] if target.startswith("/") else here / target
        path = path.resolve()
        if path.suffix == ".py" and path.parent == ROOT / "md_examples":
            link = addnodes.pending_xref(
                "",
                *node.children,
                refdomain="std",
                reftype="doc",
                reftarget=f"/docs/reference/examples/{path.stem}",
                refexplicit=True,
                refwarn=True,
                refdoc=app.env.docname,
            )
            node.replace_self(link)
