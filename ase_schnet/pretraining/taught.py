"""What the members learn beside the dear structures: the pool, labelled cheap method + difference.

The difference of the two methods is a network itself, one member for each fold: the teacher. It is small and
smooth near the dear structures, and nothing is known of it where it is large or its members disagree. There,
a structure keeps the labels of the cheap method (with the median difference of the energies per atom), which
has the right shape where bonds break. Members that all learnt these would agree where all may be wrong: so
each learns them shifted by its own multiple of what a second cheap method says differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset, join
from ase_schnet.data.pairs import extent_of
from ase_schnet.evaluation import structures_of
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import predictions_of
from ase_schnet.modelfile import TrainedModel
from ase_schnet.pretraining.difference import quiet_weights
from ase_schnet.pretraining.given_pool import NO_ORIGIN
from ase_schnet.pretraining.pool import BOND_BREAKING, THERMAL, origins
from ase_schnet.pretraining.settings import Pretraining
from ase_schnet.runtime.files import whole_file
from ase_schnet.training.stored import StoredDataset, damaged

#: From structures with labels of the cheap method to the differences of a second one, (S,) in eV and (N, 3)
#: in eV/Å, with a median of zero over the dear structures.
Contrast = Callable[[Dataset], tuple[NDArray, NDArray]]

#: The difference is not known where the mean over the members is, on an atom, longer than the first, or their
#: standard deviation of a component larger than the second times its root mean square on the dear structures.
FAR_DIFFERENCE, FAR_STD = 6.0, 1.0


@dataclass(frozen=True)
class Taught:
    """Give each member the pool with the labels of its own teacher.

    Attributes
    ----------
    directory
        Where `write` has put the pool and what the teacher says of it.
    settings
        Weights, and the share of the dear structures.
    level_of_theory
        Of the cheap method.
    """

    directory: Path
    settings: Pretraining
    level_of_theory: str

    @property
    def _pool(self) -> StoredDataset:
        return StoredDataset(self.directory / "pool.npz")

    @property
    def _teacher(self) -> Path:
        return self.directory / "teacher.npz"

    @property
    def written(self) -> bool:
        """Whether all files are there."""
        return self._teacher.exists()

    def write(
        self,
        pool: list[Atoms],
        teacher: TrainedModel,
        difference: Dataset,
        dear: NDArray,
        contrast: Contrast,
    ) -> None:
        """Write the pool and the difference of every member of the teacher at its structures.

        Parameters
        ----------
        pool
            Structures with labels of the cheap method.
        teacher
            The network of the difference.
        difference, dear
            The dear structures with differences as labels, and their numbers in the data.
        contrast
            Returns what the second method says differently of structures.
        """
        cheap = Dataset.from_atoms(pool, source=f"pool, {self.level_of_theory}")
        cheap = replace(cheap, stress=None)  # of the cheap method: the teacher corrects it nowhere
        energies, forces = _evaluate(teacher, cheap)  # (M, S), (M, N, 3)
        rms = _rms_force(difference)
        mean = np.linalg.norm(forces.mean(axis=0), axis=1)  # (N,)
        unsure = mean > FAR_DIFFERENCE * rms
        if len(forces) > 1:
            unsure |= (forces.std(axis=0, ddof=1) > FAR_STD * rms).any(axis=1)
        far = np.logical_or.reduceat(unsure, cheap.ptr[:-1])
        kinds = np.array([str(atoms.info["sampled_by"]) for atoms in pool])
        breaking = np.isin(kinds, BOND_BREAKING)
        other_energies, other_forces = np.zeros(len(cheap)), np.zeros(cheap.F.shape)
        chosen = np.flatnonzero(far & breaking)
        if len(chosen):
            rows = np.repeat(np.isin(np.arange(len(cheap)), chosen), cheap.n_atoms)
            other_energies[chosen], other_forces[rows] = contrast(cheap.subset(chosen))
        self._pool.write(cheap)
        with whole_file(self._teacher) as file:
            np.savez(
                file,
                energies=energies,
                forces=forces.astype(np.float32),
                far=far,
                breaking=breaking,
                other_energies=other_energies,
                other_forces=other_forces.astype(np.float32),
                thermal=kinds == THERMAL,
                origins=origins(pool),
                dear=dear,
                dear_per_atom=difference.E / difference.n_atoms,
            )

    def __call__(self, dataset: Dataset, training: NDArray, fold: int) -> Dataset:
        """Return what member `fold` learns beside the structures `training` of `dataset`.

        These are the structures of the pool that were made from them, and repetitions of themselves.
        """
        try:
            with np.load(self._teacher) as file:
                told = dict(file)
        except (OSError, ValueError, KeyError) as error:
            raise damaged(self._teacher, error) from None
        far, cheap = told["far"], self._pool.read()
        mine = np.isin(told["origins"], [*training, NO_ORIGIN]) & (~far | told["breaking"])
        usual = np.median(told["dear_per_atom"][np.isin(told["dear"], training)])  # eV per atom
        shift = self._shift(fold, len(told["energies"]))
        beyond = usual * cheap.n_atoms + shift * told["other_energies"]
        E = cheap.E + np.where(far, beyond, told["energies"][fold])
        atoms_far, other = np.repeat(far, cheap.n_atoms), shift * told["other_forces"]
        F = cheap.F + np.where(atoms_far[:, None], other, told["forces"][fold])
        rms = _rms_force(dataset.subset(training))
        weight = np.where(told["thermal"], 1.0, self.settings.far_weight) * _softened(F, cheap, rms)
        pool = replace(cheap, E=E, F=F, weight=weight).subset(np.flatnonzero(mine))
        share = self.settings.dear_share
        times = round(share / (1 - share) * len(pool) / len(training))
        if times < 2:
            return pool
        return join(pool, dataset.subset(np.tile(training, times - 1)))

    def _shift(self, fold: int, n_folds: int) -> float:
        """Return the multiple of a member: equal steps about zero, of the spread asked for."""
        if n_folds < 2:
            return 0.0
        steps = np.arange(n_folds) - (n_folds - 1) / 2
        return float(self.settings.second_spread * steps[fold] / steps.std(ddof=1))

    def trained_on(self, cutoff: float) -> dict[str, dict]:
        """Return for the card the level of theory of the pool, and what `extent_of` says at `cutoff` (Å)."""
        pool = self._pool.read()
        return {self.level_of_theory: extent_of(pool, cutoff)}

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        return {"rule": "pretraining", **self.settings.to_dict()}


def _evaluate(model: TrainedModel, dataset: Dataset) -> tuple[NDArray, NDArray]:
    """Return energies (M, S) in eV and forces (M, N, 3) in eV/Å of all members."""
    structures = structures_of(dataset, model.config["cutoff"])
    energies, forces = [], []
    for prediction in predictions_of(Ensemble(model), structures):
        energies.append(prediction.energies)
        forces.append(prediction.forces)
    return np.stack(energies, axis=1), np.concatenate(forces, axis=1)


def _rms_force(dataset: Dataset) -> float:
    """Return the root mean square of the force components that are labels, eV/Å, by `quiet_weights`."""
    counts = np.ones(dataset.F.shape, bool) if dataset.force_mask is None else dataset.force_mask
    weights = np.repeat(quiet_weights(dataset), dataset.n_atoms)[:, None]
    return float(np.sqrt((weights * dataset.F**2)[counts].mean()))


def _softened(F: NDArray, dataset: Dataset, rms: float) -> NDArray:
    """Return 1 / (1 + ⟨F²⟩/rms²) of each structure, (S,): so none of large forces outweighs all others."""
    squares = np.add.reduceat((F**2).mean(axis=1), dataset.ptr[:-1]) / dataset.n_atoms
    return 1.0 / (1.0 + squares / rms**2)
