"""SchNetCalculator: an ensemble of SchNets as an ASE calculator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, InputError, all_changes
from ase.data import chemical_symbols

from ase_schnet.inference.prediction import Prediction
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.neighbors import Pairs, VerletList
from ase_schnet.uncertainty import committee_mean_std

COINCIDENT = 1e-6  # Å; nearer than this two atoms have no direction between them
SINGLE = ("energy", "free_energy", "energies", "forces")
COMMITTEE = ("energy_std", "forces_std", "energy_committee", "forces_committee")


class SchNetCalculator(Calculator):
    """Energy, forces and their spread over the ensemble, in eV and eV/Å.

    Parameters
    ----------
    model : name of a shipped model ("ethanol") or path of a model directory.
    device : "cpu", "cuda", "cuda:1" or "auto".
    dtype : "float64" or "float32", precision of the network.
    skin : Å added to the cutoff of the neighbour list, which is kept until an atom has moved half of it.

    Results
    -------
    ASE's names mean what ASE says: `energy` and `free_energy` (float), `energies` (N,), `forces` (N, 3) are
    those of the members' mean. With two or more members also `energy_std` (float), `forces_std` (N, 3):
    sample standard deviations (ddof = 1), as found, not calibrated; `energy_committee` (M,),
    `forces_committee` (M, N, 3).
    One evaluation fills all of them.

    Raises
    ------
    ModelFileError (a ValueError) : unknown, damaged or newer model.
    InputError : structures the model cannot describe: empty, positions that are not finite, elements it was
        not trained on, periodic although it was trained on molecules, two atoms in one place.
    """

    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012 (ASE's name and type)
    discard_results_on_any_change = True

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        skin: float = 0.5,
        **kwargs,
    ):
        super().__init__(model=str(model), device=device, dtype=dtype, skin=skin, **kwargs)

    def set(self, **kwargs) -> dict:
        """Change parameters; the model is loaded anew when one of them differs."""
        unknown = set(kwargs) - {"model", "device", "dtype", "skin"}
        if unknown:
            raise ValueError(f"SchNetCalculator has no parameter {', '.join(sorted(unknown))}")
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
        engine = TorchEnsemble(trained, p.device, p.dtype)
        engine.self_check()
        self.trained: TrainedModel = trained
        self._engine = engine
        self._neighbors = VerletList(trained.config["cutoff"], p.skin)
        # an own list: ASE keeps this on the class, where every calculator would see it
        self.implemented_properties = [*SINGLE, *(COMMITTEE if trained.n_members > 1 else ())]

    @property
    def model_info(self) -> dict:
        """Name and checksum of the model and the device it runs on, for the record of a run."""
        return {
            "model": self.parameters.model,
            "sha256": self.trained.checksum,
            "device": str(self._engine.device),
        }

    def trained_distance_range(self, symbol_i: str, symbol_j: str, distance: float):
        """Interval (low, high) in Å of i–j distances seen in training that holds `distance`, or None."""
        return self.trained.trained_range(symbol_i, symbol_j, distance)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate all members at `atoms` and fill every property."""
        super().calculate(atoms, properties, system_changes)
        self._require_known(self.atoms)
        atoms = self.atoms
        pairs = self._neighbors.pairs(atoms.positions, atoms.cell.array, atoms.pbc)
        _require_apart(atoms, pairs)
        prediction = self._engine.evaluate(atoms.numbers, atoms.positions, pairs)
        self.results = _results(prediction)

    def export_properties(self):
        """ASE's own properties only; its `Properties` knows no committee and raises KeyError on one."""
        everything = self.results
        self.results = {k: v for k, v in everything.items() if k not in COMMITTEE}
        try:
            return super().export_properties()
        finally:
            self.results = everything

    def _require_known(self, atoms) -> None:
        if len(atoms) == 0:
            raise InputError("the structure has no atoms")
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        if len(bad):
            raise InputError(f"positions of atoms {bad[:5].tolist()} are not finite numbers")
        odd = ~np.isin(atoms.numbers, self.trained.elements)
        if odd.any():
            names = sorted({chemical_symbols[z] for z in atoms.numbers[odd]})
            raise InputError(
                f"model {self.parameters.model!r} was not trained on {', '.join(names)} "
                f"(atoms {np.flatnonzero(odd)[:5].tolist()}); it knows "
                f"{', '.join(self.trained.symbols)}"
            )
        if atoms.pbc.any():
            if not self.trained.pbc:
                raise InputError(
                    f"model {self.parameters.model!r} was trained on molecules, the structure is "
                    f"periodic (pbc {atoms.pbc.tolist()}); set atoms.pbc = False"
                )
            cell = atoms.cell.array
            if not np.isfinite(cell).all() or np.any(atoms.cell.lengths()[atoms.pbc] == 0):
                raise InputError(f"the cell {cell.tolist()} does not span the periodic directions")


def _require_apart(atoms, pairs: Pairs) -> None:
    squares = (pairs.vectors(atoms.positions) ** 2).sum(axis=1)
    if len(squares) and squares.min() < COINCIDENT**2:
        k = squares.argmin()
        raise InputError(f"atoms {pairs.idx_i[k]} and {pairs.idx_j[k]} are in the same place")


def _results(prediction: Prediction) -> dict:
    """ASE's results of a prediction: Python floats and C-contiguous float64 arrays."""
    energy = float(prediction.energies.mean())
    results = {
        "energy": energy,
        "free_energy": energy,
        "energies": prediction.atomic_energies.mean(axis=0),
        "forces": np.ascontiguousarray(prediction.forces.mean(axis=0)),
    }
    if len(prediction.energies) > 1:
        results |= {
            "energy_std": float(committee_mean_std(prediction.energies)[1]),
            "forces_std": committee_mean_std(prediction.forces)[1],
            "energy_committee": prediction.energies,
            "forces_committee": prediction.forces,
        }
    return results
