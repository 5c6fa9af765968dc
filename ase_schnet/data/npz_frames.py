"""Read and write the structures of npz files frame by frame, so that a file may be larger than the memory."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.lib import format as npy
from numpy.typing import NDArray

from ase_schnet.data._layouts import NPZ_LAYOUTS, Layout, npz_layout
from ase_schnet.runtime.files import short_name
from ase_schnet.units import FileUnits

ROWS = 1000  # frames that are read at once
#: What a damaged archive raises.
_DAMAGE = (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError)


def npz_frames(path: Path) -> Iterator[Atoms]:
    """Yield the structures of an npz file in one of the known layouts, without labels.

    Parameters
    ----------
    path
        Existing file.

    Raises
    ------
    ValueError
        The file is damaged, or its keys are of no known layout, in one line without the path.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise ValueError(f"is not a readable npz archive ({error}): is it complete?") from None
    with archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        layout = npz_layout(keys)
        if layout is None:
            known = ", ".join(dict.fromkeys(f"{x.numbers} {x.positions}" for x in NPZ_LAYOUTS))
            raise ValueError(
                f"has keys {' '.join(keys[:8])}, of no known layout (numbers and positions: {known})"
            )
        if layout.cell in keys:
            raise ValueError(
                "has cells, and is read here for molecules only: write it as extended xyz"
            )
        yield from _frames(archive, layout, keys)


def number_of_frames(path: Path) -> int | None:
    """Return the number of structures of an npz file; None where the file does not tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            layout = npz_layout(keys)
            return None if layout is None else _Array(archive, layout.positions).shape[0]
    except (*_DAMAGE, IndexError, KeyError):
        return None


def _frames(archive: zipfile.ZipFile, layout: Layout, keys: list[str]) -> Iterator[Atoms]:
    positions, numbers = _Array(archive, layout.positions), _Array(archive, layout.numbers)
    if len(positions.shape) != 3 or positions.shape[2] != 3:
        raise ValueError(f"{layout.positions} has shape {positions.shape}, not (frames, atoms, 3)")
    n_frames, n_atoms = positions.shape[:2]
    if numbers.shape == (n_atoms,):
        species = repeat(np.array(list(numbers.rows()), dtype=int))
    elif numbers.shape == (n_frames, n_atoms):
        species = (row.astype(int) for row in numbers.rows())
    else:
        raise ValueError(
            f"{layout.numbers} has shape {numbers.shape}, which does not fit "
            f"{layout.positions} {positions.shape}"
        )
    counts = repeat(n_atoms)
    if layout.counts is not None:
        counts = (int(n) for n in _Array(archive, layout.counts).rows())
    charges = repeat(0.0)
    if layout.charge in keys:
        charges = (float(np.ravel(q)[0]) for q in _Array(archive, layout.charge).rows())
    factor = _length_unit(archive, layout, keys)
    for z, r, n, charge in zip(species, positions.rows(), counts, charges, strict=False):
        yield Atoms(z[:n], factor * r[:n], info={"charge": charge} if charge else None)


def _length_unit(archive: zipfile.ZipFile, layout: Layout, keys: list[str]) -> float:
    """Return the Å per unit of positions: of ``r_unit``, as sGDML writes it, or of the layout."""
    if "r_unit" in keys:
        with archive.open("r_unit.npy") as file:
            text = npy.read_array(file, allow_pickle=False).item()
        name = text.decode() if isinstance(text, bytes) else str(text)
        return FileUnits("eV", name).length_to_Ang
    return 1.0 if layout.units is None else layout.units.length_to_Ang


class _Array:
    """Read one array of an archive row by row."""

    def __init__(self, archive: zipfile.ZipFile, key: str):
        self._archive, self._key = archive, key
        with self._opened() as file:
            self.shape, self._fortran, self._dtype = self._header(file)
        if self._dtype.hasobject or not np.issubdtype(self._dtype, np.number):
            raise ValueError(f"{key} holds {self._dtype}, not numbers")

    def rows(self) -> Iterator[NDArray]:
        """Yield array[0], array[1], ...; ValueError where the file ends too early."""
        with self._opened() as file:
            if self._fortran:  # the rows do not lie one after the other
                yield from npy.read_array(file, allow_pickle=False)
                return
            self._header(file)
            row = int(np.prod(self.shape[1:])) * self._dtype.itemsize
            for first in range(0, self.shape[0], ROWS):
                n = min(ROWS, self.shape[0] - first)
                try:
                    data = file.read(n * row)
                except _DAMAGE as error:
                    raise ValueError(f"{self._key} cannot be read ({error})") from None
                if len(data) < n * row:
                    raise ValueError(f"{self._key} ends too early: is the file complete?")
                yield from np.frombuffer(data, self._dtype).reshape(n, *self.shape[1:])

    def _opened(self):
        try:
            return self._archive.open(f"{self._key}.npy")
        except _DAMAGE as error:
            raise ValueError(f"{self._key} cannot be read ({error})") from None

    def _header(self, file) -> tuple[tuple[int, ...], bool, np.dtype]:
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            return read(file)
        except _DAMAGE as error:
            raise ValueError(f"{self._key} cannot be read ({error})") from None


class NpzFrames:
    """Write structures of the same atoms into an npz file, frame by frame.

    Parameters
    ----------
    path
        File to write. Its arrays grow in a temporary folder beside it, and are joined at the end.
    name
        Name of the file in messages.
    """

    def __init__(self, path: Path, name: Path):
        self._path, self._name = path, name
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{short_name(name)}.")
        self._files: dict[str, io.BufferedWriter] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._numbers: NDArray | None = None
        self._level, self._count = None, 0

    def __enter__(self) -> NpzFrames:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            for file in self._files.values():
                file.close()
            if kind is None:
                self._join()
        finally:
            self._folder.cleanup()

    def add(self, atoms: Atoms, values: Mapping) -> None:
        """Add a structure and its values by name; ``error_level`` is written once.

        Raises
        ------
        ValueError
            The structure has other atoms than those before or is periodic, or other values.
        """
        if self._numbers is None:
            self._numbers = atoms.numbers.copy()
        if atoms.pbc.any() or not np.array_equal(atoms.numbers, self._numbers):
            what = "is periodic" if atoms.pbc.any() else "has other atoms than the first one"
            raise ValueError(
                f"{self._name}: structure {self._count} {what}, and an npz file is for molecules of the "
                "same atoms: write .extxyz, .traj or .db"
            )
        rows = {"R": atoms.positions} | {k: v for k, v in values.items() if k != "error_level"}
        if "frame_in_file" in atoms.info:
            rows["frame_in_file"] = np.int64(atoms.info["frame_in_file"])
        self._level = values.get("error_level")
        if self._count and rows.keys() != self._files.keys():
            raise ValueError(
                f"{self._name}: structure {self._count} has other results than the first"
            )
        for key, value in rows.items():
            array = np.asarray(value, np.int64 if key == "frame_in_file" else np.float64)
            if self._count == 0:
                self._files[key] = open(Path(self._folder.name) / key, "wb")  # noqa: SIM115
                self._shapes[key] = array.shape
            self._files[key].write(array.tobytes())
        self._count += 1

    def _join(self) -> None:
        """Put the arrays into an archive, uncompressed as `numpy.savez` does."""
        numbers = np.empty(0, int) if self._numbers is None else self._numbers
        whole = {"z": numbers, "e_unit": np.array("eV"), "r_unit": np.array("Ang")}
        if self._level is not None:
            whole["error_level"] = np.array(self._level)
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for key, array in whole.items():
                with archive.open(f"{key}.npy", "w") as file:
                    npy.write_array(file, np.asarray(array), allow_pickle=False)
            for key, shape in self._shapes.items():
                dtype = np.dtype(np.int64 if key == "frame_in_file" else np.float64)
                header = {
                    "descr": npy.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (self._count, *shape),
                }
                with (
                    archive.open(f"{key}.npy", "w", force_zip64=True) as file,
                    (Path(self._folder.name) / key).open("rb") as rows,
                ):
                    npy.write_array_header_1_0(file, header)
                    shutil.copyfileobj(rows, file, 1 << 20)
