"""Energy and gradient of one structure in atomic units, as quantum-chemistry programs want them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from threading import Lock

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.evaluator.evaluator import Evaluator
from ase_schnet.external.question import Answer, Question
from ase_schnet.model_directories import ModelFileError, written

#: How long a model that is being written may be half there, s.
PATIENCE_S = 5.0
LENGTHS = {"Ang": 1.0, "Bohr": Bohr}  # in Å


class Responder(SchNetCalculator):
    """Answer one question after another with one model, which is loaded once.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.

    Raises
    ------
    ModelFileError
        If there is no such model.
    """

    def __init__(self, model: str):
        super().__init__(model)
        self._turn = Lock()

    def answer(self, question: Question) -> Answer:
        """Evaluate the model; other threads wait.

        Raises
        ------
        InputError
            If the model does not support the structure, or is of another charge or multiplicity.
        ValueError
            If the question has no structure.
        """
        atoms = structure_of(question)
        with self._turn, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            began = time.perf_counter()
            self._watch_anew()
            atoms.calc = self
            energy = atoms.get_potential_energy() / Hartree
            gradient = -atoms.get_forces() / (Hartree / Bohr) if question.gradient else None
            with_dipole = question.dipole and "dipole" in self.on_request  # not of broken bonds
            dipole = atoms.get_dipole_moment() / Bohr if with_dipole else None
            seconds = time.perf_counter() - began
        return Answer(
            float(energy),
            None if gradient is None else gradient.tolist(),
            None if dipole is None else dipole.tolist(),
            [str(warning.message) for warning in caught],
            seconds,
        )

    def _watch_anew(self) -> None:
        """Let each question have the warning of structures unlike the training, given once otherwise."""
        self.reset()
        self._evaluator = Evaluator(self.trained, self._engine, self.parameters.skin)
        self._checked = None


class Resident:
    """Hold what answers with a model as it lies on the disk: one that is written anew is loaded anew.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.
    announce
        Takes a line when the model was loaded anew.

    Raises
    ------
    ModelFileError
        If there is no such model.
    """

    def __init__(self, model: str, announce: Callable[[str], None] | None = None):
        self._model, self._announce, self._turn = model, announce, Lock()
        self.written = written(model)
        self._responder = Responder(model)

    def current(self) -> Responder:
        """Return what answers with the model of now; other threads wait while it is loaded.

        Raises
        ------
        ModelFileError
            If there is none any more, or it is damaged, and remains so for `PATIENCE_S`.
        """
        with self._turn:
            if self._differs():
                self._load_anew()
            return self._responder

    def _differs(self) -> bool:
        try:
            return written(self._model) != self.written
        except (ModelFileError, OSError):  # between the removal of one and the arrival of the other
            return True

    def _load_anew(self) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                now = written(self._model)
                responder = Responder(self._model)
                if written(self._model) == now:  # else between two files of one model
                    break
            except (ModelFileError, OSError):
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.05)
        self.written, self._responder = now, responder
        if self._announce is not None:
            self._announce(f"{self._model} was written anew, and is loaded anew")


def structure_of(question: Question) -> Atoms:
    """Return the structure that is asked about; ValueError if it is none."""
    unknown = [e for e in question.elements if isinstance(e, str) and e not in atomic_numbers]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no chemical symbol")
    if not question.elements:
        raise ValueError("there is no atom to evaluate")
    numbers = [atomic_numbers[e] if isinstance(e, str) else e for e in question.elements]
    odd = [z for z in numbers if not 0 < z < len(atomic_numbers)]
    if odd:
        raise ValueError(f"there is no element of atomic number {odd[0]}")
    atoms = Atoms(numbers, LENGTHS[question.length] * np.array(question.positions))
    atoms.info.update(charge=question.charge, multiplicity=question.multiplicity)  # are compared
    return atoms


def answer_of(model: str, question: Question) -> Answer:
    """Evaluate a model; raise what :class:`Responder` raises."""
    return Responder(model).answer(question)
