"""Which of the two engines evaluates a model, and whether it still gives the answers it was written with."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import ModelFileError, TrainedModel
from ase_schnet.neighbors import half_list

SELF_CHECK_TOLERANCE = {"float64": 1e-6, "float32": 1e-2}  # eV and eV/Å


def open_engine(
    model: TrainedModel,
    device: str = "cpu",
    dtype: str = "float64",
    threads: int | None = None,
    repulsion: str | None = None,
):
    """The compiled `Ensemble` for "cpu", and for "auto" without a GPU; else torch's on that device.

    Raises ValueError for an unknown device, precision or repulsion, and for a GPU that torch does not find.
    """
    if device == "cpu":
        return Ensemble(model, dtype, threads, repulsion)
    torch_ensemble = import_module("ase_schnet.inference.torch_ensemble")  # seconds: only if wanted
    if torch_ensemble.torch_device(device).type == "cpu":
        return Ensemble(model, dtype, threads, repulsion)
    return torch_ensemble.TorchEnsemble(model, device, dtype, repulsion)


def self_check(engine) -> None:
    """Repeat the structure stored with the model. Raises ModelFileError if the answer differs.

    Stored is what the network itself gave when the model was written, so this also measures, at every
    loading, what the tables of `inference/tables.py` cost in accuracy.
    """
    model = engine.model
    stored = model.card.get("self_check")
    if stored is None:
        return
    numbers, positions = np.array(stored["numbers"]), np.array(stored["positions_Ang"])
    pairs = half_list(positions, model.config["cutoff"], stored["cell_Ang"], stored["pbc"])
    now = engine.evaluate(numbers, positions, pairs)
    energies = now.energies - stored["energies_eV"]  # (M,)
    forces = now.forces.mean(axis=0) - stored["forces_eV_per_Ang"]  # (N, 3)
    off = np.abs([*energies, *forces.ravel()]).max()  # NaN if there is one
    if not off < SELF_CHECK_TOLERANCE[engine.dtype]:
        raise ModelFileError(
            f"{model.path} gives another answer than when it was written: off by {off:.1e} eV or eV/Å "
            f"(allowed {SELF_CHECK_TOLERANCE[engine.dtype]:.0e}); this installation cannot be trusted"
        )
