"""Say which key of an npz or HDF5 file holds what: the layouts of known data sets, and plain names."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from ase_schnet.units import FileUnits


class Layout(NamedTuple):
    """Name the keys of one family of files. In HDF5, labels may be attributes of a group too."""

    name: str
    numbers: str
    positions: str
    energy: str
    forces: str | None = None
    counts: str | None = None  # atoms per frame, where frames are padded to a common length
    gradient: str | None = None  # minus the forces
    charge: str | None = None  # total charge of each frame
    dipole: str | None = None
    dipole_unit: str | None = None
    units: FileUnits | None = None  # None: the layout does not define them
    cell: str | None = None  # rows are lattice vectors; "lattice" of sGDML: columns
    left_out: tuple[str, ...] = ()  # known not to be labels of these structures

    def holds(self, keys: Container[str]) -> bool:
        """Tell whether a file with these keys is of this layout."""
        needed = (self.numbers, self.positions, self.counts)
        return all(k in keys for k in needed if k)

    def keys(self) -> str:
        """Return the keys of the layout, for messages."""
        forces = self.gradient or self.forces
        keys = (self.numbers, self.positions, self.energy, forces, self.counts)
        return " ".join(key for key in keys if key)

    def used(self) -> set[str | None]:
        """Return all names that the layout reads, or leaves out on purpose."""
        names = (name for name in self[1:12] if not isinstance(name, FileUnits))
        return {*names, *self.left_out}


# Hoja et al., doi:10.1038/s41597-021-00812-2
QM7X = Layout(
    *("QM7-X", "atNUM", "atXYZ", "ePBE0+MBD", "totFOR"),
    dipole="vDIP",
    dipole_unit="e*Ang",
    units=FileUnits("eV"),
)

# PhysNet's keys contain the bare Z, R, E, F of other writers, whose forces may be gradients:
# without the counts N a file is not taken for one. NeuralForceField's say that they are gradients.
NPZ_LAYOUTS = (
    Layout("rMD17", "nuclear_charges", "coords", "energies", "forces", units=FileUnits("kcal/mol")),
    Layout("MD17/sGDML", "z", "R", "E", "F", cell="lattice"),
    Layout("PhysNet", "Z", "R", "E", "F", counts="N", dipole="D", dipole_unit="e*Ang", charge="Q"),
    Layout("NFF", "Z", "R", "E", "F", gradient="energy_grad"),
    QM7X,
)

HDF5_LAYOUTS = (
    # Smith et al., doi:10.1038/sdata.2017.193. Its energiesHE and coordinatesHE, structures of high
    # energy kept apart by the authors, are not read. ANI-2x (doi:10.5281/zenodo.10108942) and what torchani
    # writes have forces, and species of every conformer.
    Layout(
        *("ANI-1", "species", "coordinates", "energies", "forces"),
        units=FileUnits("Hartree"),
        left_out=("energiesHE", "coordinatesHE"),
    ),
    Layout(
        *("torchani", "numbers", "coordinates", "energies", "forces"), units=FileUnits("Hartree")
    ),
    # doi:10.1038/s41597-020-0473-z
    Layout(
        *("ANI-1x", "atomic_numbers", "coordinates", "wb97x_dz.energy", "wb97x_dz.forces"),
        units=FileUnits("Hartree"),
    ),
    # Eastman et al., doi:10.1038/s41597-022-01882-6
    Layout(
        *("SPICE", "atomic_numbers", "conformations", "dft_total_energy"),
        gradient="dft_total_gradient",
        dipole="scf_dipole",
        dipole_unit="e*Bohr",
        units=FileUnits("Hartree", "Bohr"),
    ),
    Layout("mlip", "elements", "positions", "energy", "forces", dipole="dipole"),
    QM7X,
)

# Names that say what they are, as ASE, schnetpack and many scripts have them.
_PLAIN = {
    "numbers": ("atomic_numbers", "numbers", "nuclear_charges", "species", "z"),
    "positions": ("positions", "coordinates", "coords"),
    "energy": ("energy", "energies"),
    "forces": ("forces", "force"),
    "gradient": ("gradient", "gradients", "energy_grad"),
    "counts": ("n_atoms", "natoms", "num_atoms", "_n_atoms"),
    "dipole": ("dipole", "dipoles"),
    "cell": ("cell", "cells", "lattice"),
}


def npz_layout(keys: list[str]) -> Layout | None:
    """Return the layout of an archive with these keys; None if it is not known."""
    for layout in NPZ_LAYOUTS:
        if layout.holds(keys) and (layout.gradient is None or layout.gradient in keys):
            return layout
    return _plain_layout(keys)


def _plain_layout(keys: list[str]) -> Layout | None:
    """Return the layout of an archive whose keys are plain names; None if it holds no structures."""
    named = {what: next((k for k in names if k in keys), None) for what, names in _PLAIN.items()}
    if named["numbers"] is None or named["positions"] is None:
        return None
    if named["forces"] is not None:
        named["gradient"] = None
    return Layout(
        "plain names", **named | {k: named[k] or _PLAIN[k][0] for k in ("energy", "forces")}
    )
