"""SchNetCalculator: an ensemble of SchNets as an ASE calculator."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, InputError, all_changes

from ase_schnet.applicability.model import (
    limits,
    require_electrons,
    require_finite,
    require_known,
    require_no_images,
)
from ase_schnet.dipole.rpr import RotatePredictRotate
from ase_schnet.dipole.store import parts_of
from ase_schnet.inference.engine import self_check
from ase_schnet.inference.options import EngineOptions
from ase_schnet.inference.prediction import AtomsCoincideError
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.inference.training_watch import OutsideTrainingWarning, TrainingWatch
from ase_schnet.modelfile import TrainedModel, lasting_name, load_model
from ase_schnet.neighbors import VerletList
from ase_schnet.results import names_of, part_results, potential_results
from ase_schnet.structures.electrons import NOTHING, stated


class SchNetCalculator(Calculator):
    """Energy, forces, stress and their spread over the ensemble, in eV, eV/Å and eV/Å³.

    Parameters
    ----------
    model : path of a model directory, or name of a shipped model ("ethanol"); one that lies here goes first.
    device : "cpu" (compiled, without torch), "cuda", "cuda:1" or "auto" (a GPU when torch finds one).
    dtype : "float64" or "float32", precision of the network.
    skin : Å added to the cutoff of the neighbour list, which is kept until an atom has moved half of it.
    threads : the most the CPU may use for a large structure; None: OMP_NUM_THREADS, else every core.
    repulsion : "zbl" lets atoms repel below the shortest distances seen in training, where a network alone
        may fall into a hole; nothing changes within them. None leaves it to the network.

    Results
    -------
    ASE's names mean what ASE says: `energy` and `free_energy` (float), `energies` (N,), `forces` (N, 3) are
    those of the members' mean; so is `stress` (6,), in ASE's order and sign, of models trained on periodic
    structures. With two or more members also `energy_std` (float), `forces_std` (N, 3), `stress_std`
    (6,): sample standard deviations (ddof = 1), as found, not calibrated; `energy_committee` (M,),
    `forces_committee` (M, N, 3).
    One evaluation fills all of them. Whoever iterates over `results` meets ASE's names alone, so that
    `SinglePointCalculator(atoms, **calc.results)` works; the others are there for whoever asks, and
    `write_predictions` puts them into files. Of a model directory that has such parts, also `dipole` (3,) in
    e·Å about the centre of mass and `polarizability` (3, 3) in e²Å²/eV, each with its `_std`: computed when
    asked for, so that dynamics that need none pay for none; `on_request` names them.

    ASE's base class compares and copies the Atoms for longer than a molecule's network takes. Here a state
    is known by the bytes of its positions, numbers, cell and pbc; `calc.atoms` is made when asked for.
    Threads may share a calculator: `get_property`, and so `atoms.get_forces()`, waits for the others and
    answers for its own Atoms, while `calc.results` is of whichever came last. A forked process may go on
    with it whatever other threads were computing.

    The first structure that leaves what training has seen, in composition or by a distance, comes with an
    `OutsideTrainingWarning`, whoever asks: a single point, an optimiser or a band of images.

    Raises
    ------
    ModelFileError (a ValueError) : unknown, damaged or newer model.
    InputError : structures the model cannot describe: empty, positions that are not finite, elements it was
        not trained on, near periodic images although it was trained on molecules, another charge or
        multiplicity (info["charge"], info["spin"], initial charges, ...) than the model's,
        two atoms in one place.
    """

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
        self._checked = None  # numbers, cell and pbc found to be within the model
        self._said = NOTHING  # of charge and multiplicity, found to be those of the model
        kwargs |= {"device": device, "dtype": dtype, "skin": skin, "threads": threads}
        super().__init__(model=model, repulsion=repulsion, **kwargs)
        _alive.add(self)

    def set(self, **kwargs) -> dict:
        """Change parameters; the model is loaded anew when one of them differs."""
        unknown = set(kwargs) - {"model", "device", "dtype", "skin", "threads", "repulsion"}
        if unknown:
            raise ValueError(f"SchNetCalculator has no parameter {', '.join(sorted(unknown))}")
        if "model" in kwargs:
            kwargs["model"] = lasting_name(str(kwargs["model"]))
        with self._lock:
            before = dict(self.parameters)
            changed = super().set(**kwargs)
            if changed:
                try:
                    self._load()
                except Exception:  # keep what worked, parameters and model
                    self.parameters.clear()
                    self.parameters.update(before)
                    raise
            return changed

    def _load(self) -> None:
        p = self.parameters
        options = EngineOptions(p.device, p.dtype, p.threads, p.repulsion, p.skin)
        trained = load_model(p.model)
        engine = options.open(trained)
        self_check(engine)
        self.trained: TrainedModel = trained
        self._engine = engine
        self._neighbors = VerletList(trained.config["cutoff"], p.skin)
        self._checked, self._said, self._no_images = None, NOTHING, None
        self._watch: TrainingWatch | None = TrainingWatch(trained)  # until it has warned
        self._parts: dict[str, RotatePredictRotate] = parts_of(trained.path)
        self._orders: dict[str, np.ndarray | None] = {}
        # an own list: ASE keeps this on the class, where every calculator would see it
        self.implemented_properties = names_of(trained.n_members, trained.pbc, self._parts)

    @property
    def on_request(self) -> tuple[str, ...]:
        """Results that are computed when asked for, and not before; of the structure last evaluated."""
        if self._state is None:
            return tuple(self._parts)
        atoms = self.atoms
        return tuple(q for q in self._parts if self._order(q, atoms) is not None)

    @property
    def model_info(self) -> dict:
        """Name and checksum of the model and what it runs with, for the record of a run."""
        return {
            "model": str(self.parameters.model),
            "sha256": self.trained.checksum,
            "device": str(self._engine.device),
            "repulsion": self.parameters.repulsion,
        }

    @property
    def limits(self) -> dict:
        """How far the model may be believed, for `runs.monitor.Monitor`: see `admission.limits`."""
        return limits(self.trained)

    def trained_distance_range(self, symbol_i: str, symbol_j: str, distance: float):
        """Interval (low, high) in Å of i–j distances seen in training that holds `distance`, or None."""
        return self.trained.trained_range(symbol_i, symbol_j, distance)

    @property
    def atoms(self) -> Atoms | None:
        """A copy of the structure last evaluated: its numbers, positions, cell and pbc."""
        if self._atoms is None and self._state is not None:
            positions, numbers, cell, pbc = (
                np.frombuffer(data, dtype)
                for data, dtype in zip(self._state, _STATE.values(), strict=True)
            )
            self._atoms = Atoms(numbers, positions.reshape(-1, 3), cell=cell.reshape(3, 3), pbc=pbc)
        return self._atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._atoms = atoms
        self._state = None if atoms is None else _state(atoms)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What differs from the last evaluation: "positions", "numbers", "cell", "pbc". To the last bit.

        Raises InputError where `atoms` now says that its charge or multiplicity is not the model's.
        """
        self._admit_electrons(atoms)
        before, now = self._state, _state(atoms)
        if before == now:
            return []
        if before is None:
            return list(all_changes)
        return [name for name, a, b in zip(_STATE, before, now, strict=True) if a != b]

    def _admit_electrons(self, atoms: Atoms) -> None:
        said = stated(atoms.info, atoms.arrays)
        if said != self._said:
            require_electrons(self.trained, atoms)
            self._said = said

    def get_property(self, name, atoms=None, allow_calculation=True):
        """As ASE's; the lock keeps another thread's structure out until the answer is handed over."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate all members at `atoms` and fill every property but those `on_request` not asked for."""
        with self._lock:
            atoms = self.atoms if atoms is None else atoms
            if atoms is None:
                raise InputError("no structure to evaluate: pass atoms")
            self._admit_electrons(atoms)
            state = _state(atoms)
            wanted = [q for q in self._parts if q in properties or f"{q}_std" in properties]
            if not (wanted and self.results and state == self._state):
                self._evaluate(atoms, state)
            for quantity in wanted:
                self.results |= self._part_results(quantity, atoms)

    def _evaluate(self, atoms: Atoms, state: tuple[bytes, ...]) -> None:
        new_kind = state[1:] != self._checked
        if new_kind:
            require_known(self.trained, atoms, box_of_vacuum=True)
            self._checked = state[1:]
        require_finite(atoms)
        positions = np.asarray(
            atoms.positions, dtype=np.float64
        )  # single precision is taken as it is
        numbers, cell = atoms.numbers, atoms.cell.array
        pairs = self._neighbors.pairs(positions, cell, atoms.pbc)
        if not self.trained.pbc and pairs is not self._no_images:  # asked once for each list
            require_no_images(self.trained, atoms, pairs)
            self._no_images = pairs
        try:
            prediction = self._engine.evaluate(numbers, positions, pairs)
        except AtomsCoincideError as error:
            raise InputError(str(error)) from None
        self.results = potential_results(prediction, self._volume(atoms))
        self._atoms, self._state = None, state
        if self._watch is not None:
            outside = self._watch.find(atoms, pairs, new_composition=new_kind)
            if outside is not None:  # once, so that nobody pays for it any more
                self._watch = None
                warnings.warn(outside, OutsideTrainingWarning, stacklevel=2)

    def _part_results(self, quantity: str, atoms: Atoms) -> dict:
        part = self._parts[quantity]
        order = self._order(quantity, atoms)
        if order is None:
            raise InputError(
                f"the {quantity} of {self.parameters.model} is that of one molecule, {part.symbols} with the "
                f"bonds it was trained on; {atoms.symbols} is another, periodic, or has broken bonds"
            )
        value = part.predict(atoms.positions[order])
        return part_results(quantity, value.mean, value.std)

    def _order(self, quantity: str, atoms: Atoms) -> np.ndarray | None:
        """In which order the atoms are those of the part; None where they are not."""
        if atoms.pbc.any():
            return None
        guess = self._orders.get(quantity)  # dynamics does not shuffle its atoms
        order = self._parts[quantity].order_of(atoms.numbers, atoms.positions, guess)
        self._orders[quantity] = order
        return order

    def _volume(self, atoms: Atoms) -> float | None:
        """In Å³, also of a left-handed cell; None where a stress means nothing."""
        if not (self.trained.pbc and atoms.pbc.any() and atoms.cell.rank == 3):
            return None
        return atoms.cell.volume

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.RLock()
        _alive.add(self)

    def _leave_other_threads(self) -> None:
        """In a forked process, where the thread that had the lock is not, and what it did is half done."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        self.reset()
        self._checked, self._said, self._no_images = None, NOTHING, None
        self._neighbors = VerletList(self._neighbors.cutoff, self._neighbors.skin)


_alive: weakref.WeakSet[SchNetCalculator] = weakref.WeakSet()


def _after_fork() -> None:
    for calculator in list(_alive):
        calculator._leave_other_threads()


if hasattr(os, "register_at_fork"):  # Windows forks nothing
    os.register_at_fork(after_in_child=_after_fork)


_STATE = {"positions": np.float64, "numbers": np.int64, "cell": np.float64, "pbc": np.bool_}


def _state(atoms: Atoms) -> tuple[bytes, bytes, bytes, bytes]:
    """Everything the energy depends on, as bytes: as cheap to compare as to copy."""
    return (
        atoms.arrays["positions"].astype(np.float64, copy=False).tobytes(),
        atoms.arrays["numbers"].astype(np.int64, copy=False).tobytes(),
        atoms.cell.array.tobytes(),
        atoms.pbc.tobytes(),
    )
