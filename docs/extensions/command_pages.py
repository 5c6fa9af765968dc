"""Write the reference of the command line from its parsers: one page for each subcommand."""

from __future__ import annotations

import argparse
import re

from ase_schnet.cli import build_parser

#: In these words people think of what they do; a command that is in none of them is listed under "Other".
GROUPS = {
    "Make a model": (
        *("learn", "train", "tune", "assemble", "train-dipole", "calibrate"),
        *("sample", "label", "augment", "convert"),
    ),
    "Look at a model": ("info", "evaluate", "predict"),
    "Use a model": ("md", "lammps", "scan", "modes", "export", "orca", "gaussian", "serve"),
    "Judge what it did": ("drift", "average", "spectrum", "report"),
}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each subcommand by its name."""
    (commands,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


def grouped(names: list[str]) -> dict[str, list[str]]:
    """Return the names under the headings of `GROUPS`; what has none comes last."""
    groups = {title: [n for n in members if n in names] for title, members in GROUPS.items()}
    groups["Other"] = [n for n in names if not any(n in members for members in GROUPS.values())]
    return {title: members for title, members in groups.items() if members}


def index_page() -> str:
    """Return the page that lists all commands, as MyST Markdown."""
    known = parsers()
    lines = [
        "# Command line",
        "",
        "`ase-schnet COMMAND --help` prints what these pages say: they are made from the same parsers. "
        "Errors in the input are one line, with exit code 2 (`ASE_SCHNET_DEBUG=1` shows the traceback too); "
        "an error that is a fault of ase_schnet says so, prints its traceback and has exit code 1.",
        "",
    ]
    for title, names in grouped(list(known)).items():
        lines += [f"## {title}", "", "| | |", "|---|---|"]
        lines += [f"| [`{n}`]({n}.md) | {_cell(known[n].description or '')} |" for n in names]
        lines.append("")
    toctree = ["```{toctree}", ":hidden:", "", *known, "```", ""]
    return "\n".join([*lines, *toctree])


def command_page(name: str, parser: argparse.ArgumentParser, used_in: str) -> str:
    """Return the page of one command, as MyST Markdown; `used_in` are links to where it is used."""
    lines = [f"# ase-schnet {name}", "", _text(parser.description or ""), ""]
    if used_in:
        lines += [f"Used in: {used_in}.", ""]
    epilog = parser.epilog or ""
    if epilog:
        lines += ["## Examples and notes", "", "```text", epilog.strip("\n"), "```", ""]
    for group in parser._action_groups:
        actions = [
            a
            for a in group._group_actions
            if a.help != argparse.SUPPRESS and not isinstance(a, argparse._HelpAction)
        ]
        if actions:
            title = (group.title or "options").capitalize()
            lines += [
                f"## {title}",
                "",
                *([_text(group.description), ""] if group.description else []),
            ]
            lines += [line for action in actions for line in _entry(action, parser)]
    usage = re.sub(r"^usage: ", "", parser.format_usage())
    return "\n".join([*lines, "## Usage", "", "```text", usage.strip("\n"), "```", ""])


def _entry(action: argparse.Action, parser: argparse.ArgumentParser) -> list[str]:
    """Return one option as an entry of a definition list."""
    formatter = parser._get_formatter()
    if action.option_strings:
        values = "" if action.nargs == 0 else formatter._format_args(action, action.dest.upper())
        head = ", ".join(f"`{option} {values}".rstrip() + "`" for option in action.option_strings)
        head += " (required)" if action.required else ""
    else:
        head = f"`{formatter._format_args(action, action.dest)}`"
    help_text = formatter._expand_help(action) if action.help else ""
    return [head, f": {_text(help_text)}", ""]


def _text(text: str) -> str:
    """Return plain text as Markdown: what would be markup is escaped, and options are set as code."""
    escaped = re.sub(r"([\\*_<>\[\]|#])", r"\\\1", text)
    # not inside of what is code already, such as `ase-schnet train --pretrain`
    parts = escaped.split("`")
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", parts[k])
    for k in range(1, len(parts), 2):
        parts[k] = re.sub(r"\\(.)", r"\1", parts[k])
    return "`".join(parts)


def _cell(text: str) -> str:
    return _text(text).replace("\n", " ")
