"""Which key of an npz file holds what: the layouts of known data sets, and plain names."""

from __future__ import annotations

from typing import NamedTuple

from ase_schnet.units import FileUnits


class Layout(NamedTuple):
    """Which key holds what in one family of npz files."""

    name: str
    numbers: str
    positions: str
    energy: str
    forces: str
    counts: str | None = None  # atoms per frame, where frames are padded to a common length
    gradient: str | None = None  # minus the forces
    charge: str | None = None  # total charge of each frame
    dipole: str | None = None
    dipole_unit: str | None = None
    units: FileUnits | None = None  # None: the layout does not define them
    cell: str | None = None  # rows are lattice vectors; "lattice" of sGDML: columns

    def holds(self, keys: list[str]) -> bool:
        """Tell whether an archive with these keys is of this layout."""
        needed = (self.numbers, self.positions, self.counts, self.gradient)
        return all(k in keys for k in needed if k)


# PhysNet's keys contain the bare Z, R, E, F of other writers, whose forces may be gradients:
# without the counts N a file is not taken for one. NeuralForceField's say that they are gradients.
LAYOUTS = (
    Layout("rMD17", "nuclear_charges", "coords", "energies", "forces", units=FileUnits("kcal/mol")),
    Layout("MD17/sGDML", "z", "R", "E", "F", cell="lattice"),
    Layout("PhysNet", "Z", "R", "E", "F", counts="N", dipole="D", dipole_unit="e*Ang", charge="Q"),
    Layout("NFF", "Z", "R", "E", "F", gradient="energy_grad"),
    Layout(
        *("QM7-X", "atNUM", "atXYZ", "ePBE0+MBD", "totFOR"),
        dipole="vDIP",
        dipole_unit="e*Ang",
        units=FileUnits("eV"),
    ),
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


def plain_layout(keys: list[str]) -> Layout | None:
    """The layout of an archive whose keys are plain names; None where structures are not among them."""
    named = {what: next((k for k in names if k in keys), None) for what, names in _PLAIN.items()}
    if named["numbers"] is None or named["positions"] is None:
        return None
    if named["forces"] is not None:
        named["gradient"] = None
    return Layout(
        "plain names", **named | {k: named[k] or _PLAIN[k][0] for k in ("energy", "forces")}
    )


def keys_of(layout: Layout) -> str:
    forces = layout.gradient or layout.forces
    keys = (layout.numbers, layout.positions, layout.energy, forces, layout.counts)
    return " ".join(key for key in keys if key)
