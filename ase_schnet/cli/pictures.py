"""What all commands that draw have in common: the picture, and the numbers behind it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.options import Add

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def add_save_data(add: Add) -> None:
    """Add the option ``--save-data``."""
    text = "write the numbers behind the picture too, beside it: NAME-data.csv"
    add("--save-data", action="store_true", help=text)


def require_picture(args: argparse.Namespace) -> None:
    """Raise ValueError for ``--save-data`` without a picture."""
    if not getattr(args, "save_data", False):
        return
    wanted = "--save-data writes the numbers behind a picture"
    if getattr(args, "no_plot", False):
        raise ValueError(f"{wanted}: leave out --no-plot")
    for name in ("picture", "figure"):
        if getattr(args, name, "") is None:
            raise ValueError(f"{wanted}: give --{name} FILE too")
    if getattr(args, "fold", None) is not None:
        raise ValueError(f"{wanted}, and a single fold has none: give it to ase-schnet assemble")


def draw(
    figure: Figure, path: str | Path, args: argparse.Namespace, word: str = "plot"
) -> list[str]:
    """Write a picture, and with ``--save-data`` its numbers; return a line for each file."""
    from ase_schnet.plotting import numbers_file, save_figure, save_numbers

    lines = [f"{word}: {save_figure(figure, path)}"]
    if args.save_data:
        lines.append(f"data: {save_numbers(figure, numbers_file(path))}")
    return lines
