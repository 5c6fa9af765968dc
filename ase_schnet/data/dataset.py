"""Many labelled structures as packed arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms

from ase_schnet.bonds import pair_name
from ase_schnet.data._raw import PROPERTIES
from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import none_if_empty, packed, volumes_of
from ase_schnet.data.pairs import pair_blocks
from ase_schnet.modelfile import MAX_ELEMENTS


@dataclass(frozen=True)
class Dataset:
    """S structures with N atoms in all, CSR by structure: atoms ptr[s]:ptr[s+1] belong to s.

    Z (N,) int64 · R (N, 3) Å · ptr (S+1,) · E (S,) eV or None · F (N, 3) eV/Å or None ·
    cells (S, 3, 3) Å · pbc (S, 3) bool · stress (S, 6) eV/Å³ or None, in ASE's Voigt order
    (xx, yy, zz, yz, xz, xy) and sign (tension positive) · dipole (S, 3) e·Å or None ·
    polarizability (S, 3, 3) e²Å²/eV or None: of these three a row of NaN where a structure has none.
    weight (S,): of each structure in the loss, None where all are 1. force_mask (N, 3) bool: which components
    of F are labels and count in the loss, None where all do. charge, multiplicity (S,): what structures say
    of themselves, NaN where one says nothing, None where none does (see `structures.electrons`). `source` and
    `units` (as in the file) are for the record.
    """

    Z: np.ndarray
    R: np.ndarray
    ptr: np.ndarray
    E: np.ndarray | None = field(default=None, kw_only=True)
    F: np.ndarray | None = field(default=None, kw_only=True)
    cells: np.ndarray
    pbc: np.ndarray
    source: str = ""
    units: str = "eV, Ang"
    stress: np.ndarray | None = None
    dipole: np.ndarray | None = None
    polarizability: np.ndarray | None = None
    weight: np.ndarray | None = None
    force_mask: np.ndarray | None = None
    charge: np.ndarray | None = None
    multiplicity: np.ndarray | None = None

    @classmethod
    def from_atoms(cls, frames: Sequence[Atoms], *, source: str = "", units: str = "eV, Ang"):
        """Pack labelled Atoms (labels in their calculator: eV, eV/Å, eV/Å³, e·Å).

        Stress, dipole and polarizability may be there in some frames only (crystals beside molecules). The
        stress of a structure without a volume says nothing and is left out. ASE's results know no
        polarizability: it is looked for in ``info["polarizability"]``, (3, 3) in e²Å²/eV, ASE's unit; and
        weights in ``info["loss_weight"]``. Force components that do not count are those that an array
        ``move_mask`` or ``force_mask`` has False for, and those of atoms under FixAtoms or FixCartesian that
        are exactly zero: a fixed atom whose force is known is a label as any other.

        Raises ValueError for no frames, empty frames, elements beyond the network's, labels that are not
        finite, and energies or forces that are present in some frames but not in all, since a loss
        cannot tell a missing label from a wrong one.
        """
        labels = {name: [_result(a, name) for a in frames] for name in PROPERTIES}
        arrays = packed([Frame.of(a) for a in frames], labels)
        return cls(**arrays, source=source, units=units)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def n_atoms(self) -> np.ndarray:
        """Atoms per structure, (S,)."""
        return np.diff(self.ptr)

    @property
    def elements(self) -> list[int]:
        """Sorted atomic numbers that occur."""
        return np.unique(self.Z).tolist()

    @property
    def told_per_atom(self) -> bool:
        """Energy errors mean something per atom only: some are periodic, or they differ in size."""
        return bool(self.pbc.any() or np.ptp(self.n_atoms))

    @property
    def volumes(self) -> np.ndarray:
        """Å³ of each structure, (S,); see `volumes_of`."""
        return volumes_of(self.cells, self.pbc)

    def subset(self, indices: np.ndarray) -> Dataset:
        """The structures `indices`, in that order."""
        indices = np.asarray(indices)
        atoms = concatenated_ranges(self.ptr[indices], self.n_atoms[indices])
        return replace(
            self,
            Z=self.Z[atoms],
            R=self.R[atoms],
            ptr=np.concatenate([[0], self.n_atoms[indices].cumsum()]),
            E=None if self.E is None else self.E[indices],
            F=None if self.F is None else self.F[atoms],
            cells=self.cells[indices],
            pbc=self.pbc[indices],
            stress=_rows_of(self.stress, indices),
            dipole=_rows_of(self.dipole, indices),
            polarizability=_rows_of(self.polarizability, indices),
            weight=None if self.weight is None else self.weight[indices],
            charge=_rows_of(self.charge, indices),
            multiplicity=_rows_of(self.multiplicity, indices),
            force_mask=None if self.force_mask is None else self.force_mask[atoms],
        )

    def atoms(self, structure: int) -> Atoms:
        """Structure number `structure` as bare Atoms (no labels)."""
        part = slice(self.ptr[structure], self.ptr[structure + 1])
        return Atoms(
            self.Z[part], self.R[part], cell=self.cells[structure], pbc=self.pbc[structure]
        )

    def compositions(self) -> np.ndarray:
        """How many atoms of each atomic number each structure has, (S, 100)."""
        counts = np.zeros((len(self), MAX_ELEMENTS))
        np.add.at(counts, (np.repeat(np.arange(len(self)), self.n_atoms), self.Z), 1.0)
        return counts

    def fingerprint(self) -> str:
        """sha256 over structures and labels: the same data give the same digest, whatever the file."""
        digest = hashlib.sha256()
        for array in (self.Z, self.R, self.ptr, self.E, self.F, self.cells, self.pbc):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        later = (self.stress, self.dipole, self.polarizability, self.weight, self.force_mask)
        for array in later:
            if array is not None:  # without them the digest is that of version 0.1
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _result(atoms: Atoms, name: str):
    return None if atoms.calc is None else atoms.calc.results.get(name)


def _rows_of(rows: np.ndarray | None, indices: np.ndarray) -> np.ndarray | None:
    return None if rows is None else none_if_empty(rows[indices])


def concatenated_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[start, start+1, ..., start+length-1] of each pair, joined: the rows of a CSR selection."""
    ends = lengths.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


def sampled_distances(
    dataset: Dataset, cutoff: float, gap: float = 0.2
) -> dict[str, list[list[float]]]:
    """Pair name -> intervals [low, high] in Å of the distances below `cutoff` that occur.

    Distances more than `gap` Å apart belong to two intervals: a bond and the next neighbours, say.
    """
    # For each pair of elements the nearest and farthest distance in bins of width `gap`, within which all
    # is one interval anyhow: nothing is lost, and 134 thousand molecules need little more memory than one.
    n_bins = int(cutoff / gap) + 1
    low = np.full((MAX_ELEMENTS, MAX_ELEMENTS, n_bins), np.inf)
    high = np.full_like(low, -np.inf)
    data = (dataset.R, dataset.ptr, dataset.cells, dataset.pbc)
    for part, pairs in pair_blocks(*data, cutoff):
        first = np.repeat(dataset.ptr[part], pairs.n_pairs)
        i, j = first + pairs.idx_i, first + pairs.idx_j
        distances = np.linalg.norm(dataset.R[j] - dataset.R[i] + pairs.shifts, axis=1)
        z_i, z_j = dataset.Z[i], dataset.Z[j]
        bins = (np.minimum(z_i, z_j), np.maximum(z_i, z_j), (distances / gap).astype(np.int64))
        np.minimum.at(low, bins, distances)
        np.maximum.at(high, bins, distances)
    result = {}
    for z_i, z_j in np.argwhere(np.isfinite(low).any(axis=2)):
        filled = np.isfinite(low[z_i, z_j])
        near, far = low[z_i, z_j, filled], high[z_i, z_j, filled]
        begins = np.append(True, near[1:] - far[:-1] > gap)
        ends = np.append(begins[1:], True)
        result[pair_name(z_i, z_j)] = [
            [float(a), float(b)] for a, b in zip(near[begins], far[ends], strict=True)
        ]
    return result
