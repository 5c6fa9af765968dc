"""Check what a command will write before its work begins, not after it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ase_schnet.runtime.files import where_written


def table_beside(plot: str | Path) -> Path:
    """Return the csv file with the name of a picture; ValueError for what is no name of a file."""
    plot = Path(plot)
    if not plot.name or plot.is_dir():
        raise ValueError(f"{plot} is a folder: give the name of a file in it")
    return plot.with_suffix(".csv")


def check_outputs(
    *,
    files: Iterable[str | Path | None] = (),
    plots: Iterable[str | Path | None] = (),
    folders: Iterable[str | Path | None] = (),
    inputs: Iterable[str | Path | None] = (),
    numbers: bool = False,
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
        Files that the command reads, perhaps with the number of a frame; no output may replace one of them.
    numbers
        Whether the numbers behind each picture are written beside it (``--save-data``).

    Raises
    ------
    ValueError
        For a name to which nothing can be written, with the reason.
    """
    plots = [Path(path) for path in plots if path is not None]
    if plots:
        from ase_schnet.plotting import numbers_file, require_picture_name

        for path in plots:
            require_picture_name(path)
        files = [*files, *map(numbers_file, plots if numbers else ())]
    read = [_file_of(given) for given in inputs if given is not None]
    written: set[Path] = set()
    for path in [*plots, *(Path(path) for path in files if path is not None)]:
        _require_file(path)
        if any(path.exists() and one.exists() and path.samefile(one) for one in read):
            raise ValueError(f"{path} is read by this command: give the output another name")
        place = where_written(path).absolute()
        place = place.parent.resolve() / place.name
        if place in written:
            raise ValueError(f"{path} would be written twice: give one of the outputs another name")
        written.add(place)
    for path in (Path(path) for path in folders if path is not None):
        there = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not there.is_dir():
            raise ValueError(f"{path} cannot be made: {there} is a file, not a folder")
        for place in (path, *path.parents):
            if place.is_symlink() and not place.exists():
                raise ValueError(f"{path} cannot be made: {place} is a link to what is not there")
        _require_permission(there, path)


def _file_of(name: str | Path) -> Path:
    """Return the file that a command reads of a name such as file.xyz@0."""
    from ase_schnet.structures.single import split_frame

    return split_frame(Path(name))[0]


def _require_file(path: Path) -> None:
    """Refuse what is no file, or cannot become one."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file in it")
    special = path.exists() and not path.is_file()  # it would be replaced by a file
    if special or path.absolute().parent == Path("/dev"):  # where /dev/stdout may lead to a file
        raise ValueError(f"{path} is no file, but a device or a pipe: give the name of a file")
    try:
        folder = where_written(path).parent
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder} to write {path.name} to")
    _require_permission(folder, path)


def _require_permission(folder: Path, path: Path) -> None:
    """Refuse a path in a folder without permission to write."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: no permission to write in {folder}")
