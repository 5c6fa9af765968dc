"""A report as HTML: one file that holds its style, pictures, numbers and scripts, and asks for no other.

The page forbids its own scripts every connection (Content-Security-Policy), and a test in a browser counts
requests: there is one, for the file itself.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from ase_schnet.report.encoding import as_json
from ase_schnet.report.viewer import Structures, viewer_html, viewer_scripts

#: Classes of the verdicts in the style sheet; any other word is a note.
JUDGED = ("PASS", "FAIL", "INCONCLUSIVE")
_STYLE = Path(__file__).with_name("style.css")
# scripts and styles of the page itself, pictures in it, and nothing else: no connection at all
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:"
)


@dataclass(frozen=True)
class Verdict:
    """Hold one judgement: about what, "PASS", "FAIL", "INCONCLUSIVE" or "NOTE", and why in words."""

    about: str
    outcome: str
    words: str

    def __str__(self) -> str:
        return f"{self.about}: {self.outcome}. {self.words}"


@dataclass(frozen=True)
class Text:
    """Hold a paragraph; `exact` keeps its lines and columns, as a terminal shows them."""

    words: str
    exact: bool = False

    def html(self) -> str:
        """Return the paragraph."""
        tag = "pre" if self.exact else "p"
        return f"<{tag}>{escape(self.words)}</{tag}>"


@dataclass(frozen=True)
class Table:
    """Hold a table: names of the columns, and rows of numbers and words."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def html(self) -> str:
        """Return the table; numbers have four digits."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row)}</tr>"
            for row in self.rows
        )
        return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


@dataclass(frozen=True)
class Picture:
    """Hold a picture (the bytes of a PNG file), and what it shows in words."""

    png: bytes
    shows: str

    def html(self) -> str:
        """Return the picture, inside the page."""
        data = base64.b64encode(self.png).decode()
        return (
            f'<figure><img alt="{escape(self.shows)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(self.shows)}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """Hold a part of a page: its title and what stands under it, in order."""

    title: str
    blocks: Sequence[Text | Table | Picture | Structures]


@dataclass(frozen=True)
class Page:
    """Hold a report.

    Attributes
    ----------
    title
        What it is about, in a few words.
    about
        Pairs of a name and a value: where it lies, how it was made.
    verdicts
        They stand first.
    sections
        Everything else.
    numbers
        What programs may want to read, in JSON types.
    """

    title: str
    about: Sequence[tuple[str, str]]
    verdicts: Sequence[Verdict]
    sections: Sequence[Section]
    numbers: dict = field(default_factory=dict)

    def html(self, made: str) -> str:
        """Return the whole page; `made` says by what and when."""
        viewers = [b for s in self.sections for b in s.blocks if isinstance(b, Structures)]
        parts = [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body>",
            f"<header><h1>{escape(self.title)}</h1>{_definitions(self.about)}</header>",
            f"<main>{self._verdicts()}",
            *map(_section_html, self.sections),
            f"</main><footer>{escape(made)}</footer>",
            f'<script type="application/json" id="numbers">{as_json(self._numbers())}</script>',
            *viewer_scripts(viewers),
            "</body></html>",
        ]
        return "\n".join(parts) + "\n"

    def _verdicts(self) -> str:
        items = "".join(
            f'<li class="{v.outcome.lower() if v.outcome in JUDGED else "note"}">'
            f"<strong>{escape(v.outcome)}</strong><div><b>{escape(v.about)}</b> "
            f"<span>{escape(v.words)}</span></div></li>"
            for v in self.verdicts
        )
        return f'<ul class="verdicts">{items}</ul>'

    def _numbers(self) -> dict:
        verdicts = [
            {"about": v.about, "outcome": v.outcome, "words": v.words} for v in self.verdicts
        ]
        return {
            "title": self.title,
            "about": dict(self.about),
            "verdicts": verdicts,
            **self.numbers,
        }


def _definitions(pairs: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{items}</dl>"


def _section_html(section: Section) -> str:
    blocks = "\n".join(
        viewer_html(block) if isinstance(block, Structures) else block.html()
        for block in section.blocks
    )
    return f"<section><h2>{escape(section.title)}</h2>\n{blocks}\n</section>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return str(value)
