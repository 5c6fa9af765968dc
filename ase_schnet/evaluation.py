"""An ensemble held against labels it was not trained on: errors, spread, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from tqdm import tqdm

from ase_schnet.applicability.model import other_electrons
from ase_schnet.data.dataset import Dataset
from ase_schnet.neighbors import half_list
from ase_schnet.structures.electrons import Electrons
from ase_schnet.uncertainty import Calibration, calibrate, can_judge, committee_mean_std, coverage

ROUNDING = 1e-4  # of the rms std; the shear stress of a cubic crystal has that of its last digits


@dataclass(frozen=True)
class Quantity:
    """n labelled numbers beside their predictions by M members, in eV, eV/Å or eV/Å³.

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
        """Mean − reference, (n,)."""
        return self.mean - self.reference

    @property
    def std(self) -> np.ndarray:
        """Sample standard deviation of the members, (n,); zero where symmetry leaves but rounding."""
        std = committee_mean_std(self.members)[1]
        return np.where(std > ROUNDING * np.sqrt((std**2).mean()), std, 0.0)

    def coverage(self, levels: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Fraction of errors inside the central intervals of a normal law of width scale · std."""
        known = self.std > 0  # zero by symmetry says nothing
        return coverage(self.error[known] / (scale * self.std[known]), levels)


@dataclass(frozen=True)
class Comparison:
    """Predictions of M members beside the labels of S structures with N atoms in all.

    energies (M, S) eV, forces (M, N, 3) eV/Å, stress (M, S, 6) eV/Å³ in ASE's order and sign, None for
    molecules alone; reference_* the labels, None where there are none (rows of NaN for stress).
    n_atoms (S,) is given where energies are better told per atom: structures periodic or of many sizes.
    labelled_atoms (N,) bool: whose force is a label in all three components; None: every atom's.
    """

    energies: np.ndarray
    forces: np.ndarray
    reference_energies: np.ndarray | None
    reference_forces: np.ndarray | None
    stress: np.ndarray | None = None
    reference_stress: np.ndarray | None = None
    n_atoms: np.ndarray | None = None
    labelled_atoms: np.ndarray | None = None

    def quantities(self, *, total_energies: bool = False) -> list[Quantity]:
        """What has labels: energies of the structures, components of the forces and of the stress.

        Energies are per atom where `n_atoms` is known, unless `total_energies` are asked for.
        """
        found = []
        if self.reference_energies is not None:
            whole = total_energies or self.n_atoms is None
            unit, size = ("meV", 1) if whole else ("meV/atom", self.n_atoms)
            reference = self.reference_energies / size
            found.append(Quantity("energy", unit, self.energies / size, reference))
        unlabelled = self.labelled_atoms is not None and not self.labelled_atoms.any()
        if self.reference_forces is not None and not unlabelled:
            known = slice(None) if self.labelled_atoms is None else self.labelled_atoms
            members = self.forces[:, known].reshape(len(self.forces), -1)  # (M, 3N)
            found.append(Quantity("forces", "meV/Å", members, self.reference_forces[known].ravel()))
        if self.stress is not None and self.reference_stress is not None:
            known = ~np.isnan(self.reference_stress[:, 0])
            members = self.stress[:, known].reshape(len(self.stress), -1)  # (M, 6K)
            reference = self.reference_stress[known].ravel()
            found.append(Quantity("stress", "meV/Å³", members, reference))
        return found

    def metrics(self) -> dict:
        """Errors of the members' mean and, for comparison, of a member on average; units in the names.

        Energies are per structure, and per atom too where `n_atoms` is known; forces per Cartesian, stress
        per Voigt component.
        """
        result: dict = {"n_structures": self.energies.shape[1], "n_atoms": self.forces.shape[1]}
        told = {q.unit: q for q in self.quantities(total_energies=True) + self.quantities()}
        for q in told.values():
            unit = q.unit.replace("/", "_per_").replace("Å³", "Ang3").replace("Å", "Ang")
            of_a_member = np.abs(q.members - q.reference).mean()
            result[f"{q.name}_mae_{unit}"] = 1000.0 * float(np.abs(q.error).mean())
            result[f"{q.name}_rmse_{unit}"] = 1000.0 * float(np.sqrt((q.error**2).mean()))
            result[f"{q.name}_mae_of_a_member_{unit}"] = 1000.0 * float(of_a_member)
            if q.name == "stress":
                result["n_stress"] = len(q.reference) // 6
        return result

    def spread(self) -> dict:
        """Smallest, largest and mean std over the structures (Table 4 of the implementation report).

        Energy in eV per structure, force components x, y, z in eV/Å, and where there are labels of it the
        components of the stress together in eV/Å³.
        """
        _, energy_std = committee_mean_std(self.energies)
        _, forces_std = committee_mean_std(self.forces)
        columns = {"energy_eV": energy_std} | {
            f"forces_{axis}_eV_per_Ang": forces_std[:, k] for k, axis in enumerate("xyz")
        }
        if self.stress is not None and self.reference_stress is not None:
            columns["stress_eV_per_Ang3"] = committee_mean_std(self.stress)[1].ravel()
        return {
            name: {"min": float(c.min()), "max": float(c.max()), "mean": float(c.mean())}
            for name, c in columns.items()
        }

    def calibration(self) -> dict[str, Calibration]:
        """Of the energies, force and stress components, and the length of the force on each atom.

        A quantity with too few predictions, or predictions all alike (see `can_judge`), is left out.
        """
        pairs = {q.name: (q.error, q.std) for q in self.quantities()}
        if "forces" in pairs:
            # rms over the three components, so that the z-scores stay those of one component
            pairs["forces_per_atom"] = tuple(
                np.sqrt((v.reshape(-1, 3) ** 2).mean(axis=1)) for v in pairs["forces"]
            )
        return {k: calibrate(*pair) for k, pair in pairs.items() if can_judge(*pair)}


def compare(engine, dataset: Dataset) -> Comparison:
    """Evaluate every structure of a data set with all members, by either engine of `inference`.

    Raises ValueError for elements the model was not trained on, for periodic structures with a model of
    molecules, and for structures that say they have another charge or multiplicity than the model.
    """
    engine.model.require_elements(dataset.elements)
    _require_electrons(engine.model, dataset)
    periodic = np.flatnonzero(dataset.pbc.any(axis=1))
    if len(periodic) and not engine.model.pbc:
        raise ValueError(
            f"model {engine.model.path} was trained on molecules, but {len(periodic)} of "
            f"{len(dataset)} structures are periodic (first: {periodic[0]}); "
            "if their box means nothing, take them out of it by ase_schnet.structures.box.without_box(atoms) "
            "(--no-pbc)"
        )
    cutoff = engine.model.config["cutoff"]
    energies, forces, virials = [], [], []
    for s in tqdm(range(len(dataset)), desc="evaluate", unit="structure", disable=None):
        part = slice(dataset.ptr[s], dataset.ptr[s + 1])
        pairs = half_list(dataset.R[part], cutoff, dataset.cells[s], dataset.pbc[s])
        prediction = engine.evaluate(dataset.Z[part], dataset.R[part], pairs)
        energies.append(prediction.energies)
        forces.append(prediction.forces)
        virials.append(prediction.virials)
    return Comparison(
        np.stack(energies, axis=1),
        np.concatenate(forces, axis=1),
        dataset.E,
        dataset.F,
        stress=_stress(np.stack(virials, axis=1), dataset) if len(periodic) else None,
        reference_stress=dataset.stress,
        n_atoms=dataset.n_atoms if dataset.told_per_atom else None,
        labelled_atoms=None if dataset.force_mask is None else dataset.force_mask.all(axis=1),
    )


def _require_electrons(model, dataset: Dataset) -> None:
    if dataset.charge is None and dataset.multiplicity is None:
        return
    nothing = np.full(len(dataset), np.nan)
    charges = nothing if dataset.charge is None else dataset.charge
    multiplicities = nothing if dataset.multiplicity is None else dataset.multiplicity
    for s in range(len(dataset)):
        said = Electrons(
            *(None if np.isnan(x[s]) else float(x[s]) for x in (charges, multiplicities))
        )
        numbers = dataset.Z[dataset.ptr[s] : dataset.ptr[s + 1]]
        wrong = other_electrons(model, said, numbers, dataset.pbc[s])
        if wrong:
            raise ValueError(
                f"structure {s} says it has {wrong}, as model {model.path} was trained on: compare it with "
                "a model of that state, or correct what the file says"
            )


def _stress(virials: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Virials (M, S, 3, 3) in eV as stress (M, S, 6) in eV/Å³; zero for molecules."""
    stress = -virials / dataset.volumes[:, None, None]
    return np.stack([full_3x3_to_voigt_6_stress(member) for member in stress])
