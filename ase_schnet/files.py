"""Replace a file: all of it or nothing, whatever kills the process. Write tables bit for bit."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from numpy.typing import NDArray


class CannotWrite(OSError):
    """A file could not be written: no room, no permission, no such place."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what hinders writing to `path` be one line that names it. Raises CannotWrite."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(error.errno, f"{reason}: {path} could not be written") from None


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """A place beside `path` to write to, which takes the place of `path` if the block ends well.

    It has the name of this process, so that two that write the same file do not write into each other's.
    """
    path = Path(path)
    there = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    there.unlink(missing_ok=True)  # of a killed process of this number; a link would be followed
    try:
        yield there
        flush_to_disk(there)
        os.replace(there, path)
    finally:
        there.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing such that it is replaced as a whole. Raises CannotWrite."""
    with naming(path), replaced(path) as there, there.open("wb") as file:
        yield file


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as a whole. Raises CannotWrite."""
    with whole_file(path) as file:
        file.write(data)


def write_csv(path: str | Path, columns: Mapping[str, NDArray | None]) -> None:
    """Write columns (P,) that are not None, whole or not at all.

    Every float reads back to the same bits; True and False are 1 and 0.
    """
    known = {name: column for name, column in columns.items() if column is not None}
    numbers = (c.astype(int) if c.dtype == bool else c for c in known.values())
    rows = zip(*(column.tolist() for column in numbers), strict=True)
    with replaced(path) as there, there.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(known)
        writer.writerows(rows)


def flush_to_disk(path: Path) -> None:
    """Make sure that what was written to `path` outlives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
