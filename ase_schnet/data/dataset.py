"""Many labelled structures as packed arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.modelfile import MAX_ELEMENTS
from ase_schnet.neighbors import half_list


@dataclass(frozen=True)
class Dataset:
    """S structures with N atoms in all, CSR by structure: atoms ptr[s]:ptr[s+1] belong to s.

    Z (N,) int64 · R (N, 3) Å · ptr (S+1,) · E (S,) eV or None · F (N, 3) eV/Å or None ·
    cells (S, 3, 3) Å · pbc (S, 3) bool · stress (S, 6) eV/Å³ or None, in ASE's Voigt order
    (xx, yy, zz, yz, xz, xy) and sign (tension positive) · dipole (S, 3) e·Å or None ·
    polarizability (S, 3, 3) e²Å²/eV or None: of these three a row of NaN where a structure has none.
    `source` and `units` (as in the file) are for the record.
    """

    Z: np.ndarray
    R: np.ndarray
    ptr: np.ndarray
    E: np.ndarray | None
    F: np.ndarray | None
    cells: np.ndarray
    pbc: np.ndarray
    source: str = ""
    units: str = "eV, Ang"
    stress: np.ndarray | None = None
    dipole: np.ndarray | None = None
    polarizability: np.ndarray | None = None

    @classmethod
    def from_atoms(cls, frames: Sequence[Atoms], *, source: str = "", units: str = "eV, Ang"):
        """Pack labelled Atoms (labels in their calculator: eV, eV/Å, eV/Å³, e·Å).

        Stress, dipole and polarizability may be there in some frames only (crystals beside molecules). The
        stress of a structure without a volume says nothing and is left out. ASE's results know no
        polarizability: it is looked for in ``info["polarizability"]``, (3, 3) in e²Å²/eV, ASE's unit.

        Raises ValueError for no frames, empty frames, elements beyond the network's, labels that are not
        finite, and energies or forces that are present in some frames but not in all, since a loss
        cannot tell a missing label from a wrong one.
        """
        if not frames:
            raise ValueError("no structures: the list of frames is empty")
        counts = np.array([len(a) for a in frames])
        if counts.min() == 0:
            raise ValueError(f"frame {counts.argmin()} has no atoms")
        heaviest = [int(a.numbers.max()) for a in frames]
        if max(heaviest) >= MAX_ELEMENTS:
            worst = int(np.argmax(heaviest))
            raise ValueError(
                f"frame {worst} holds {chemical_symbols[heaviest[worst]]}; the network knows "
                f"elements up to {chemical_symbols[MAX_ELEMENTS - 1]}"
            )
        energies = _labels(frames, "energy")
        forces = _labels(frames, "forces")
        cells, pbc = np.array([a.cell.array for a in frames]), np.array([a.pbc for a in frames])
        return cls(
            Z=np.concatenate([a.numbers for a in frames]).astype(np.int64),
            R=np.concatenate([a.positions for a in frames]),
            ptr=np.concatenate([[0], counts.cumsum()]).astype(np.int64),
            E=None if energies is None else np.array(energies, dtype=np.float64),
            F=None if forces is None else np.concatenate(forces).astype(np.float64),
            cells=cells,
            pbc=pbc,
            source=source,
            units=units,
            stress=_stress_labels(frames, np.isfinite(volumes_of(cells, pbc))),
            dipole=_rows("dipole", (3,), [_result(a, "dipole") for a in frames]),
            polarizability=_rows(
                "polarizability", (3, 3), [a.info.get("polarizability") for a in frames]
            ),
        )

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
        for array in (self.stress, self.dipole, self.polarizability):
            if array is not None:  # without them the digest is that of version 0.1
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _labels(frames: Sequence[Atoms], name: str) -> list | None:
    """Label `name` of every frame, or None when no frame has it."""
    values = [_result(a, name) for a in frames]
    missing = [k for k, value in enumerate(values) if value is None]
    if len(missing) == len(frames):
        return None
    if missing:
        raise ValueError(
            f"{name} found in {len(frames) - len(missing)}/{len(frames)} frames "
            f"(first without: frame {missing[0]}); label every frame or drop those without"
        )
    for k, value in enumerate(values):
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{name} of frame {k} is not finite")
    return values


def _stress_labels(frames: Sequence[Atoms], has_volume: np.ndarray) -> np.ndarray | None:
    """Stress of every frame, (S, 6) in eV/Å³ with rows of NaN, or None when no frame has it."""
    values = [_result(a, "stress") if has_volume[k] else None for k, a in enumerate(frames)]
    voigt = [full_3x3_to_voigt_6_stress(v) if np.shape(v) == (3, 3) else v for v in values]
    return _rows("stress", (6,), voigt)


def _result(atoms: Atoms, name: str):
    return None if atoms.calc is None else atoms.calc.results.get(name)


def _rows(name: str, shape: tuple[int, ...], values: list) -> np.ndarray | None:
    """Labels that some frames may lack, (S, *shape) with rows of NaN, or None when no frame has one."""
    rows = np.full((len(values), *shape), np.nan)
    for k, value in enumerate(values):
        if value is None:
            continue
        if np.shape(value) != shape:
            raise ValueError(f"{name} of frame {k} has shape {np.shape(value)}, expected {shape}")
        rows[k] = value
        if not np.isfinite(rows[k]).all():
            raise ValueError(f"{name} of frame {k} is not finite")
    return _none_if_empty(rows)


def _rows_of(rows: np.ndarray | None, indices: np.ndarray) -> np.ndarray | None:
    return None if rows is None else _none_if_empty(rows[indices])


def _none_if_empty(rows: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(rows).all() else rows


def volumes_of(cells: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """|det cell| in Å³, (S,), of cells (S, 3, 3); infinite where nothing is periodic or a vector is zero.

    So the stress of a molecule, its virial over this volume, is zero and never NaN.
    """
    volumes = np.abs(np.linalg.det(cells))
    return np.where(pbc.any(axis=1) & (volumes > 0), volumes, np.inf)


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
    found: dict[str, list[np.ndarray]] = {}
    for s, (a, b) in enumerate(zip(dataset.ptr[:-1], dataset.ptr[1:], strict=True)):
        pairs = half_list(dataset.R[a:b], cutoff, dataset.cells[s], dataset.pbc[s])
        distances = np.linalg.norm(pairs.vectors(dataset.R[a:b]), axis=1)
        z_i, z_j = dataset.Z[a:b][pairs.idx_i], dataset.Z[a:b][pairs.idx_j]
        keys = np.minimum(z_i, z_j) * MAX_ELEMENTS + np.maximum(z_i, z_j)
        for key in np.unique(keys):
            found.setdefault(key, []).append(distances[keys == key])
    result = {}
    for key, parts in sorted(found.items()):
        values = np.sort(np.concatenate(parts))
        intervals = np.split(values, np.flatnonzero(np.diff(values) > gap) + 1)
        name = pair_name(key // MAX_ELEMENTS, key % MAX_ELEMENTS)
        result[name] = [[float(v[0]), float(v[-1])] for v in intervals]
    return result


def pair_name(z1: int, z2: int) -> str:
    """Name of an element pair, alphabetical: 'H-O'."""
    return "-".join(sorted((chemical_symbols[z1], chemical_symbols[z2])))
