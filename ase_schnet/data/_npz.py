"""Read npz files of molecular data sets. Nothing is ever unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from ase_schnet.data._candidates import few, like_labels, not_used
from ase_schnet.data._file import FileContents
from ase_schnet.data._layouts import NPZ_LAYOUTS, Layout, npz_layout
from ase_schnet.data.frame import Frame
from ase_schnet.runtime.files import unreadable

# What zipfile, zlib and numpy raise on a damaged archive; unknown zip features are RuntimeErrors.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


def read_npz(path: Path, energy_key: str | None, forces_key: str | None) -> FileContents:
    """Read an npz file in one of the known layouts.

    Parameters
    ----------
    path
        Existing file.
    energy_key, forces_key
        Arrays to read instead of the layout's own, such as rMD17's ``old_energies``.

    Raises
    ------
    ValueError
        If the file is damaged or holds pickled objects, its keys are of no known layout, or the
        shapes of its arrays do not fit together.
    """
    with path.open("rb") as file:  # np.load leaves a damaged file open
        try:
            archive = np.load(file, allow_pickle=False)
        except _DAMAGE as error:
            raise ValueError(
                f"is not a readable npz archive ({unreadable(error)}): is it complete?"
            ) from error
        if not isinstance(archive, NpzFile):
            raise ValueError(
                "holds a single array without a name, not an npz archive of named arrays"
            )
        layout = npz_layout(archive.files)
        if layout is not None:
            return _read_layout(archive, layout, energy_key, forces_key)
    known = "; ".join(f"{layout.name}: {layout.keys()}" for layout in NPZ_LAYOUTS)
    raise ValueError(
        f"has keys {few(archive.files)}, of no known layout ({known}; plain names: atomic_numbers positions "
        "energy forces cell)"
    )


def _read_layout(
    archive: NpzFile, layout: Layout, energy_key: str | None, forces_key: str | None
) -> FileContents:
    keys = {
        "energy": energy_key or layout.energy,
        "forces": forces_key or layout.gradient or layout.forces,
        "dipole": layout.dipole,
    }
    _check_keys(archive, keys, asked=[k for k in (energy_key, forces_key) if k])
    positions = _array(archive, layout.positions)
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise ValueError(f"{layout.positions} has shape {positions.shape}, not (frames, atoms, 3)")
    n_frames, n_atoms = positions.shape[:2]
    numbers = _array(archive, layout.numbers)
    if numbers.shape not in ((n_atoms,), (n_frames, n_atoms)):
        raise ValueError(
            f"{layout.numbers} has shape {numbers.shape}, which does not fit "
            f"{layout.positions} {positions.shape}"
        )
    numbers = np.broadcast_to(numbers, (n_frames, n_atoms)).astype(int)
    counts = np.full(n_frames, n_atoms)
    if layout.counts:
        counts = _array(archive, layout.counts).astype(int)
        _check_padding(numbers, counts, layout)

    labels = {}
    for name, key in keys.items():
        if key in archive.files:
            values = _array(archive, key)
            if values.shape[:1] != (n_frames,):
                raise ValueError(f"{key} has shape {values.shape}, expected {n_frames} frames")
            if name == "forces" and values.ndim != 3:
                raise ValueError(
                    f"{key} has shape {values.shape}, not that of forces (frames, atoms, 3)"
                )
            own_gradient = key == layout.gradient and not forces_key  # one asked for: the caller's
            labels[name] = list(-values if own_gradient else values)
    # Padding is cut off. Forces of another length are kept as they are: the check names them.
    if "forces" in labels:
        labels["forces"] = [
            f[:n] if len(f) == n_atoms else f for f, n in zip(labels["forces"], counts, strict=True)
        ]
    infos = _infos(archive, layout, n_frames)
    cells = _cells(archive, layout, n_frames)
    frames = [
        Frame(z[:n], r[:n], *cell, info=info)
        for z, r, n, cell, info in zip(numbers, positions, counts, cells, infos, strict=True)
    ]
    notes = not_used(archive.files, {*keys.values(), *layout.used()})
    usual = (layout.units, layout.dipole_unit)
    return FileContents(frames, labels, _stated_units(archive), *usual, notes=notes)


def _cells(archive: NpzFile, layout: Layout, n_frames: int) -> list[tuple]:
    """Return cell and periodic axes of each frame; None where the archive has no cell, or only zeros."""
    if layout.cell not in archive.files:
        return [(None, None)] * n_frames
    cells = _array(archive, layout.cell)
    if cells.shape in ((3, 3), (9,)):
        cells = np.broadcast_to(cells.reshape(3, 3), (n_frames, 3, 3))
    if cells.size != 9 * n_frames:
        raise ValueError(
            f"{layout.cell} has shape {cells.shape}, expected (3, 3) or ({n_frames}, 3, 3)"
        )
    cells = cells.reshape(n_frames, 3, 3)
    if layout.cell == "lattice":
        cells = cells.swapaxes(1, 2)  # sGDML's are columns
    pbc = cells.any(axis=2)
    if "pbc" in archive.files:
        stated = _load(archive, "pbc")
        if stated.size not in (3, 3 * n_frames):
            raise ValueError(f"pbc has shape {stated.shape}, expected (3,) or ({n_frames}, 3)")
        pbc = pbc & stated.astype(bool).reshape(-1, 3)
    return [(c, p) if p.any() else (None, None) for c, p in zip(cells, pbc, strict=True)]


def _check_keys(archive: NpzFile, keys: dict[str, str | None], asked: list[str]) -> None:
    """Refuse absent keys, gradients, and labels of two levels of theory."""
    present = few(archive.files)
    like = like_labels(archive.files)
    like = f" (for these: {like})" if like else ""
    for key in asked:
        if key not in archive.files:
            raise ValueError(f"has no key {key!r}; it holds {present}")
    if keys["energy"] not in archive.files and keys["forces"] not in archive.files:
        raise ValueError(
            f"has no labels under {keys['energy']!r} or {keys['forces']!r}; it holds {present}: "
            f"name them with energy_key= and forces_key={like}"
        )
    if keys["energy"].startswith("old_") != keys["forces"].startswith("old_"):
        raise ValueError(
            f"{keys['energy']} and {keys['forces']} are of different levels of theory: "
            "pass both energy_key='old_energies' and forces_key='old_forces', or neither"
        )


def _check_padding(numbers: NDArray, counts: NDArray, layout: Layout) -> None:
    if counts.shape != numbers.shape[:1]:
        raise ValueError(f"{layout.counts} has shape {counts.shape}, expected {numbers.shape[:1]}")
    padding = np.arange(numbers.shape[1]) >= counts[:, None]  # (S, N)
    wrong = np.flatnonzero(((numbers == 0) != padding).any(axis=1))
    if len(wrong):
        raise ValueError(
            f"frame {wrong[0]}: {layout.numbers} does not have {layout.counts} = "
            f"{counts[wrong[0]]} atoms followed by zeros"
        )


def _infos(archive: NpzFile, layout: Layout, n_frames: int) -> list[dict | None]:
    """Return the total charge of each frame as its info; None where all are neutral."""
    if layout.charge not in archive.files or not _array(archive, layout.charge).any():
        return [None] * n_frames
    charges = _array(archive, layout.charge).reshape(n_frames)
    return [{"charge": float(charge)} for charge in charges]


def _array(archive: NpzFile, key: str) -> NDArray:
    """Load one numeric array."""
    array = _load(archive, key)
    if not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{key} holds {array.dtype}, not numbers")
    return array


def _load(archive: NpzFile, key: str) -> NDArray:
    """Load one array, and report damage inside the archive."""
    try:
        return archive[key]
    except _DAMAGE as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{key} holds pickled Python objects, which can run code and are never loaded: "
                "save it as a plain array, padded with zeros where structures differ in size, or as extxyz"
            ) from error
        raise ValueError(f"{key} cannot be read ({error}): is the file complete?") from error


def _stated_units(archive: NpzFile) -> str | None:
    """Read units as sGDML writes them: ``e_unit`` and ``r_unit``, text or bytes."""
    if "e_unit" not in archive.files:
        return None
    texts = [_load(archive, key).item() for key in ("e_unit", "r_unit") if key in archive.files]
    return ", ".join(t.decode() if isinstance(t, bytes) else str(t) for t in texts)
