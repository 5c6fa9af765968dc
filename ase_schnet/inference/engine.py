"""Which of the two engines evaluates a model, and whether it still gives the answers it was written with."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import Engine
from ase_schnet.model_directories import ModelFileError
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import half_list

SELF_CHECK_TOLERANCE = {"float64": 1e-6, "float32": 1e-2}  # eV and eV/Å


def open_engine(
    model: TrainedModel,
    device: str = "cpu",
    dtype: str = "float64",
    threads: int | None = None,
    repulsion: str | None = None,
) -> Engine:
    """Return the compiled engine for "cpu", and for "auto" without a GPU; else that of torch.

    Parameters
    ----------
    model
        The ensemble.
    device
        "cpu", "cuda", "cuda:1" or "auto" (a GPU if there is one).
    dtype
        Precision of the network, "float64" or "float32".
    threads
        The most that the compiled engine may use; None: see :class:`Ensemble`.
    repulsion
        "zbl" or None, as for :class:`Ensemble`.

    Raises
    ------
    ModelFileError
        If the model holds the difference to a baseline, which no engine adds.
    ValueError
        If device, precision or repulsion are unknown, or torch does not find the GPU.
    """
    model.require_whole()
    if device == "cpu":
        return Ensemble(model, dtype, threads, repulsion)
    torch_ensemble = import_module("ase_schnet.inference.torch_ensemble")  # seconds: only if wanted
    if torch_ensemble.torch_device(device).type == "cpu":
        return Ensemble(model, dtype, threads, repulsion)
    return torch_ensemble.TorchEnsemble(model, device, dtype, repulsion)


def self_check(engine: Engine) -> None:
    """Evaluate the structure stored with the model, and compare.

    Stored is what the network itself gave when the model was written. So this also measures, at every
    loading, what the tables of `inference/tables.py` cost in accuracy.

    Raises
    ------
    ModelFileError
        If the answer differs.
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
