"""From a structure to its results: pairs, engine, error bars, and the watch over what training has seen.

`SchNetCalculator` translates it to ASE, and hands on only structures that the model supports.
"""

from __future__ import annotations

import warnings
from copy import copy

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError

from ase_schnet.applicability.model import limits, require_no_images
from ase_schnet.applicability.structure_watch import uncertain_force
from ase_schnet.atoms_state import AtomsState
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.inference.prediction import AtomsCoincideError, Engine, Prediction
from ase_schnet.inference.survey import Survey
from ase_schnet.inference.training_watch import (
    OutsideTrainingWarning,
    TrainingWatch,
    outside_training,
)
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs, VerletList
from ase_schnet.results import Results, potential_results, stress_volume


class Evaluator:
    """Evaluate structures one after another, with one engine and one list of pairs.

    Parameters
    ----------
    trained
        The model, for its card.
    engine
        Of the model.
    skin
        Of the list of pairs, Å.

    Attributes
    ----------
    engine
        Of the model.
    neighbors
        The list of pairs.
    bars
        The error bars of the model, if it has any.
    """

    def __init__(self, trained: TrainedModel, engine: Engine, skin: float):
        self._trained, self.engine = trained, engine
        self.neighbors = VerletList(trained.config["cutoff"], skin)
        self._watches: list[TrainingWatch] = [TrainingWatch(trained)]
        self.bars = ErrorBars.of(trained)
        self._survey = Survey(trained.config["cutoff"], self._watches[0], self.bars)
        self._no_images: Pairs | None = None
        self._ordinary = True

    @property
    def watch(self) -> TrainingWatch | None:
        """Return what looks whether a structure is outside training; None if it has warned."""
        return next(iter(self._watches), None)  # another thread may take it away

    def sibling(self) -> Evaluator:
        """Return one with an engine of one thread, for structures of the same elements in another thread.

        Weights and error bars are shared, and so is the warning: one of them gives it. ValueError for an
        engine on a GPU.
        """
        if not isinstance(self.engine, Ensemble):
            raise ValueError(
                f"threads share a model on the CPU, not on {self.engine.device}: device='cpu'"
            )
        other = copy(self)
        other.engine, other._no_images = self.engine.sibling(), None
        other.neighbors = VerletList(self.neighbors.cutoff, self.neighbors.skin)
        return other

    def pairs_of(self, atoms: Atoms) -> Pairs:
        """Return the pairs of a structure; InputError for a model of molecules near their images."""
        pairs = self.neighbors.pairs(_positions(atoms), atoms.cell.array, atoms.pbc)
        if not self._trained.pbc and pairs is not self._no_images:  # once for each list
            require_no_images(self._trained, atoms, pairs)
            self._no_images = pairs
        return pairs

    def evaluate(self, atoms: Atoms, state: AtomsState) -> Results:
        """Return the results of a structure and its state; InputError if two atoms are in one place."""
        pairs = self.pairs_of(atoms)
        try:
            prediction = self.engine.evaluate(atoms.numbers, _positions(atoms), pairs)
        except AtomsCoincideError as error:
            raise InputError(str(error)) from None
        return self.results(atoms, state, pairs, prediction)

    def results(
        self, atoms: Atoms, state: AtomsState, pairs: Pairs, prediction: Prediction
    ) -> Results:
        """Return a prediction of a structure as results."""
        volume = stress_volume(atoms) if self._trained.pbc else None
        self._ordinary = self._survey.is_ordinary(state[1], _positions(atoms), pairs)
        errors = self.bars and self.bars.later(state, pairs, ordinary=self._ordinary)
        return potential_results(prediction, volume, errors)

    def warn(self, atoms: Atoms, results: Results, *, new_composition: bool) -> None:
        """Warn, once, if the structure just evaluated is outside what training has seen."""
        if self.watch is not None and (new_composition or not self._ordinary):
            pairs = self.pairs_of(atoms)
            self.warn_of(atoms, pairs, results, new_composition=new_composition)

    def warn_of(
        self, atoms: Atoms, pairs: Pairs, results: Results, *, new_composition: bool
    ) -> None:
        """Warn, once, if a structure with these pairs and results is outside what training has seen."""
        watch = self.watch
        outside = watch and watch.find(atoms, pairs, new_composition=new_composition)
        if watch and not outside and new_composition:  # not at every step of a run
            outside = self._disagreement(atoms, results)
        if outside:  # once, so that later evaluations do not pay for it
            self._watches.clear()
            warnings.warn(outside, OutsideTrainingWarning, stacklevel=4)

    def _disagreement(self, atoms: Atoms, results: Results) -> str | None:
        """Return in words where the members disagree so that no error bar holds; None without such bars."""
        if self.bars is None or "forces_std" not in results:
            return None
        bounds = limits(self._trained)
        force = uncertain_force(
            atoms,
            results["forces_std"],
            bounds["forces_std_scale"],
            bounds["max_forces_std_eV_per_Ang"],
        )
        return force and outside_training(self._trained, force)

    def forget(self) -> None:
        """Begin anew, in a forked process whose parent was in the middle of an evaluation."""
        self._no_images = None
        self.neighbors = VerletList(self.neighbors.cutoff, self.neighbors.skin)


def _positions(atoms: Atoms) -> np.ndarray:
    return np.asarray(atoms.positions, dtype=np.float64)  # single precision is accepted
