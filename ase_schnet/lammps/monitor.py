"""Watch the forces and the distances of a run where no process has all atoms."""

from __future__ import annotations

import math
import warnings

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from ase_schnet.applicability.distances import COLLISION, avoided_squares, describe_distance
from ase_schnet.applicability.model import limits
from ase_schnet.applicability.structure_watch import DISTANCE_TOLERANCE_ANG
from ase_schnet.inference.pair_checks import pairs_within, pieces_of
from ase_schnet.lammps.potential import LammpsPotential, Neighbourhood
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.runs.explosion import when
from ase_schnet.runs.failures import SimulationStopped

MONITORS = ("stop", "warn", "off")
#: What a process has found, of which the largest counts: how bad it is, and in words.
_Found = tuple[float, str]
_NOTHING: _Found = (-math.inf, "")


class RunMonitor:
    """Act where a force or a distance leaves its limits, as :mod:`~ase_schnet.runs.monitor` does.

    Parameters
    ----------
    action
        "stop", "warn" (once for each cause) or "off"; the same in all processes.
    model
        The ensemble, whose limits these are.
    """

    def __init__(self, action: str, model: TrainedModel):
        self._action = action
        self._said: set[str] = set()
        known = limits(model)
        self._scale = known.get("forces_std_scale", 1.0)
        self._largest = known.get("max_forces_std_eV_per_Ang", math.inf)
        self._ranges, self._cutoff = known["distance_ranges_Ang"], known["cutoff_Ang"]
        self._may_be_alone = np.isin(chemical_symbols, known["known_pieces"])  # by atomic number
        tolerance = DISTANCE_TOLERANCE_ANG
        self._avoided = avoided_squares(model.elements, self._ranges, self._cutoff, tolerance)

    def check(self, potential: LammpsPotential, step: int, timestep_fs: float) -> None:
        """Look at a step, all processes together; raise SimulationStopped, in all, if that is the action."""
        if self._action == "off":
            return
        found = {"force": self._force(potential), "distance": self._distance(potential)}
        new = {cause: text for cause, text in found.items() if text and cause not in self._said}
        if not new:
            return
        message = f"{when(step, step * timestep_fs)}: {'; '.join(new.values())}"
        if self._action == "stop":
            raise SimulationStopped(message)
        self._said.update(new)
        if potential.comm.rank == 0:
            warnings.warn(f"{message} (said once for each cause)", stacklevel=2)

    def _force(self, potential: LammpsPotential) -> str:
        largest = self._scale * potential.answer.max_atom_std
        if largest <= self._largest:
            return ""
        return (
            f"the force on an atom is uncertain by {largest:.2f} eV/Å, the limit is "
            f"{self._largest:.2f} eV/Å"
        )

    def _distance(self, potential: LammpsPotential) -> str:
        """Describe the distance that is farthest outside training, or else an atom without a neighbour."""
        near = potential.neighbourhood()
        there = *near.pairs, near.numbers, near.positions
        odd = pairs_within(*there, self._avoided, math.inf)
        found = self._farthest(near, odd) if len(odd) else self._single(near)
        return potential.comm.allreduce(found, op=max)[1]

    def _farthest(self, near: Neighbourhood, odd: np.ndarray) -> _Found:
        """Return the worst of some pairs, a collision before all others."""
        pairs = Pairs(*(part[odd] for part in near.pairs))
        distances = np.linalg.norm(pairs.vectors(near.positions), axis=1)
        z_i, z_j = near.numbers[pairs.idx_i], near.numbers[pairs.idx_j]
        low, high = np.moveaxis(np.sqrt(np.abs(self._avoided[z_i, z_j])), 2, 0)  # (P, K)
        low = np.where(self._avoided[z_i, z_j, :, 0] < 0, -1.0, low)  # nothing is shorter
        depth = np.minimum(distances[:, None] - low, high - distances[:, None]).max(axis=1)
        radii = covalent_radii[z_i] + covalent_radii[z_j]
        depth += np.where(distances < COLLISION * radii, self._cutoff, 0.0)
        k = int(depth.argmax())
        indices = sorted((near.indices[pairs.idx_i[k]], near.indices[pairs.idx_j[k]]))
        finding = describe_distance(
            int(z_i[k]), int(z_j[k]), indices, distances[k], self._ranges, self._cutoff
        )
        return float(depth[k]), finding.message

    def _single(self, near: Neighbourhood) -> _Found:
        """Return an own atom that has no other within the cutoff, and must not be so."""
        pieces = pieces_of(*near.pairs, near.positions, self._cutoff)[: near.n_own]
        alone = np.flatnonzero((pieces < 0) & ~self._may_be_alone[near.numbers[: near.n_own]])
        if not len(alone):
            return _NOTHING
        name = f"{chemical_symbols[near.numbers[alone[0]]]}{near.indices[alone[0]]}"
        return 0.0, f"{name} has no other atom within {self._cutoff:g} Å"
