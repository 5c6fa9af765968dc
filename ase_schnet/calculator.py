"""SchNetCalculator: an ensemble of SchNets as an ASE calculator."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, InputError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.inference.admission import limits, require_finite, require_known
from ase_schnet.inference.engine import open_engine, self_check
from ase_schnet.inference.prediction import AtomsCoincideError, Prediction
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.neighbors import VerletList
from ase_schnet.uncertainty import committee_mean_std

SINGLE = ("energy", "free_energy", "energies", "forces")
COMMITTEE = ("energy_std", "forces_std", "energy_committee", "forces_committee")
STRESS, STRESS_COMMITTEE = ("stress",), ("stress_std",)


class SchNetCalculator(Calculator):
    """Energy, forces, stress and their spread over the ensemble, in eV, eV/Å and eV/Å³.

    Parameters
    ----------
    model : name of a shipped model ("ethanol") or path of a model directory.
    device : "cpu" (compiled, without torch), "cuda", "cuda:1" or "auto" (a GPU when torch finds one).
    dtype : "float64" or "float32", precision of the network.
    skin : Å added to the cutoff of the neighbour list, which is kept until an atom has moved half of it.
    threads : the most the CPU may use for a large structure; None: OMP_NUM_THREADS, else every core.
    repulsion : "zbl" lets atoms repel below the distances seen in training; None leaves it to the network.

    Results
    -------
    ASE's names mean what ASE says: `energy` and `free_energy` (float), `energies` (N,), `forces` (N, 3) are
    those of the members' mean; so is `stress` (6,), in ASE's order and sign, of models trained on periodic
    structures. With two or more members also `energy_std` (float), `forces_std` (N, 3), `stress_std`
    (6,): sample standard deviations (ddof = 1), as found, not calibrated; `energy_committee` (M,),
    `forces_committee` (M, N, 3).
    One evaluation fills all of them.

    ASE's base class compares and copies the Atoms for longer than a molecule's network takes. Here a state
    is known by the bytes of its positions, numbers, cell and pbc; `calc.atoms` is made when asked for.
    Threads may share a calculator: `get_property`, and so `atoms.get_forces()`, waits for the others and
    answers for its own Atoms, while `calc.results` is of whichever came last.

    Raises
    ------
    ModelFileError (a ValueError) : unknown, damaged or newer model.
    InputError : structures the model cannot describe: empty, positions that are not finite, elements it was
        not trained on, periodic although it was trained on molecules, two atoms in one place.
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
        repulsion: str | None = None,
        **kwargs,
    ):
        self._lock = threading.RLock()
        self._checked = None  # numbers, cell and pbc found to be within the model
        kwargs |= {"device": device, "dtype": dtype, "skin": skin, "threads": threads}
        super().__init__(model=str(model), repulsion=repulsion, **kwargs)

    def set(self, **kwargs) -> dict:
        """Change parameters; the model is loaded anew when one of them differs."""
        unknown = set(kwargs) - {"model", "device", "dtype", "skin", "threads", "repulsion"}
        if unknown:
            raise ValueError(f"SchNetCalculator has no parameter {', '.join(sorted(unknown))}")
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
        if not p.skin >= 0:
            raise ValueError(f"skin must be >= 0 Å, got {p.skin}")
        trained = load_model(p.model)
        engine = open_engine(trained, p.device, p.dtype, p.threads, p.repulsion)
        self_check(engine)
        self.trained: TrainedModel = trained
        self._engine = engine
        self._neighbors = VerletList(trained.config["cutoff"], p.skin)
        self._checked = None
        # an own list: ASE keeps this on the class, where every calculator would see it
        stress, several = trained.pbc, trained.n_members > 1
        self.implemented_properties = [
            *SINGLE,
            *(STRESS if stress else ()),
            *(COMMITTEE if several else ()),
            *(STRESS_COMMITTEE if stress and several else ()),
        ]

    @property
    def model_info(self) -> dict:
        """Name and checksum of the model and what it runs with, for the record of a run."""
        return {
            "model": self.parameters.model,
            "sha256": self.trained.checksum,
            "device": str(self._engine.device),
            "repulsion": self.parameters.repulsion,
        }

    @property
    def limits(self) -> dict:
        """How far the model may be believed, for `simulation.monitor.Monitor`: see `admission.limits`."""
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
        """What differs from the last evaluation: "positions", "numbers", "cell", "pbc". To the last bit."""
        before, now = self._state, _state(atoms)
        if before == now:
            return []
        if before is None:
            return list(all_changes)
        return [name for name, a, b in zip(_STATE, before, now, strict=True) if a != b]

    def get_property(self, name, atoms=None, allow_calculation=True):
        """As ASE's; the lock keeps another thread's structure out until the answer is handed over."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate all members at `atoms` and fill every property."""
        with self._lock:
            atoms = self.atoms if atoms is None else atoms
            if atoms is None:
                raise InputError("no structure to evaluate: pass atoms")
            state = _state(atoms)
            if state[1:] != self._checked:
                require_known(self.trained, atoms)
                self._checked = state[1:]
            require_finite(atoms)
            positions, numbers, cell = atoms.positions, atoms.numbers, atoms.cell.array
            pairs = self._neighbors.pairs(positions, cell, atoms.pbc)
            try:
                prediction = self._engine.evaluate(numbers, positions, pairs)
            except AtomsCoincideError as error:
                raise InputError(str(error)) from None
            self.results = _results(prediction, self._volume(atoms))
            self._atoms, self._state = None, state

    def _volume(self, atoms: Atoms) -> float | None:
        """In Å³, also of a left-handed cell; None where a stress means nothing."""
        if not (self.trained.pbc and atoms.pbc.any() and atoms.cell.rank == 3):
            return None
        return atoms.cell.volume

    def export_properties(self):
        """ASE's own properties only; its `Properties` knows no committee and raises KeyError on one."""
        everything = self.results
        self.results = {
            k: v for k, v in everything.items() if k not in (*COMMITTEE, *STRESS_COMMITTEE)
        }
        try:
            return super().export_properties()
        finally:
            self.results = everything

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.RLock()


_STATE = {"positions": np.float64, "numbers": np.int64, "cell": np.float64, "pbc": np.bool_}


def _state(atoms: Atoms) -> tuple[bytes, bytes, bytes, bytes]:
    """Everything the energy depends on, as bytes: as cheap to compare as to copy."""
    return (
        atoms.arrays["positions"].tobytes(),
        atoms.arrays["numbers"].astype(np.int64, copy=False).tobytes(),
        atoms.cell.array.tobytes(),
        atoms.pbc.tobytes(),
    )


def _results(prediction: Prediction, volume: float | None) -> dict:
    """ASE's results of a prediction: Python floats and C-contiguous float64 arrays."""
    several, energies = len(prediction.energies) > 1, prediction.energies
    results = {"energy": float(energies.sum() / len(energies))}
    results["free_energy"] = results["energy"]
    results["energies"] = prediction.atomic_energies.mean(axis=0)
    if several:
        results["forces"], results["forces_std"] = committee_mean_std(prediction.forces)
        results["energy_std"] = float(committee_mean_std(energies)[1])
        results["energy_committee"] = energies
        results["forces_committee"] = prediction.forces
    else:
        results["forces"] = prediction.forces[0]
    if volume is not None:
        stresses = full_3x3_to_voigt_6_stress(-prediction.virials / volume)  # (M, 6)
        results["stress"] = stresses.mean(axis=0)
        if several:
            results["stress_std"] = committee_mean_std(stresses)[1]
    return results
