"""Errors, spread and calibration of an ensemble on labels that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from tqdm import tqdm

from ase_schnet.applicability.model import electrons_mismatch
from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.prediction import Engine, Structure, predictions_of
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import half_list
from ase_schnet.structures.electrons import Electrons
from ase_schnet.uncertainty.bars import ROUNDED_STD
from ase_schnet.uncertainty.committee import (
    Calibration,
    calibrate_std,
    can_judge,
    committee_mean_std,
    coverage,
)
from ase_schnet.uncertainty.conformal import Residuals


@dataclass(frozen=True, eq=False)
class Quantity:
    """Hold n labels of one quantity and the predictions of M members, in eV, eV/Å or eV/Å³.

    Attributes
    ----------
    name
        ``"energy"``, ``"forces"`` or ``"stress"``.
    unit
        Unit of printed errors, a thousandth of the unit of the numbers: ``"meV"``, ``"meV/Å"``.
    members
        (M, n), predictions.
    reference
        (n,), labels.
    """

    name: str
    unit: str
    members: np.ndarray
    reference: np.ndarray

    @property
    def unit_in_names(self) -> str:
        """Return the unit as names of metrics have it: ``"meV_per_Ang"``."""
        return self.unit.replace("/", "_per_").replace("Å³", "Ang3").replace("Å", "Ang")

    @property
    def mean(self) -> np.ndarray:
        """Return the mean of the members, (n,)."""
        return self.members.mean(axis=0)

    @property
    def error(self) -> np.ndarray:
        """Return mean − reference, (n,)."""
        return self.mean - self.reference

    @property
    def std(self) -> np.ndarray:
        """Return the sample standard deviation of the members, (n,); zero where it is only rounding."""
        std = committee_mean_std(self.members)[1]
        return np.where(std > ROUNDED_STD * np.sqrt((std**2).mean()), std, 0.0)

    def coverage(self, levels: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Return the fraction of errors within the central intervals of a normal distribution.

        Parameters
        ----------
        levels
            (L,), probabilities of the intervals.
        scale
            The standard deviation of the normal distribution is scale · std.
        """
        known = self.std > 0  # a std that is zero by symmetry has no information
        return coverage(self.error[known] / (scale * self.std[known]), levels)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold the predictions of M members and the labels of S structures with N atoms in all.

    Attributes
    ----------
    energies
        (M, S), eV.
    forces
        (M, N, 3), eV/Å.
    reference_energies
        (S,), eV; None without labels.
    reference_forces
        (N, 3), eV/Å; None without labels.
    stress
        (M, S, 6), eV/Å³, in ASE's order and sign; None if all structures are molecules.
    reference_stress
        (S, 6), eV/Å³; None without labels, rows of NaN for structures without labels.
    numbers
        (N,), atomic numbers.
    ptr
        (S + 1,), first atom of each structure, and N.
    n_atoms
        (S,), given if energies are to be printed per atom: structures are periodic or of several sizes.
    labelled_atoms
        (N,) bool, atoms with labels of all three force components; None: all atoms.
    """

    energies: np.ndarray
    forces: np.ndarray
    reference_energies: np.ndarray | None
    reference_forces: np.ndarray | None
    numbers: np.ndarray
    ptr: np.ndarray
    stress: np.ndarray | None = None
    reference_stress: np.ndarray | None = None
    n_atoms: np.ndarray | None = None
    labelled_atoms: np.ndarray | None = None

    def quantities(self, *, total_energies: bool = False) -> list[Quantity]:
        """Return the quantities that have labels: energies, components of forces and of the stress.

        Parameters
        ----------
        total_energies
            Energies are per structure. Otherwise they are per atom if `n_atoms` is known.
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
        """Return the errors of the mean of the members, and the average error of one member.

        The keys name quantity, kind of error and unit. Energies are per structure, and also per atom if
        `n_atoms` is known. Forces are per Cartesian component, stress per Voigt component.
        """
        result: dict = {"n_structures": self.energies.shape[1], "n_atoms": self.forces.shape[1]}
        by_unit = {q.unit: q for q in self.quantities(total_energies=True) + self.quantities()}
        for q in by_unit.values():
            unit = q.unit_in_names
            of_a_member = np.abs(q.members - q.reference).mean()
            result[f"{q.name}_mae_{unit}"] = 1000.0 * float(np.abs(q.error).mean())
            result[f"{q.name}_rmse_{unit}"] = 1000.0 * float(np.sqrt((q.error**2).mean()))
            result[f"{q.name}_mae_of_a_member_{unit}"] = 1000.0 * float(of_a_member)
            if q.name == "stress":
                result["n_stress"] = len(q.reference) // 6
            if q.name == "forces":
                result["n_forces"] = len(q.reference)
        return result

    def spread(self) -> dict:
        """Return smallest, largest and mean std (docs/sources.md, cross-validation and its tables).

        Energies are in eV per structure, the force components x, y and z in eV/Å. The components of the
        stress, if it has labels, are taken together, in eV/Å³.
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
        """Return the calibration of energies, force and stress components, and forces per atom.

        A quantity with too few predictions, or with equal predictions, is left out: see `can_judge`.
        """
        pairs = {q.name: (q.error, q.std) for q in self.quantities()}
        if "forces" in pairs:
            # rms over the three components: the z-scores remain those of one component
            pairs["forces_per_atom"] = tuple(
                np.sqrt((v.reshape(-1, 3) ** 2).mean(axis=1)) for v in pairs["forces"]
            )
        return {k: calibrate_std(*pair) for k, pair in pairs.items() if can_judge(*pair)}

    def residuals(self) -> Iterator[Residuals]:
        """Yield predictions and labels of one structure after the other, to fit intervals to."""
        forces, stress = self.reference_forces, self.reference_stress
        if forces is not None and self.labelled_atoms is not None:
            forces = np.where(self.labelled_atoms[:, None], forces, np.nan)
        for s in range(len(self.ptr) - 1):
            part = slice(self.ptr[s], self.ptr[s + 1])
            has_stress = stress is not None and not np.isnan(stress[s, 0])
            yield Residuals(
                self.numbers[part],
                self.energies[:, s],
                None if self.reference_energies is None else float(self.reference_energies[s]),
                self.forces[:, part],
                None if forces is None else forces[part],
                self.stress[:, s] if self.stress is not None and has_stress else None,
                stress[s] if stress is not None and has_stress else None,
            )


def compare(engine: Engine, dataset: Dataset) -> Comparison:
    """Evaluate every structure of a data set with all members, and return predictions and labels.

    Parameters
    ----------
    engine
        An engine of `inference`, see `open_engine`.
    dataset
        Structures and labels.

    Raises
    ------
    ValueError
        A structure has an element that the model was not trained on, is periodic although the model was
        trained on molecules, or states another charge or multiplicity than the model.
    """
    engine.model.require_elements(dataset.elements)
    _require_electrons(engine.model, dataset)
    periodic = np.flatnonzero(dataset.pbc.any(axis=1))
    if len(periodic) and not engine.model.pbc:
        raise ValueError(
            f"model {engine.model.path} was trained on molecules, but {len(periodic)} of "
            f"{len(dataset)} structures are periodic (first: {periodic[0]}). If the box has no meaning, "
            "remove it with ase_schnet.structures.box.without_box(atoms) (--no-pbc)"
        )
    energies, forces, virials = [], [], []
    structures = structures_of(dataset, engine.model.config["cutoff"])
    bar = {"desc": "evaluate", "unit": "structure", "total": len(dataset), "disable": None}
    for prediction in tqdm(predictions_of(engine, structures), **bar):
        energies.append(prediction.energies)
        forces.append(prediction.forces)
        virials.append(prediction.virials)
    return Comparison(
        np.stack(energies, axis=1),
        np.concatenate(forces, axis=1),
        dataset.E,
        dataset.F,
        dataset.Z,
        dataset.ptr,
        stress=_stress(np.stack(virials, axis=1), dataset) if len(periodic) else None,
        reference_stress=dataset.stress,
        n_atoms=dataset.n_atoms if dataset.per_atom_metrics else None,
        labelled_atoms=None if dataset.force_mask is None else dataset.force_mask.all(axis=1),
    )


def structures_of(dataset: Dataset, cutoff: float) -> Iterator[Structure]:
    """Yield numbers, positions and pairs within the cutoff (Å) of each structure of a data set."""
    for s in range(len(dataset)):
        part = slice(dataset.ptr[s], dataset.ptr[s + 1])
        pairs = half_list(dataset.R[part], cutoff, dataset.cells[s], dataset.pbc[s])
        yield dataset.Z[part], dataset.R[part], pairs


def _require_electrons(model: TrainedModel, dataset: Dataset) -> None:
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
        wrong = electrons_mismatch(model, said, numbers, dataset.pbc[s])
        if wrong:
            raise ValueError(
                f"structure {s} says it has {wrong}, as model {model.path} was trained on. Use a model of "
                "that state, or correct the file"
            )


def _stress(virials: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the stress (M, S, 6) in eV/Å³ of virials (M, S, 3, 3) in eV; zero for molecules."""
    stress = -virials / dataset.volumes[:, None, None]
    return np.stack([full_3x3_to_voigt_6_stress(member) for member in stress])
