"""DeltaCalculator: a cheap method plus a network of what is missing to a better one."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed, InputError

from ase_schnet.atoms_state import AtomsState
from ase_schnet.calculator import SchNetCalculator
from ase_schnet.labelling.reference import read_reference
from ase_schnet.model_directories import ModelFileError
from ase_schnet.modelfile import TrainedModel
from ase_schnet.results import STRESS, STRESS_COMMITTEE


class DeltaCalculator(SchNetCalculator):
    """Evaluate a model of differences and add its baseline, the cheap method that it was trained against.

    A step costs an evaluation of the baseline (GFN2-xTB: some milliseconds for a small molecule). The model
    is as accurate as its dear labels allow, because the difference of two methods is small and smooth (R.
    Ramakrishnan et al., J. Chem. Theory Comput. 2015, 11, 2087, doi:10.1021/acs.jctc.5b00099). Standard
    deviations are those of the differences.

    The parameters are those of :class:`SchNetCalculator`. The model names its baseline: ``ase-schnet train
    --baseline gfn2-xtb`` makes such a model, and ``--pretrain`` leaves one in ``MODEL_DIR/teacher``.

    Raises
    ------
    ModelFileError
        The model has no baseline; and what :class:`SchNetCalculator` raises.
    ValueError
        The program of the baseline is not installed.
    """

    _baseline: BaseCalculator

    def _accept(self, trained: TrainedModel) -> None:
        if trained.baseline is None:
            raise ModelFileError(
                f"{trained.path} holds whole energies and no difference to a baseline: use SchNetCalculator"
            )
        card = trained.card
        self._baseline = read_reference(trained.baseline).calculator(
            int(card.get("charge", 0)), card.get("multiplicity")
        )

    def _evaluate(self, atoms: Atoms, state: AtomsState) -> None:
        super()._evaluate(atoms, state)
        plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        try:
            energy = self._baseline.get_property("energy", plain)
            forces = self._baseline.get_property("forces", plain)
        except (CalculationFailed, InputError, RuntimeError) as error:
            self.reset()
            raise CalculationFailed(f"{self.trained.baseline} failed: {error}") from error
        results = self.results
        for name in ("energy", "free_energy", "energy_committee"):
            if name in results:
                results[name] = results[name] + energy
        for name in ("forces", "forces_committee"):
            if name in results:
                results[name] = np.ascontiguousarray(results[name] + forces)
        del results["energies"]  # the baseline has no energies of atoms

    def _load(self) -> None:
        super()._load()
        without = ("energies", *STRESS, *STRESS_COMMITTEE)
        self.implemented_properties = [p for p in self.implemented_properties if p not in without]
