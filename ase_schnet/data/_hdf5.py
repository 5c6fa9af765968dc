"""The HDF5 layouts of molecular data sets: groups of conformers, or one group per structure.

Each group holds numbers, positions and labels under the names of its layout; groups nest to any depth.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers

from ase_schnet.data._candidates import listed, option_for
from ase_schnet.data._raw import RawFile
from ase_schnet.data.frame import Frame
from ase_schnet.units import FileUnits

try:
    import h5py
except ImportError:  # an extra: few need it
    h5py = None


class _Layout(NamedTuple):
    """Which name holds what in one family of files; labels may be datasets or attributes of the group."""

    name: str
    numbers: str
    positions: str
    energy: str
    forces: str | None = None
    gradient: str | None = None  # minus the forces
    dipole: str | None = None
    dipole_unit: str | None = None
    units: FileUnits | None = None  # None: the layout does not define them
    left_out: tuple[str, ...] = ()  # known not to be labels of these structures


LAYOUTS = (
    # Smith et al., doi:10.1038/sdata.2017.193. Its energiesHE and coordinatesHE, structures of high
    # energy kept apart by the authors, are not read. ANI-2x (doi:10.5281/zenodo.10108942) and what torchani
    # writes have forces, and species of every conformer.
    _Layout(
        *("ANI-1", "species", "coordinates", "energies", "forces"),
        units=FileUnits("Hartree"),
        left_out=("energiesHE", "coordinatesHE"),
    ),
    _Layout(
        *("torchani", "numbers", "coordinates", "energies", "forces"), units=FileUnits("Hartree")
    ),
    # doi:10.1038/s41597-020-0473-z
    _Layout(
        *("ANI-1x", "atomic_numbers", "coordinates", "wb97x_dz.energy", "wb97x_dz.forces"),
        units=FileUnits("Hartree"),
    ),
    # Eastman et al., doi:10.1038/s41597-022-01882-6
    _Layout(
        *("SPICE", "atomic_numbers", "conformations", "dft_total_energy"),
        gradient="dft_total_gradient",
        dipole="scf_dipole",
        dipole_unit="e*Bohr",
        units=FileUnits("Hartree", "Bohr"),
    ),
    _Layout("mlip", "elements", "positions", "energy", "forces", dipole="dipole"),
    # Hoja et al., doi:10.1038/s41597-021-00812-2
    _Layout(
        *("QM7-X", "atNUM", "atXYZ", "ePBE0+MBD", "totFOR"),
        dipole="vDIP",
        dipole_unit="e*Ang",
        units=FileUnits("eV"),
    ),
)


def read_hdf5(path: Path, energy_key: str | None, forces_key: str | None) -> RawFile:
    """Read a file whose groups are of one of the `LAYOUTS`.

    The total charge of a structure, where its group states one, goes to its ``info["charge"]``.

    Parameters
    ----------
    path : Path
        Existing file.
    energy_key, forces_key : str, optional
        Names to read instead of the layout's own.

    Returns
    -------
    RawFile
        In the units of the file.

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


def _read(file, energy_key: str | None, forces_key: str | None) -> RawFile:
    frames: list[Frame] = []
    labels: dict[str, list] = {}
    layout = None
    for group in _leaves(file):
        of_group = _layout_of(group)
        if layout is None:
            layout, notes = of_group, _not_used(group, of_group, energy_key, forces_key)
        if of_group != layout:
            raise ValueError(
                f"holds groups of the layouts {layout.name} and {of_group.name}: split it"
            )
        new, found = _read_group(group, layout, energy_key, forces_key)
        for name in {*labels, *found}:
            before = labels.setdefault(name, [None] * len(frames))
            before.extend(found.get(name, [None] * len(new)))
        frames += new
    if layout is None:
        return RawFile(frames, labels)
    usual = (layout.units, layout.dipole_unit)
    return RawFile(frames, labels, None, *usual, notes=notes)


def _layout_of(group) -> _Layout:
    for layout in LAYOUTS:
        if layout.numbers in group and layout.positions in group:
            return layout
    known = "; ".join(f"{x.name}: {x.numbers} {x.positions} {x.energy}" for x in LAYOUTS)
    raise ValueError(f"group {group.name} holds {', '.join(group)}, of no known layout ({known})")


def _leaves(group) -> Iterator:
    """Every group that holds data, in the order of their names."""
    if any(isinstance(item, h5py.Dataset) for item in group.values()):
        yield group
        return
    for item in group.values():
        yield from _leaves(item)


def _read_group(group, layout: _Layout, energy_key: str | None, forces_key: str | None):
    """Frames of one group, and of each label one value per frame."""
    positions = group[layout.positions][...]
    single = positions.ndim == 2
    positions = positions[None] if single else positions  # (M, N, 3)
    numbers = _numbers(group[layout.numbers][...])
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
        labels[name] = list(-values if key == layout.gradient else values)
    if not labels:
        raise ValueError(f"group {group.name} has no labels; it holds {_names(group)}")
    info = {"charge": float(group.attrs["charge"])} if "charge" in group.attrs else None
    if numbers.ndim == 1:
        return [Frame(numbers, r, info=info) for r in positions], labels
    real = [z > 0 for z in numbers]  # of conformers of several sizes, the rest is -1
    if "forces" in labels:
        labels["forces"] = [f[m] for f, m in zip(labels["forces"], real, strict=True)]
    frames = [
        Frame(z[m], r[m], info=info) for z, r, m in zip(numbers, positions, real, strict=True)
    ]
    return frames, labels


def _not_used(group, layout: _Layout, *asked: str | None) -> list[str]:
    """Name what looks like a label in a group and is not read."""
    used = {*layout[1:], *asked, *layout.left_out}
    options = {key: option_for(key) for key in (*group, *group.attrs) if key not in used}
    unused = {key: option for key, option in options.items() if option is not None}
    return [f"not used: {listed(unused)}"] if unused else []


def _numbers(species: np.ndarray) -> np.ndarray:
    """Atomic numbers, in the shape of the species, of numbers, or of symbols as text or bytes."""
    if np.issubdtype(species.dtype, np.number):
        return species.astype(np.int64)
    symbols = [s.decode() if isinstance(s, bytes) else str(s) for s in species.ravel()]
    unknown = sorted(set(symbols) - atomic_numbers.keys())
    if unknown:
        raise ValueError(f"holds symbols that are no elements: {', '.join(unknown)}")
    return np.array([atomic_numbers[s] for s in symbols]).reshape(species.shape)


def _names(group) -> str:
    return ", ".join(sorted([*group, *group.attrs]))
