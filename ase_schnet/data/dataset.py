"""Hold many labelled structures as packed arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import (
    AUGMENTATION_MARKS,
    PROPERTIES,
    none_if_empty,
    packed,
    refuse_coinciding,
    volumes_of,
)
from ase_schnet.deprecation import warn_of_old_name
from ase_schnet.schnet_config import MAX_ELEMENTS

# names of the arrays of a Dataset
PER_ATOM = ("Z", "R", "F", "force_mask")
PER_STRUCTURE = ("E", "cells", "pbc", "weight", *AUGMENTATION_MARKS)
PARTIAL = ("stress", "dipole", "polarizability", "charge", "multiplicity")  # NaN where unknown


@dataclass(frozen=True, eq=False)
class Dataset:
    """Hold S structures with N atoms in all; atoms ``ptr[s]:ptr[s+1]`` belong to structure s.

    Attributes
    ----------
    Z
        (N,) int64, atomic numbers.
    R
        (N, 3) Å, positions.
    ptr
        (S+1,), first atom of each structure, and N.
    E
        (S,) eV, or None.
    F
        (N, 3) eV/Å, or None.
    cells
        (S, 3, 3) Å, rows are lattice vectors.
    pbc
        (S, 3) bool.
    source, units
        Name and units of the file, for the record.
    stress
        (S, 6) eV/Å³ in ASE's Voigt order (xx, yy, zz, yz, xz, xy) and sign (tension positive), or None.
        Here, in `dipole` and in `polarizability` the row of a structure without the label is NaN.
    dipole
        (S, 3) e·Å, or None.
    polarizability
        (S, 3, 3) e²Å²/eV, or None.
    weight
        (S,), weight of each structure in the loss. None where all are 1.
    force_mask
        (N, 3) bool, True for components of F that are labels and count in the loss. None where all do.
    charge, multiplicity
        (S,), as the structures state them; NaN where one does not. None where none does. See
        `ase_schnet.structures.electrons`.
    augmented, augmented_from, frame_id
        (S,) text, "" where there is none: the rule that labelled an augmented structure, the `frame_id` of
        the structure that it was made from, and the structure's own. None where no structure is augmented.
    """

    Z: NDArray
    R: NDArray
    ptr: NDArray
    E: NDArray | None = field(default=None, kw_only=True)
    F: NDArray | None = field(default=None, kw_only=True)
    cells: NDArray
    pbc: NDArray
    source: str = ""
    units: str = "eV, Ang"
    stress: NDArray | None = None
    dipole: NDArray | None = None
    polarizability: NDArray | None = None
    weight: NDArray | None = None
    force_mask: NDArray | None = None
    charge: NDArray | None = None
    multiplicity: NDArray | None = None
    augmented: NDArray | None = None
    augmented_from: NDArray | None = None
    frame_id: NDArray | None = None

    @classmethod
    def from_atoms(
        cls, frames: Sequence[Atoms], *, source: str = "", units: str = "eV, Ang"
    ) -> Dataset:
        """Pack labelled Atoms. Their calculators hold the labels in eV, eV/Å, eV/Å³ and e·Å.

        Stress, dipole and polarizability may be there in some frames only (crystals beside molecules). The
        stress of a structure without a volume says nothing and is left out. ASE's results know no
        polarizability: it is looked for in ``info["polarizability"]``, (3, 3) in e²Å²/eV, ASE's unit.
        Weights are looked for in ``info["loss_weight"]``. Force components that do not count are those for
        which an array ``move_mask`` or ``force_mask`` has False, and those of atoms under FixAtoms or
        FixCartesian that are exactly zero. A fixed atom whose force is known is a label like any other.

        Raises
        ------
        ValueError
            For no frames, empty frames, elements that the network does not know, positions and labels that
            are not finite, labels of another shape, cells that do not span the periodic directions, two
            atoms in one place, and energies or forces that only some frames have: a loss cannot tell a
            missing label from a wrong one.
        """
        labels = {name: [_result(a, name) for a in frames] for name in PROPERTIES}
        plain = [Frame.of(a) for a in frames]
        arrays = packed(plain, labels)
        refuse_coinciding(plain)
        return cls(**arrays, source=source, units=units)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def n_atoms(self) -> NDArray:
        """Return the number of atoms of each structure, (S,)."""
        return np.diff(self.ptr)

    @property
    def elements(self) -> list[int]:
        """Return the atomic numbers that occur, sorted."""
        return np.unique(self.Z).tolist()

    @property
    def per_atom_metrics(self) -> bool:
        """Tell whether energy errors are comparable per atom only: cells are periodic, or sizes differ."""
        return bool(self.pbc.any() or np.ptp(self.n_atoms))

    @property
    def told_per_atom(self) -> bool:
        """Return `per_atom_metrics`; this name is deprecated."""
        warn_of_old_name("Dataset.told_per_atom", "per_atom_metrics")
        return self.per_atom_metrics

    @property
    def volumes(self) -> NDArray:
        """Return the volumes in Å³, (S,); see `volumes_of`."""
        return volumes_of(self.cells, self.pbc)

    def subset(self, indices: NDArray) -> Dataset:
        """Return the structures with the numbers `indices`, in that order.

        Numbers from the end (-1) and masks (S,) count as numpy has them.
        """
        indices = np.arange(len(self))[indices]
        atoms = concatenated_ranges(self.ptr[indices], self.n_atoms[indices])
        rows = {name: atoms for name in PER_ATOM}
        rows |= {name: indices for name in (*PER_STRUCTURE, *PARTIAL)}
        values = {name: getattr(self, name) for name in rows}
        chosen = {name: v[rows[name]] for name, v in values.items() if v is not None}
        chosen |= {name: none_if_empty(chosen[name]) for name in PARTIAL if name in chosen}
        return replace(self, ptr=np.concatenate([[0], self.n_atoms[indices].cumsum()]), **chosen)

    def atoms(self, structure: int) -> Atoms:
        """Return structure number `structure` as Atoms without labels; -1 is the last one."""
        structure = range(len(self))[structure]
        part = slice(self.ptr[structure], self.ptr[structure + 1])
        return Atoms(
            self.Z[part], self.R[part], cell=self.cells[structure], pbc=self.pbc[structure]
        )

    def compositions(self) -> NDArray:
        """Count the atoms of each atomic number in each structure, (S, 100)."""
        counts = np.zeros((len(self), MAX_ELEMENTS))
        np.add.at(counts, (np.repeat(np.arange(len(self)), self.n_atoms), self.Z), 1.0)
        return counts

    def fingerprint(self) -> str:
        """Return the sha256 of structures and labels: equal data have equal digests, whatever the file."""
        digest = hashlib.sha256()
        for array in (self.Z, self.R, self.ptr, self.E, self.F, self.cells, self.pbc):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        later = (self.stress, self.dipole, self.polarizability, self.weight, self.force_mask)
        for array in later:
            if array is not None:  # without them the digest is that of version 0.1
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def join(first: Dataset, second: Dataset) -> Dataset:
    """Append the structures of `second` to those of `first`, whose source and units are kept.

    Of the labels that only some structures need have, missing rows are NaN.

    Raises
    ------
    ValueError
        If one has energies or forces and the other has not: a loss cannot tell a missing label from a
        wrong one.
    """
    for name, label in (("E", "energies"), ("F", "forces")):
        if (getattr(first, name) is None) != (getattr(second, name) is None):
            raise ValueError(f"one of two data sets to be joined has {label}, the other has none")
    missing = {"weight": 1.0, "force_mask": True} | dict.fromkeys(AUGMENTATION_MARKS, "")
    rows = {}
    for name in (*PER_ATOM, *PER_STRUCTURE, *PARTIAL):
        values = [getattr(first, name), getattr(second, name)]
        known = next((v for v in values if v is not None), None)
        if known is None:
            continue
        sizes = (len(d.Z if name in PER_ATOM else d) for d in (first, second))
        filled = [
            np.full((n, *known.shape[1:]), missing.get(name, np.nan)) if v is None else v
            for v, n in zip(values, sizes, strict=True)
        ]
        rows[name] = np.concatenate(filled)
    return replace(first, ptr=np.concatenate([first.ptr, first.ptr[-1] + second.ptr[1:]]), **rows)


def _result(atoms: Atoms, name: str) -> object:
    return None if atoms.calc is None else atoms.calc.results.get(name)


def concatenated_ranges(starts: NDArray, lengths: NDArray) -> NDArray:
    """Return start, start+1, ..., start+length-1 of each pair, joined: the rows of a CSR selection."""
    ends = lengths.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
