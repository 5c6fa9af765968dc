"""Read any file of structures, frame by frame.

Errors are one line that says what is wrong and how to correct it.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io import iread
from ase.io.formats import (
    UnknownFileTypeError,
    filetype,
    get_ioformat,
    open_with_compression,
)

from ase_schnet.runtime.refusals import one_line
from ase_schnet.structures.columns import XYZError, named
from ase_schnet.structures.xyz import Block, atoms_of, blocks

XYZ_FORMATS = ("extxyz", "xyz")
_CURES = {
    "vasp": "is it complete, with the symbols of the elements on the line above the numbers of their atoms?",
    "cif": "is it complete, with cell, symmetry and atom sites?",
    "traj": "is it complete? A trajectory is written to its end when the run that writes it is closed",
}
_SUFFIXES = ".xyz, .extxyz, .traj, .cif, .pdb or .vasp"


def recognised_format(path: str | Path) -> str:
    """Name the format of a file as ASE recognises it: by its name, its content, then its suffix.

    Returns
    -------
    str
        ASE's name of the format, such as ``"extxyz"``, also for plain xyz.

    Raises
    ------
    ValueError
        In one line without the path: for an empty file, and for an unknown format.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError("is empty")
    start = _start(path)
    if is_xyz_name(path) or _looks_like_xyz(start):
        return "extxyz"
    try:
        # A suffix that ASE does not know comes back from filetype as if it were a format.
        return get_ioformat(filetype(str(path))).name
    except (UnknownFileTypeError, OSError, EOFError) as error:
        raise ValueError(_unknown(start, error)) from None


def is_xyz_name(path: Path) -> bool:
    """Tell by its name whether a file is (extended) xyz, possibly compressed."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bz2", ".xz")]
    return suffixes[-1:] in ([".xyz"], [".extxyz"])


def read_frames(path: str | Path, columns: str | None = None) -> Iterator[Atoms]:
    """Read the structures of a file, one after the other, with labels and arrays as ASE gives them.

    Parameters
    ----------
    path
        Existing file. ``@`` in its name has no special meaning.
    columns
        For an xyz file without a header: names of the columns behind x y z, such as ``"forces"``.

    Yields
    ------
    Atoms

    Raises
    ------
    ValueError
        In one line without the path, which names the frame, says what is wrong and, where that is known, how
        to correct it.
    """
    path = Path(path)
    name = recognised_format(path)
    if columns is not None:
        named(columns)  # raises for names that are none, before the file is opened
    if columns is not None and name not in XYZ_FORMATS:
        raise ValueError(f"is read as {name}, which names its columns itself: leave columns= out")
    done = 0
    try:
        if name in XYZ_FORMATS:
            with lines_of(path) as lines:
                for block in blocks(lines):
                    yield atoms_of(block, columns)
                    done += 1
        else:
            # Not in parallel: under mpiexec every process reads by itself.
            options = {"parallel": False, "do_not_split_by_at_sign": True}
            for atoms in iread(str(path), index=":", format=name, **options):
                yield atoms
                done += 1
            if not done:
                raise ValueError("no structure in it")
    except XYZError as error:
        raise ValueError(f"frame {done} {_joined(error)}") from None
    except Exception as error:  # ASE's readers raise nearly everything on a damaged file
        raise ValueError(not_read(name, done, error)) from error


def require_angstrom(atoms: Atoms) -> None:
    """Refuse a structure whose ``info["units"]`` say that its lengths are in Bohr: they would be read as Å.

    Raises
    ------
    ValueError
        In one line without the path.
    """
    stated = str(atoms.info.get("units", ""))
    if any(part.strip().lower() in ("bohr", "a0") for part in stated.split(",")[1:]):
        raise ValueError(
            f"lengths are in Bohr (units: {stated}), and are needed in Å: convert them, or label, sample "
            "and other commands with --units read them"
        )


def read_blocks(path: Path) -> Iterator[Block]:
    """Divide an xyz file into frames without reading what they hold. Raises ValueError as `read_frames`."""
    done = 0
    try:
        with lines_of(path) as lines:
            for block in blocks(lines):
                yield block
                done += 1
    except XYZError as error:
        raise ValueError(f"frame {done} {_joined(error)}") from None
    except (OSError, EOFError) as error:
        raise ValueError(not_read("xyz", done, error)) from None


def lines_of(path: Path) -> io.TextIOWrapper:
    """Open a text, compressed or not, in UTF-8 or as its byte order mark says; bad bytes are replaced."""
    start = _start(path)
    encoding = _encoding(start)
    if b"\0" in start and encoding != "utf-16":
        raise ValueError("is binary, not an xyz file: give it the suffix of its format")
    return io.TextIOWrapper(open_with_compression(str(path), "rb"), encoding, errors="replace")


def no_such_file(path: Path) -> str:
    """Return a message that a file is missing, with the name of an existing file that is similar."""
    folder = path.parent
    if not folder.is_dir():
        return f"{path}: no such file; there is no folder {folder}"
    names = [entry.name for entry in folder.iterdir()]
    like = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    where = f" (looked in {folder.absolute()})" if not path.is_absolute() else ""
    return f"{path}: no such file" + (f"; is {folder / like[0]} meant?" if like else where)


def _start(path: Path) -> bytes:
    """Return the first bytes of a file after decompression; no bytes where that fails."""
    try:
        with open_with_compression(str(path), "rb") as file:
            return file.read(4096)
    except (OSError, EOFError, ValueError):
        return b""


def _encoding(start: bytes) -> str:
    """Return the encoding that the byte order mark says; a redirection on Windows writes UTF-16."""
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _looks_like_xyz(start: bytes) -> bool:
    """Tell whether text starts like xyz: a number alone, any line, and a label with three numbers."""
    lines = start.decode(_encoding(start), errors="replace").splitlines()[:3]
    if len(lines) < 3 or not lines[0].strip().isdigit():
        return False
    words = lines[2].split()
    try:
        return len(words) >= 4 and words[0].isalnum() and bool(list(map(float, words[1:4])))
    except ValueError:
        return False


def _unknown(start: bytes, error: Exception | None) -> str:
    if b"\0" in start:
        what = "cannot be read: it is binary, of no format that ASE recognises"
    elif isinstance(error, (OSError, EOFError)):
        what = f"cannot be opened ({error})"
    else:
        what = "cannot be read: it is of no format that ASE recognises by name or content"
    return f"{what}: give it the suffix of its format, such as {_SUFFIXES}"


def _joined(error: XYZError) -> str:
    text = str(error)
    return text if text.startswith("comes ") else f"cannot be read: {text}"


def not_read(name: str, done: int, error: Exception) -> str:
    """Return one line for any error that a reader of ASE raised."""
    reason = one_line(error)
    isotope = re.search(r"(?:^|label )'?([DT])\b", reason)
    if isinstance(error, KeyError) and isotope:
        return (
            f"frame {done} holds {isotope[1]}, which ASE's reader of {name} does not know: write it as xyz, "
            "where D and T are hydrogen with their masses, or put H and lose the masses"
        )
    kind = type(error).__name__
    told = (
        reason if kind in ("ValueError", "OSError") and reason else f"{kind}: {reason}".rstrip(": ")
    )
    cure = f": {_CURES[name]}" if name in _CURES else ""
    return f"frame {done} cannot be read by ASE as {name} ({told:.200}){cure}"
