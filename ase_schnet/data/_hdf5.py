"""Read HDF5 files of molecular data sets: groups of conformers, or one group per structure.

Each group holds numbers, positions and labels under the names of its layout; groups nest to any depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_schnet.data._candidates import not_used
from ase_schnet.data._file import FileContents, extend_labels
from ase_schnet.data._layouts import HDF5_LAYOUTS, Layout
from ase_schnet.data.frame import Frame

if TYPE_CHECKING:
    import h5py
else:
    try:
        import h5py
    except ImportError:  # an optional dependency
        h5py = None


def read_hdf5(path: Path, energy_key: str | None, forces_key: str | None) -> FileContents:
    """Read a file whose groups are of one of the `HDF5_LAYOUTS`.

    The total charge of a structure, where its group states one, goes to its ``info["charge"]``.

    Parameters
    ----------
    path
        Existing file.
    energy_key, forces_key
        Names to read instead of the layout's own.

    Raises
    ------
    ValueError
        If h5py is not installed, the file is damaged, its groups are of no or of several known
        layouts, or the shapes in a group do not fit together.
    """
    if h5py is None:
        raise ValueError("is HDF5, which needs h5py: pip install 'ase-schnet[hdf5]'")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, energy_key, forces_key)
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises on damage
        raise ValueError(f"is not a readable HDF5 file ({error}): is it complete?") from error


def _read(file: h5py.File, energy_key: str | None, forces_key: str | None) -> FileContents:
    frames: list[Frame] = []
    labels: dict[str, list] = {}
    layout = None
    for group in _leaves(file):
        of_group = _layout_of(group)
        if layout is None:
            layout = of_group
            used = {*layout.used(), energy_key, forces_key}
            notes = not_used((*group, *group.attrs), used)
        if of_group != layout:
            raise ValueError(
                f"holds groups of the layouts {layout.name} and {of_group.name}: split it"
            )
        new, found = _read_group(group, layout, energy_key, forces_key)
        extend_labels(labels, len(frames), found, len(new))
        frames += new
    if layout is None:
        return FileContents(frames, labels)
    usual = (layout.units, layout.dipole_unit)
    return FileContents(frames, labels, None, *usual, notes=notes)


def _layout_of(group: h5py.Group) -> Layout:
    for layout in HDF5_LAYOUTS:
        if layout.holds(group):
            return layout
    known = "; ".join(f"{x.name}: {x.numbers} {x.positions} {x.energy}" for x in HDF5_LAYOUTS)
    raise ValueError(f"group {group.name} holds {', '.join(group)}, of no known layout ({known})")


def _leaves(group: h5py.Group) -> Iterator[h5py.Group]:
    """Yield every group that holds data, in the order of their names."""
    if any(isinstance(item, h5py.Dataset) for item in group.values()):
        yield group
        return
    for item in group.values():
        yield from _leaves(item)


def _read_group(
    group: h5py.Group, layout: Layout, energy_key: str | None, forces_key: str | None
) -> tuple[list[Frame], dict[str, list]]:
    """Return the frames of one group, and of each label one value per frame."""
    positions = np.asarray(group[layout.positions])
    single = positions.ndim == 2
    positions = positions[None] if single else positions  # (M, N, 3)
    numbers = _numbers(np.asarray(group[layout.numbers]))
    numbers = numbers.ravel() if numbers.size == positions.shape[1] else numbers
    n_atoms = numbers.shape[-1] if numbers.ndim else 0
    of_each = (n_atoms,) if numbers.ndim == 1 else positions.shape[:2]
    if positions.shape[1:] != (n_atoms, 3) or numbers.shape != of_each:
        raise ValueError(
            f"group {group.name}: {layout.positions} has shape {positions.shape}, which does not "
            f"fit {n_atoms} atoms"
        )
    keys = {
        "energy": energy_key or layout.energy,
        "forces": forces_key or layout.forces or layout.gradient,
        "dipole": layout.dipole,
    }
    labels = {}
    for name, key in keys.items():
        if key is None:
            continue
        if key not in group and key not in group.attrs:
            if key in (energy_key, forces_key):
                raise ValueError(f"group {group.name} has no {key!r}; it holds {_names(group)}")
            continue
        values = np.asarray(group[key][...] if key in group else group.attrs[key])
        values = values[None] if single else values
        if len(values) != len(positions):
            raise ValueError(
                f"group {group.name}: {key} has shape {values.shape}, expected {len(positions)} frames"
            )
        own_gradient = key == layout.gradient and not forces_key  # one asked for: the caller's
        labels[name] = list(-values if own_gradient else values)
    if not labels:
        raise ValueError(f"group {group.name} has no labels; it holds {_names(group)}")
    info = {"charge": float(group.attrs["charge"])} if "charge" in group.attrs else None
    if numbers.ndim == 1:
        return [Frame(numbers, r, info=info) for r in positions], labels
    real = [z > 0 for z in numbers]  # conformers of several sizes are padded with -1
    if "forces" in labels:
        labels["forces"] = [f[m] for f, m in zip(labels["forces"], real, strict=True)]
    frames = [
        Frame(z[m], r[m], info=info) for z, r, m in zip(numbers, positions, real, strict=True)
    ]
    return frames, labels


def _numbers(species: NDArray) -> NDArray:
    """Return atomic numbers, in the shape of the species: numbers, or symbols as text or bytes."""
    if np.issubdtype(species.dtype, np.number):
        return species.astype(np.int64)
    symbols = [s.decode() if isinstance(s, bytes) else str(s) for s in species.ravel()]
    unknown = sorted(set(symbols) - atomic_numbers.keys())
    if unknown:
        raise ValueError(f"holds symbols that are not elements: {', '.join(unknown)}")
    return np.array([atomic_numbers[s] for s in symbols]).reshape(species.shape)


def _names(group: h5py.Group) -> str:
    return ", ".join(sorted([*group, *group.attrs]))
