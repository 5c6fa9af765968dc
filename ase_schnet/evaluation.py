"""An ensemble held against labels it was not trained on: errors, spread, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list
from ase_schnet.uncertainty import Calibration, calibrate, committee_mean_std


@dataclass(frozen=True)
class Comparison:
    """Predictions of M members beside the labels of S structures with N atoms in all.

    energies (M, S) eV, forces (M, N, 3) eV/Å; reference_* the labels, None where there are none.
    """

    energies: np.ndarray
    forces: np.ndarray
    reference_energies: np.ndarray | None
    reference_forces: np.ndarray | None

    def metrics(self) -> dict:
        """Errors of the members' mean and, for comparison, of a member on average; units in the names.

        Energies are per structure, forces per Cartesian component.
        """
        result: dict = {"n_structures": self.energies.shape[1], "n_atoms": self.forces.shape[1]}
        for name, unit, values, reference in (
            ("energy", "meV", self.energies, self.reference_energies),
            ("forces", "meV_per_Ang", self.forces, self.reference_forces),
        ):
            if reference is not None:
                error = 1000.0 * (values.mean(axis=0) - reference)
                members = 1000.0 * (values - reference)
                result[f"{name}_mae_{unit}"] = float(np.abs(error).mean())
                result[f"{name}_rmse_{unit}"] = float(np.sqrt((error**2).mean()))
                result[f"{name}_mae_of_a_member_{unit}"] = float(np.abs(members).mean())
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
        """Of the energies, the force components, and the length of the force on each atom."""
        result = {}
        if self.reference_energies is not None:
            mean, std = committee_mean_std(self.energies)
            result["energy"] = calibrate(mean - self.reference_energies, std)
        if self.reference_forces is not None:
            mean, std = committee_mean_std(self.forces)
            error = mean - self.reference_forces
            result["forces"] = calibrate(error, std)
            # rms over the three components, so that the z-scores stay those of one component
            per_atom = [np.sqrt((v**2).mean(axis=1)) for v in (error, std)]
            result["forces_per_atom"] = calibrate(*per_atom)
        return result


def compare(engine: TorchEnsemble, dataset: Dataset) -> Comparison:
    """Evaluate every structure of a data set with all members."""
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
