"""Many labelled structures as packed arrays, and what the labels say about themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ase_schnet.modelfile import MAX_ELEMENTS
from ase_schnet.neighbors import half_list


@dataclass(frozen=True)
class Dataset:
    """S structures with N atoms in all, CSR by structure: atoms ptr[s]:ptr[s+1] belong to s.

    Z (N,) int64 · R (N, 3) Å · ptr (S+1,) · E (S,) eV or None · F (N, 3) eV/Å or None ·
    cells (S, 3, 3) Å · pbc (S, 3) bool. `source` and `units` (as in the file) are for the record.
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

    @classmethod
    def from_atoms(cls, frames: Sequence[Atoms], *, source: str = "", units: str = "eV, Ang"):
        """Pack labelled Atoms (labels in their calculator, eV and eV/Å).

        Raises ValueError for no frames, empty frames, elements beyond the network's, labels that are not
        finite, and a label that is present in some frames but not in all, since a loss cannot tell a
        missing label from a wrong one.
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
        return cls(
            Z=np.concatenate([a.numbers for a in frames]).astype(np.int64),
            R=np.concatenate([a.positions for a in frames]),
            ptr=np.concatenate([[0], counts.cumsum()]).astype(np.int64),
            E=None if energies is None else np.array(energies, dtype=np.float64),
            F=None if forces is None else np.concatenate(forces).astype(np.float64),
            cells=np.array([a.cell.array for a in frames]),
            pbc=np.array([a.pbc for a in frames]),
            source=source,
            units=units,
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
        return digest.hexdigest()


def _labels(frames: Sequence[Atoms], name: str) -> list | None:
    """Label `name` of every frame, or None when no frame has it."""
    values = [a.calc.results.get(name) if a.calc is not None else None for a in frames]
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


def concatenated_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[start, start+1, ..., start+length-1] of each pair, joined: the rows of a CSR selection."""
    ends = lengths.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


@dataclass(frozen=True)
class LabelStatistics:
    """What the training labels say about shift and scale (papers/pes_loss_functions.txt).

    energy_shift (100,) eV: μ_z, mean atomic energy per species.
    energy_std (100,) eV: σ_z, spread of the atomic energies per species.
    forces_std (100,) eV/Å: η_z, rms force component per species.
    undetermined : how many of the species' shifts the compositions leave free; only their sum over
    each structure is fixed then (one single composition fixes one sum and nothing else).
    """

    energy_shift: np.ndarray
    energy_std: np.ndarray
    forces_std: np.ndarray
    undetermined: int

    def scale(self, present: np.ndarray) -> float:
        """One scale in eV for energy and forces (× 1/Å): the rms force, else the atomic spread."""
        values = self.forces_std[present]
        values = values if np.any(values > 0) else self.energy_std[present]
        scale = float(np.sqrt(np.mean(values**2)))
        return scale if scale > 0 else 1.0


def label_statistics(dataset: Dataset) -> LabelStatistics:
    """Estimate μ_z, σ_z and η_z. Use the training set alone: anything else leaks the test labels.

    Where compositions leave directions free, the solution nearest to "the same for every species" is
    taken (ridge towards the mean per atom).
    """
    species = np.array(dataset.elements)
    counts = dataset.compositions()[:, species]  # (S, E)
    shift, spread, eta = np.zeros((3, MAX_ELEMENTS))
    rank = int(np.linalg.matrix_rank(counts))
    if dataset.E is not None:
        per_atom = counts / dataset.n_atoms[:, None]  # (S, E), rows sum to 1
        shift[species] = _ridge_to_mean(per_atom, dataset.E / dataset.n_atoms)
        residual = dataset.E - counts @ shift[species]  # (S,)
        # variances add over atoms: <r²>/N = Σ_z (n_z/N) σ_z²
        squares = residual**2 / dataset.n_atoms
        variance = _ridge_to_mean(per_atom, squares)
        spread[species] = np.sqrt(np.maximum(variance, 0.01 * squares.mean()))
    if dataset.F is not None:
        everywhere = float((dataset.F**2).mean())
        for z in species:
            eta[z] = np.sqrt((dataset.F[z == dataset.Z] ** 2).mean() or everywhere)
    return LabelStatistics(shift, spread, eta, undetermined=len(species) - rank)


def _ridge_to_mean(per_atom: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Per-species values whose composition average fits `values` (S,), drawn to their mean."""
    mean = values.mean()
    gram = per_atom.T @ per_atom
    ridge = 1e-9 * np.trace(gram) * np.eye(len(gram))
    return mean + np.linalg.solve(gram + ridge, per_atom.T @ (values - mean))


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
