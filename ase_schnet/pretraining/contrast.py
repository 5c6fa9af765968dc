"""What a second cheap method says differently: a measure of how little is known beyond the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.pretraining.difference import Electrons, frames_of
from ase_schnet.runtime.progress import say

#: Dear structures on which the energies of the two methods are brought to one zero.
ALIGNED = 50


@dataclass(frozen=True, eq=False)
class Contrasted:
    """Label structures by a second method and subtract the first.

    Attributes
    ----------
    reference
        The cheap method.
    second
        Text of the second one; None: differences are zero.
    directory
        Where its labels are kept.
    dear
        The dear structures, without labels.
    electrons
        Charge and multiplicity of all structures.
    jobs
        Processes; None: all cores.
    take_over
        Count a process of another host that labels in `directory` as dead.
    """

    reference: Reference
    second: str | None
    directory: Path
    dear: list[Atoms]
    electrons: Electrons
    jobs: int | None = None
    take_over: bool = False

    def __call__(self, pool: Dataset) -> tuple[NDArray, NDArray]:
        """Return energies (S,) in eV and forces (N, 3) in eV/Å of the second method minus those of `pool`.

        Energies count per atom from the median over dear structures. Where the second method fails, the
        difference is zero.
        """
        energies, forces = np.zeros(len(pool)), np.zeros(pool.F.shape)
        if self.second is None:
            return energies, forces
        other = read_reference(self.second)
        say(f"pretraining: {other.level_of_theory} where the difference is not known")
        frames = frames_of(pool, *self.electrons)
        path = self.directory / "second.extxyz"
        result = label_structures(frames, other, path, jobs=self.jobs, take_over=self.take_over)
        zero = self._zero_per_atom(other)
        known = [s for s in range(len(pool)) if s not in result.failures]
        for s, atoms in zip(known, result.frames, strict=True):
            rows = slice(pool.ptr[s], pool.ptr[s + 1])
            energies[s] = atoms.get_potential_energy() - pool.E[s] - zero * len(atoms)
            forces[rows] = atoms.get_forces() - pool.F[rows]
        return energies, forces

    def _zero_per_atom(self, other: Reference) -> float:
        """Return the median difference of the energies per atom on some dear structures, eV."""
        chosen = self.dear[:: max(1, len(self.dear) // ALIGNED)]
        found, expected = (self._per_atom(chosen, method) for method in (other, self.reference))
        both = sorted(found.keys() & expected.keys())
        return float(np.median([found[k] - expected[k] for k in both])) if both else 0.0

    def _per_atom(self, frames: list[Atoms], method: Reference) -> dict[int, float]:
        """Return the energies per atom, eV, by number of the structure; without those that fail."""
        result = label_structures(frames, method, jobs=self.jobs, progress=False)
        known = [k for k in range(len(frames)) if k not in result.failures]
        return {
            k: atoms.get_potential_energy() / len(atoms)
            for k, atoms in zip(known, result.frames, strict=True)
        }
