"""Check what a command will write before its work begins, not after it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def check_outputs(
    *,
    files: Iterable[str | Path | None] = (),
    plots: Iterable[str | Path | None] = (),
    folders: Iterable[str | Path | None] = (),
    inputs: Iterable[str | Path | None] = (),
) -> None:
    """Refuse names to which nothing can be written; None stands for an output that is not asked for.

    Parameters
    ----------
    files
        Files to write; their folder must exist.
    plots
        Pictures to write, likewise; the name must end in the suffix of a picture format.
    folders
        Directories to write to; they are made if missing.
    inputs
        Files that the command reads; no output may replace one of them.

    Raises
    ------
    ValueError
        For a name to which nothing can be written, with the reason.
    """
    plots = [Path(path) for path in plots if path is not None]
    if plots:
        from ase_schnet.plotting import require_picture_name

        for path in plots:
            require_picture_name(path)
    for path in [*plots, *(Path(path) for path in files if path is not None)]:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file in it")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
        _require_permission(path.parent, path)
        for given in (Path(given) for given in inputs if given is not None):
            if path.exists() and given.exists() and path.samefile(given):
                raise ValueError(f"{path} is read by this command: give the output another name")
    for path in (Path(path) for path in folders if path is not None):
        there = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not there.is_dir():
            raise ValueError(f"{path} cannot be made: {there} is a file, not a folder")
        _require_permission(there, path)


def _require_permission(folder: Path, path: Path) -> None:
    """Refuse a path in a folder without permission to write."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: no permission to write in {folder}")
