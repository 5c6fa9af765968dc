"""Reduce the predictions of all processes to mean and standard deviation of the ensemble."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ase_schnet.inference.prediction import Prediction
from ase_schnet.lammps.mpi import Refusal
from ase_schnet.uncertainty.committee import committee_mean_std


class GlobalPrediction(NamedTuple):
    """Hold energy, virial and their spread of all atoms, and the rest of the n own atoms of this process.

    Standard deviations are over the members (ddof = 1), zero where there is only one.
    """

    energy: float  # eV
    energy_std: float  # eV
    virial: np.ndarray  # (3, 3) eV, −∂E/∂ε
    max_forces_std: float  # eV/Å, the largest of any component
    max_atom_std: float  # eV/Å, the largest of an atom, root mean square over x, y, z
    energies: np.ndarray  # (n,) eV
    forces: np.ndarray  # (n, 3) eV/Å
    forces_std: np.ndarray  # (n, 3) eV/Å

    @classmethod
    def of(
        cls,
        comm: Any,
        prediction: Prediction | None,
        members: int,
        error: str = "",
        axes: np.ndarray | None = None,
    ) -> GlobalPrediction:
        """Sum what each process has predicted for its own atoms, in one message.

        Parameters
        ----------
        comm
            mpi4py communicator.
        prediction
            Of this process; None where it failed.
        members
            Their number, M.
        error
            Why it failed; Refusal with the error of any process is raised in all of them.
        axes
            (3, 3); the standard deviations of forces are along its columns. None for x, y, z.
        """
        sums, largest = np.zeros(members + 9), np.zeros(2)
        if prediction is not None:
            forces, forces_std = _mean_std(prediction.forces)
            if axes is not None:
                forces_std = _mean_std(prediction.forces @ axes)[1]
            sums[:members] = prediction.energies
            sums[members:] = prediction.virials.mean(axis=0).ravel()
            per_atom = np.sqrt((forces_std**2).mean(axis=1))
            largest[:] = forces_std.max(initial=0.0), per_atom.max(initial=0.0)
        error, sums, largest = comm.allreduce((error, sums, largest), op=_combine)
        if error:
            raise Refusal(error)
        energy, energy_std = _mean_std(sums[:members])
        return cls(
            energy=float(energy),
            energy_std=float(energy_std),
            virial=sums[members:].reshape(3, 3),
            max_forces_std=float(largest[0]),
            max_atom_std=float(largest[1]),
            energies=prediction.atomic_energies.mean(axis=0),
            forces=forces,
            forces_std=forces_std,
        )


def _combine(a: tuple, b: tuple) -> tuple:
    return a[0] or b[0], a[1] + b[1], np.maximum(a[2], b[2])


def _mean_std(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(members) == 1:
        return members[0], np.zeros_like(members[0])
    return committee_mean_std(members)
