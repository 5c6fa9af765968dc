"""DeltaCalculator: a cheap method plus a network of what is missing to a better one."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed, InputError

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.model_directories import ModelFileError
from ase_schnet.modelfile import TrainedModel
from ase_schnet.results import STRESS, STRESS_COMMITTEE, STRESS_ERRORS, Results
from ase_schnet.structures.electrons import MIXED

ENERGIES, FORCES = ("energy", "free_energy", "energy_committee"), ("forces", "forces_committee")


class DeltaCalculator(SchNetCalculator):
    """Evaluate a model of differences and add its baseline, the cheap method that it was trained against.

    A step costs an evaluation of the baseline (GFN2-xTB: some milliseconds for a small molecule). The model
    is as accurate as its dear labels allow, because the difference of two methods is small and smooth (R.
    Ramakrishnan et al., J. Chem. Theory Comput. 2015, 11, 2087, doi:10.1021/acs.jctc.5b00099). Standard
    deviations and error bars are those of the differences. There are no energies of atoms, and a stress only
    where the baseline has one.

    The parameters are those of :class:`SchNetCalculator`. The model names its baseline: ``ase-schnet train
    --baseline gfn2-xtb`` makes such a model, and ``--pretrain`` leaves one in ``MODEL_DIR/teacher``.

    Raises
    ------
    ModelFileError
        The model has no baseline, or is for several charges or multiplicities; and what
        :class:`SchNetCalculator` raises.
    ValueError
        The program of the baseline is not installed.
    """

    def _load(self) -> None:
        super()._load()
        self._described = None  # numbers and pbc that the baseline can describe
        without = (
            "energies",
            *(() if self._has_stress() else (*STRESS, *STRESS_COMMITTEE, *STRESS_ERRORS)),
        )
        self.implemented_properties = [p for p in self.implemented_properties if p not in without]

    def _divided(self, trained: TrainedModel) -> tuple[TrainedModel, BaseCalculator]:
        """Return the model as it is evaluated, and its baseline."""
        if trained.baseline is None:
            raise ModelFileError(
                f"{trained.path} holds whole energies and no difference to a baseline: use SchNetCalculator"
            )
        return replace(trained, baseline=None), _baseline(trained)

    def _whole(self, results: Results, atoms: Atoms) -> Results:
        """Return the results with those of the baseline added.

        InputError if it cannot describe the structure, CalculationFailed if it fails.
        """
        plain = Atoms(atoms.numbers, atoms.positions)
        if self.trained.pbc:  # a box of vacuum would be a crystal to the baseline
            plain.set_cell(atoms.cell)
            plain.set_pbc(atoms.pbc)
        added = {"energy": ENERGIES, "forces": FORCES}
        added |= {"stress": STRESS} if "stress" in results and self._has_stress() else {}
        # `predict` comes here without the lock, and a program computes one structure at a time
        with self._lock:
            self._require_described(plain)
            try:
                found = {name: self._baseline.get_property(name, plain) for name in added}
            except (CalculationFailed, InputError, RuntimeError) as error:
                raise CalculationFailed(f"{self.trained.baseline} failed: {error}") from error
        whole = Results({}, {}, results.errors)
        for name, names in added.items():
            for key in (key for key in names if key in results):
                total = results[key] + found[name]
                whole[key] = np.ascontiguousarray(total) if np.ndim(total) else float(total)
        for key in ("energy_std", "forces_std", *(STRESS_COMMITTEE if "stress" in whole else ())):
            if key in results:
                whole[key] = results[key]
        return whole

    def _require_described(self, plain: Atoms) -> None:
        """Refuse, with InputError, what the baseline would compute as something else, such as a slab."""
        kind = plain.numbers.tobytes(), plain.pbc.tobytes()
        if kind != self._described:
            reference, charge, _ = _method(self.trained)
            reference.require_supported(plain, charge)
            self._described = kind

    def _has_stress(self) -> bool:
        return "stress" in self._baseline.implemented_properties

    def sibling(self) -> Self:
        """Return a calculator for another thread, with its own baseline; ValueError if there is but one."""
        other = super().sibling()
        other._baseline = _baseline(self.trained)
        if other._baseline is self._baseline:
            raise ValueError(
                f"threads need a baseline each, and {self.trained.baseline} is one calculator: let that name "
                "be a function that returns a new one"
            )
        return other

    def __getstate__(self):
        return super().__getstate__() | {"_baseline": None}  # programs of others cannot be pickled

    def __setstate__(self, state):
        super().__setstate__(state)
        self._baseline = _baseline(self.trained)


def _baseline(trained: TrainedModel) -> BaseCalculator:
    """Return the calculator of the baseline of a model, for the charge and multiplicity of its card."""
    reference, charge, multiplicity = _method(trained)
    return reference.calculator(charge, multiplicity)


def _method(trained: TrainedModel) -> tuple[Reference, int, int | None]:
    """Return the baseline of a model, and charge and multiplicity (None: the lowest) of its card."""
    charge, multiplicity = trained.card.get("charge", 0), trained.card.get("multiplicity")
    if MIXED in (charge, multiplicity):
        raise ModelFileError(
            f"{trained.path} was trained on several charges or multiplicities, and {trained.baseline} "
            "needs to know which"
        )
    known = multiplicity if isinstance(multiplicity, int) else None  # a word: the lowest
    return read_reference(trained.baseline), int(charge), known
