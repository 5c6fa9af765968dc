"""Replace a file as a whole or not at all, even if the process is killed. Write tables bit for bit."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # numpy takes longer to import than a client of `ase-schnet serve` may take
    from numpy.typing import NDArray


class CannotWrite(OSError):
    """Report that a file could not be written: no space, no permission or no such folder."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into CannotWrite, one line that names the file."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(error.errno, f"{reason}: {path} could not be written") from None


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` if the block ends without an error.

    Where `path` is a symbolic link, what it leads to is replaced, and the link stays.
    The temporary name holds the process id: no two processes of a host write into the same temporary file.
    An OSError names `path`, since nobody gave the other one.
    """
    path = where_written(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"there is no folder to write {path.name} to", str(path.parent)
        )
    there = path.with_name(f".{short_name(path)}.{os.getpid()}.tmp")
    try:
        # left by a killed process with this id; a link would be followed
        there.unlink(missing_ok=True)
        try:
            yield there
            flush_to_disk(there)
            os.replace(there, path)
        finally:
            there.unlink(missing_ok=True)
    except OSError as error:
        if str(error.filename) == str(there):
            error.filename = str(path)
        raise


def where_written(path: str | Path) -> Path:
    """Return the file that writing to `path` makes: what a symbolic link leads to, else `path` itself.

    Raises
    ------
    OSError
        A link leads to itself.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it is replaced as a whole at the end. Raises CannotWrite."""
    with naming(path), replaced(path) as there, there.open("wb") as file:
        yield file


def short_name(path: Path) -> str:
    """Return the name of a file, of a very long one the beginning: file systems allow 255 bytes."""
    return os.fsdecode(os.fsencode(path.name)[:200])


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as a whole. Raises CannotWrite."""
    with whole_file(path) as file:
        file.write(data)


def write_csv(path: str | Path, columns: Mapping[str, NDArray | None]) -> None:
    """Write columns (P,) as a table, as a whole or not at all; those that are None are left out.

    Every float is read back to the same bits. True and False are written as 1 and 0.
    """
    known = {name: column for name, column in columns.items() if column is not None}
    numbers = (c.astype(int) if c.dtype == bool else c for c in known.values())
    rows = zip(*(column.tolist() for column in numbers), strict=True)
    with replaced(path) as there, there.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(known)
        writer.writerows(rows)


def unreadable(error: Exception) -> str:
    """Say why numpy could not read a file of arrays; its own advice is to unpickle what is no such file."""
    return "it holds no arrays of numbers" if "pickle" in str(error) else str(error)


def flush_to_disk(path: Path) -> None:
    """Force what was written to `path` onto the disk, so that it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
