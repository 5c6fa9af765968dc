"""SchNetCalculator: an ensemble of SchNets as an ASE calculator."""

from __future__ import annotations

import threading
from copy import deepcopy
from pathlib import Path
from typing import Self

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, InputError, Parameters, all_changes

from ase_schnet.applicability.model import (
    limits,
    require_electrons,
    require_finite,
    require_supported,
)
from ase_schnet.atoms_state import AtomsState, atoms_of, differing_parts, state_of
from ase_schnet.dipole.heads import PropertyHeads
from ase_schnet.evaluator.compiled_forces import CompiledForces
from ase_schnet.evaluator.evaluator import Evaluator
from ase_schnet.evaluator.many import PredictsMany
from ase_schnet.inference.engine import self_check
from ase_schnet.inference.options import EngineOptions
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.modelfile import TrainedModel, lasting_name, load_model
from ase_schnet.results import Results, names_of
from ase_schnet.runtime.forks import repair_when_forked
from ase_schnet.structures.electrons import NOTHING, stated

#: Methods that make the results; a class that changes them is asked at every step of dynamics.
EVALUATING = ("get_property", "calculate", "_evaluate", "_whole")


class SchNetCalculator(PredictsMany, Calculator):
    """Evaluate a SchNet ensemble: energy, forces, stress and their spread, in eV, eV/Å and eV/Å³.

    Parameters
    ----------
    model
        Path of a model directory, or name of a shipped model (``"ethanol"``). A directory of that name in the
        working directory takes precedence.
    device
        ``"cpu"`` (compiled, without torch), ``"cuda"``, ``"cuda:1"``, or ``"auto"``: a GPU if there is one.
    dtype
        ``"float64"`` or ``"float32"``: the precision of the network.
    skin
        Distance in Å that is added to the cutoff of the neighbour list. The list is kept until an atom has
        moved half of it.
    threads
        Largest number of threads for a large structure. None: ``OMP_NUM_THREADS`` where it is set, else one
        per core.
    repulsion
        ``"zbl"`` lets atoms repel each other below the shortest distances of the training data, where the
        network alone can have an unphysical minimum. None: no repulsion is added.

    Raises
    ------
    ModelFileError
        The model is unknown, damaged or of a newer format. It is a ValueError.
    InputError
        The model does not support the structure (see Notes), a position is not finite, or two atoms are in
        one place.

    Notes
    -----
    **Results.** ASE's names have ASE's meaning. ``energy`` and ``free_energy`` (float), ``energies`` (N,) and
    ``forces`` (N, 3) are those of the mean of the members. So is ``stress`` (6,), in ASE's order and sign, of
    a model that was trained on periodic structures. An ensemble of two or more members also has the sample
    standard deviations (ddof = 1, not calibrated) ``energy_std`` (float), ``forces_std`` (N, 3) and
    ``stress_std`` (6,), and the values of all members, ``energy_committee`` (M,) and ``forces_committee``
    (M, N, 3). One evaluation gives all of them. A model with intervals (``ase-schnet info``) also has error
    bars, half-widths that cover nine errors of ten or as the card says: ``energy_error`` (float),
    ``forces_error`` (N, 3), ``stress_error`` (6,); infinite where the structure is unlike all training.

    Models with property heads have ``dipole`` (3,) in e·Å about the centre of mass and ``polarizability``
    (3, 3) in e²Å²/eV, each with its ``_std``, calculated when asked for; ``on_request`` names them.
    Iterating over ``results`` gives ASE's names only, for ``SinglePointCalculator(atoms, **calc.results)``;
    ``results[name]`` finds the others.

    **Not supported.**

    - Elements that the model was not trained on.
    - A charge or spin multiplicity that differs from that of the training data. The structure states it by
      ``info["charge"]``, ``info["spin"]``, ``info["multiplicity"]``, initial charges or magnetic moments.
    - Periodic structures with a model of molecules, unless no atom is near a periodic image.
    - ``stress`` with a model of molecules, or of a structure without three cell vectors.
    - ``stresses``, ``charges``, ``magmom(s)``; interactions beyond the cutoff, such as those of charges.
    - Dipole and polarizability of a periodic structure, or one without the atoms and bonds of their data.

    The first structure whose composition, distances or separate parts are outside the training data gives an
    `OutsideTrainingWarning`; so does the first molecule on whose forces the members disagree beyond all bars.

    **Threads** and forked processes may share a calculator; ``calc.results`` are of the last evaluation.
    """

    parameters: Parameters
    discard_results_on_any_change = True

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        skin: float = 0.5,
        threads: int | None = None,
        repulsion: str | None = DEFAULT_REPULSION,
        **kwargs,
    ):
        self._lock = threading.RLock()
        self._checked = None  # numbers, cell and pbc that the model supports
        self._electrons = None  # atoms, and the charge and multiplicity that they rightly said
        kwargs |= {"device": device, "dtype": dtype, "skin": skin, "threads": threads}
        super().__init__(model=model, repulsion=repulsion, **kwargs)
        repair_when_forked(self)

    def set(self, **kwargs) -> dict:
        """Change parameters, and return those that differ; then the model is loaded again.

        Raises
        ------
        ValueError
            A parameter is unknown or its value impossible. The calculator stays as it was.
        """
        unknown = set(kwargs) - {"model", "device", "dtype", "skin", "threads", "repulsion"}
        if unknown:
            raise ValueError(f"SchNetCalculator has no parameter {', '.join(sorted(unknown))}")
        if "model" in kwargs:
            kwargs["model"] = lasting_name(kwargs["model"])
        with self._lock:
            before = dict(self.parameters)
            if changed := super().set(**kwargs):
                try:
                    self._load()
                except BaseException:  # Ctrl-C too: parameters must be those of the model
                    self.parameters.clear()
                    self.parameters.update(before)
                    raise
            return changed

    def _load(self) -> None:
        p = self.parameters
        options = EngineOptions(p.device, p.dtype, p.threads, p.repulsion, p.skin)
        trained = load_model(p.model)
        evaluated, baseline = self._divided(trained)
        engine = options.open(evaluated)
        self_check(engine)
        evaluator, heads = Evaluator(trained, engine, p.skin), PropertyHeads(trained.path)
        # from here on nothing fails, which would leave a part of either model
        self.trained: TrainedModel = trained
        self._engine, self._baseline = engine, baseline
        self._evaluator, self._heads = evaluator, heads
        self._checked = self._electrons = None
        # a list of this object: ASE keeps it on the class, where every calculator would see it
        self.implemented_properties = names_of(trained, evaluator.bars, heads.quantities)

    def _divided(self, trained: TrainedModel) -> tuple[TrainedModel, Calculator | None]:
        return trained, None

    @property
    def on_request(self) -> tuple[str, ...]:
        """Name the results that are calculated only when asked for, of the structure last evaluated."""
        atoms = self.atoms
        return self._heads.quantities if atoms is None else self._heads.applicable(atoms)

    @property
    def model_info(self) -> dict:
        """Return name and checksum of the model, device and repulsion, for the record of a run."""
        return {
            "model": str(self.parameters.model),
            "sha256": self.trained.checksum,
            "device": str(self._engine.device),
            "repulsion": self.parameters.repulsion,
        }

    @property
    def limits(self) -> dict:
        """Return how far the model can be trusted, for `Monitor`: see `applicability.model.limits`."""
        return limits(self.trained)

    def trained_distance_range(
        self, symbol_i: str, symbol_j: str, distance: float
    ) -> tuple[float, float] | None:
        """Return the interval (low, high) in Å of trained i–j distances that holds `distance`, or None."""
        return self.trained.trained_range(symbol_i, symbol_j, distance)

    @property
    def atoms(self) -> Atoms | None:
        """Return a copy of the structure last evaluated: its numbers, positions, cell and pbc."""
        if self._atoms is None and self._state is not None:
            self._atoms = atoms_of(self._state)
        return self._atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._atoms = atoms
        self._state = None if atoms is None else state_of(atoms)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what differs from the last evaluation: "positions", "numbers", "cell", "pbc", "masses".

        The comparison is exact; `tol` is ignored.

        Raises
        ------
        InputError
            `atoms` states a charge or multiplicity that is not the model's.
        """
        self._check_electrons(atoms)
        before, now = self._state, state_of(atoms)
        changes = list(all_changes) if before is None else differing_parts(before, now)
        return changes + self._heads.changes(self.results, atoms)

    def _check_electrons(self, atoms: Atoms) -> None:
        said = stated(atoms.info, atoms.arrays), atoms.numbers.tobytes(), atoms.pbc.tobytes()
        if said[0] != NOTHING and said != self._electrons:
            require_electrons(self.trained, atoms)
            self._electrons = said

    def get_property(self, name, atoms=None, allow_calculation=True):
        """Return a property, as ASE does; meanwhile other threads wait."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Evaluate all members at `atoms`, and those property heads that `properties` names.

        Raises
        ------
        InputError
            There is no structure, or the model does not support it.
        """
        with self._lock:
            if (atoms := self.atoms if atoms is None else atoms) is None:
                raise InputError("no structure to evaluate: pass atoms")
            self._check_electrons(atoms)
            state = state_of(atoms)
            quantities = self._heads.quantities
            wanted = [q for q in quantities if q in properties or f"{q}_std" in properties]
            if not (wanted and self.results and state == self._state):
                self._evaluate(atoms, state)
            for quantity in wanted:
                self.results |= self._heads.predict(quantity, atoms)

    def _evaluate(self, atoms: Atoms, state: AtomsState) -> None:
        new_elements = self._checked is None or state[1] != self._checked[0]
        if state[1:] != self._checked:
            require_supported(self.trained, atoms, box_of_vacuum=True)
            self._checked = state[1:]
        require_finite(atoms)
        results = self._evaluator.evaluate(atoms, state)
        self.accept(results, atoms, state)
        self._evaluator.warn(atoms, results, new_composition=new_elements)

    def accept(self, results: Results, atoms: Atoms, state: AtomsState) -> None:
        """Make results the calculator's own: those of `atoms`, whose state is `state`."""
        results = self._whole(results, atoms)
        with self._lock:
            # an interrupt must not leave those of another structure
            self._atoms = self._state = None
            self.results, self._state = results, state

    def compiled_forces(self, atoms: Atoms, avoided: np.ndarray | None) -> CompiledForces | None:
        """Return what compiled dynamics evaluates `atoms` with: see `CompiledForces.of`."""
        own = (getattr(type(self), name) is getattr(SchNetCalculator, name) for name in EVALUATING)
        return CompiledForces.of(self, self._evaluator, atoms, avoided) if all(own) else None

    def sibling(self) -> Self:
        """Return a calculator for another thread, on the CPU and of one thread: it shares the weights."""
        other = object.__new__(type(self))  # a copy would make another engine
        vars(other).update(vars(self))
        other.results, other._atoms, other._state = {}, None, None
        other._evaluator = self._evaluator.sibling()
        other._engine, other._lock = other._evaluator.engine, threading.RLock()
        repair_when_forked(other)
        return other

    def __copy__(self) -> Self:
        return deepcopy(self)  # one engine behind two locks would mix the answers of threads

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._lock = threading.RLock()
        repair_when_forked(self)

    def repair_after_fork(self) -> None:
        """Reset it in a forked process: a thread that was using it has left a lock, and work half done."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        self.reset()
        self._checked = self._electrons = None
        self._evaluator.forget()
