"""An ensemble held against labels it was not trained on: errors, spread, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list
from ase_schnet.uncertainty import Calibration, calibrate, committee_mean_std, coverage


@dataclass(frozen=True)
class Quantity:
    """n labelled numbers beside their predictions by M members, in eV or eV/Å.

    members (M, n), reference (n,). `unit` is the thousandth in which errors are told.
    """

    name: str
    unit: str
    members: np.ndarray
    reference: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Prediction of the ensemble, (n,)."""
        return self.members.mean(axis=0)

    @property
    def error(self) -> np.ndarray:
        """mean − reference, (n,)."""
        return self.mean - self.reference

    @property
    def std(self) -> np.ndarray:
        """Sample standard deviation of the members, (n,)."""
        return committee_mean_std(self.members)[1]

    def coverage(self, levels: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Fraction of errors inside the central intervals of a normal law of width scale · std."""
        known = self.std > 0  # zero by symmetry says nothing
        return coverage(self.error[known] / (scale * self.std[known]), levels)


@dataclass(frozen=True)
class Comparison:
    """Predictions of M members beside the labels of S structures with N atoms in all.

    energies (M, S) eV, forces (M, N, 3) eV/Å; reference_* the labels, None where there are none.
    """

    energies: np.ndarray
    forces: np.ndarray
    reference_energies: np.ndarray | None
    reference_forces: np.ndarray | None

    def quantities(self) -> list[Quantity]:
        """What has labels: energies of the structures, components of the forces."""
        found = []
        if self.reference_energies is not None:
            found.append(Quantity("energy", "meV", self.energies, self.reference_energies))
        if self.reference_forces is not None:
            members = self.forces.reshape(len(self.forces), -1)  # (M, 3N)
            found.append(Quantity("forces", "meV/Å", members, self.reference_forces.ravel()))
        return found

    def metrics(self) -> dict:
        """Errors of the members' mean and, for comparison, of a member on average; units in the names.

        Energies are per structure, forces per Cartesian component.
        """
        result: dict = {"n_structures": self.energies.shape[1], "n_atoms": self.forces.shape[1]}
        for q in self.quantities():
            unit = q.unit.replace("/Å", "_per_Ang")
            of_a_member = np.abs(q.members - q.reference).mean()
            result[f"{q.name}_mae_{unit}"] = 1000.0 * float(np.abs(q.error).mean())
            result[f"{q.name}_rmse_{unit}"] = 1000.0 * float(np.sqrt((q.error**2).mean()))
            result[f"{q.name}_mae_of_a_member_{unit}"] = 1000.0 * float(of_a_member)
        return result

    def spread(self) -> dict:
        """Smallest, largest and mean std over the structures (Table 4 of the implementation report).

        Energy in eV per structure, force components x, y, z in eV/Å.
        """
        _, energy_std = committee_mean_std(self.energies)
        _, forces_std = committee_mean_std(self.forces)
        columns = {"energy_eV": energy_std} | {
            f"forces_{axis}_eV_per_Ang": forces_std[:, k] for k, axis in enumerate("xyz")
        }
        return {
            name: {"min": float(c.min()), "max": float(c.max()), "mean": float(c.mean())}
            for name, c in columns.items()
        }

    def calibration(self) -> dict[str, Calibration]:
        """Of the energies, the force components, and the length of the force on each atom.

        A quantity with fewer than two positive stds (a single structure, say) is left out.
        """
        pairs = {q.name: (q.error, q.std) for q in self.quantities()}
        if "forces" in pairs:
            # rms over the three components, so that the z-scores stay those of one component
            pairs["forces_per_atom"] = tuple(
                np.sqrt((v.reshape(-1, 3) ** 2).mean(axis=1)) for v in pairs["forces"]
            )
        return {k: calibrate(*pair) for k, pair in pairs.items() if (pair[1] > 0).sum() > 1}


def compare(engine: TorchEnsemble, dataset: Dataset) -> Comparison:
    """Evaluate every structure of a data set with all members.

    Raises ValueError for elements the model was not trained on, and for periodic structures with a model
    of molecules.
    """
    engine.model.require_elements(dataset.elements)
    periodic = np.flatnonzero(dataset.pbc.any(axis=1))
    if len(periodic) and not engine.model.pbc:
        raise ValueError(
            f"model {engine.model.path} was trained on molecules, but {len(periodic)} of "
            f"{len(dataset)} structures are periodic (first: {periodic[0]}); "
            "set their pbc to False if their box means nothing"
        )
    cutoff = engine.model.config["cutoff"]
    energies, forces = [], []
    for s in tqdm(range(len(dataset)), desc="evaluate", unit="structure", disable=None):
        part = slice(dataset.ptr[s], dataset.ptr[s + 1])
        pairs = half_list(dataset.R[part], cutoff, dataset.cells[s], dataset.pbc[s])
        prediction = engine.evaluate(dataset.Z[part], dataset.R[part], pairs)
        energies.append(prediction.energies)
        forces.append(prediction.forces)
    return Comparison(
        np.stack(energies, axis=1), np.concatenate(forces, axis=1), dataset.E, dataset.F
    )
